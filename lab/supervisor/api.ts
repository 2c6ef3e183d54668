// Keeps the API server of a lab running: a thread of the supervisor that listens in two network
// namespaces.
import { closeSync, fstatSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { ensureCredentials, writeKubeconfig } from '../../control/apiserver/http/credentials.ts';
import type { ApiServer, ApiServerOptions, ListenOn } from '../../control/cluster/server.ts';
import { spawnApiServer } from '../../control/cluster/spawn.ts';
import { NODE_PORT_MAX, NODE_PORT_MIN } from '../../control/compile/node-entry.ts';
import { stateDir } from '../../control/places.ts';
import { Backoff, RESTART_PACE } from '../../datapath/backoff.ts';
import { listenInNamespace } from '../../datapath/io/netns.ts';
import { namespaceOf, namespacePath } from '../places/names.ts';
import { agentKubeconfigPath, kubeconfigPath, kubeletSocketPath } from '../places/paths.ts';
import type { LabRecord } from '../state/record.ts';
import { API_PORT, apiAddress, hostOf } from '../topology/topology.ts';
import { dnsReaders } from './dns.ts';
import { ingressReaders } from './ingress.ts';

export interface LabApi {
  /** On loopback of the root namespace. */
  port: number;
  close(): Promise<void>;
}

/**
 * Starts the API server on loopback and on its fabric address, and writes a kubeconfig for each. A
 * server that dies is restarted at the same addresses with its journal.
 */
export async function startLabApi(record: LabRecord, log: Logger): Promise<LabApi> {
  const { lab, topology, ephemeral } = record;
  const { ranges } = topology;
  const address = apiAddress(ranges);
  const { ca, cert, key, token } = ensureCredentials(join(stateDir(lab), 'pki'), [
    ...['127.0.0.1', 'localhost', address, hostOf(ranges.services, 1)],
    ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'],
    'kubernetes.default.svc.cluster.local',
  ]);
  const options = {
    journal: ephemeral ? null : join(stateDir(lab), 'api/journal'),
    ...{ tls: { key, cert }, ca, token },
    readers: [...dnsReaders(record), ...ingressReaders(record)],
    claimsFolder: join(stateDir(lab), 'claims'),
    kubelet: kubeletSocketPath(lab),
    serviceRange: ranges.services,
    publicRange: ranges.public,
    nodePortMin: NODE_PORT_MIN,
    nodePortMax: NODE_PORT_MAX,
    apiAddress: { address, port: API_PORT },
  };
  const fabric = namespacePath(namespaceOf(lab, 'fabric'));
  const keeper = new ApiKeeper(options, () => listenInNamespace(fabric, address, API_PORT), log);
  const port = await keeper.start(record.apiPort);
  const write = (path: string, host: string) =>
    writeKubeconfig(path, {
      server: `https://${host}`,
      ca,
      token,
      name: `kubetun-${lab}`,
      namespace: 'default',
    });
  write(kubeconfigPath(lab), `127.0.0.1:${port}`);
  write(agentKubeconfigPath(lab), `${address}:${API_PORT}`);
  return { port, close: () => keeper.close() };
}

/** Keeps the thread of an API server running at its first addresses. */
class ApiKeeper {
  readonly #options: Omit<ApiServerOptions, 'listen' | 'journalExpected'>;
  readonly #listenOnFabric: () => number;
  readonly #log: Logger;
  readonly #delay = new Backoff(RESTART_PACE);
  #server: ApiServer | null = null;
  #servedFromMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(
    options: Omit<ApiServerOptions, 'listen' | 'journalExpected'>,
    listenOnFabric: () => number,
    log: Logger,
  ) {
    this.#options = options;
    this.#listenOnFabric = listenOnFabric;
    this.#log = log;
  }

  /**
   * Returns the port on loopback. It stays the same as in an earlier life of the lab, because
   * clients have it in their kubeconfig. `earlierPort` is 0 if there was none. Throws KubetunError
   * KT_API_START.
   */
  async start(earlierPort: number): Promise<number> {
    // A lab with an earlier port also has a journal.
    await this.#spawn({ host: '127.0.0.1', port: earlierPort, orAny: true }, earlierPort !== 0);
    return this.#server!.ports[0]!;
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    await this.#server?.close();
  }

  async #spawn(loopback: ListenOn, journalExpected: boolean): Promise<void> {
    const fd = this.#listenOnFabric();
    const { ino } = fstatSync(fd);
    const listen = [loopback, { fd }];
    try {
      this.#server = await spawnApiServer({ ...this.#options, listen, journalExpected }, (error) =>
        this.#died(error),
      );
    } catch (error) {
      // If the thread served the descriptor, it has closed it, and another file may have its
      // number.
      if (inodeOf(fd) === ino) closeSync(fd);
      throw error;
    }
    this.#servedFromMs = performance.now();
    if (this.#closing) await this.#server.close();
  }

  #died(error: Error): void {
    const port = this.#server!.ports[0]!;
    this.#server = null;
    this.#again(error, port, performance.now() - this.#servedFromMs);
  }

  #again(error: unknown, port: number, servedMs: number): void {
    if (this.#closing) return;
    const delayMs = this.#delay.next(servedMs);
    const why = error instanceof Error ? error.stack : String(error);
    this.#log.error({ why, servedMs: Math.round(servedMs), delayMs }, 'the API server died');
    this.#timer = setTimeout(async () => {
      try {
        await this.#spawn({ host: '127.0.0.1', port }, true);
        this.#log.info({ port }, 'the API server serves again');
      } catch (error) {
        this.#again(error, port, 0);
      }
    }, delayMs);
  }
}

function inodeOf(fd: number): number | null {
  try {
    return fstatSync(fd).ino;
  } catch {
    return null;
  }
}
