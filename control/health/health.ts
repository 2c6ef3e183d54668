// The node's health ports: one for the node, and one for each Service that asks for one.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { MonotonicClock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Tables } from '../model/tables.ts';
import { guardRequests } from '../serve/guard.ts';
import type { Publisher } from '../sync/publisher.ts';
import { answerNode, answerService, type HealthAnswer } from './answer.ts';
import type { HealthMonitor } from './monitor.ts';

/** The health port of kube-proxy. */
export const NODE_HEALTH_PORT = 10_256;
/** Retry interval for a port that another process has. */
const RETRY_MS = 10_000;

export interface HealthOptions {
  /** The address to listen on, such as 0.0.0.0. */
  host: string;
  /** NODE_HEALTH_PORT, or 0 for any. */
  nodePort: number;
  tables: Tables;
  publisher: Pick<Publisher, 'progress'>;
  monitor: Pick<HealthMonitor, 'isHealthy' | 'look'>;
  clock: MonotonicClock;
  log: Log;
}

/**
 * Serves health over HTTP in the network namespace of this process. If a port is in use, the other
 * ports still work.
 */
export class HealthServers {
  readonly #options: HealthOptions;
  #node: Server | null = null;
  /** `namespace/name` of the Service -> its port. */
  readonly #services = new Map<string, { port: number; server: Server }>();
  /** Ports that failed, to log each once. */
  readonly #failing = new Set<string>();
  #cancelRetry = () => {};

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#listenForNode();
  }

  /** The node's health port. Null until the server listens. */
  get nodePort(): number | null {
    return this.#node && portOf(this.#node);
  }

  /** The health port of a Service. Null while it has no server that listens. */
  servicePort(key: string): number | null {
    const listener = this.#services.get(key);
    return listener ? portOf(listener.server) : null;
  }

  /** Opens and closes health ports so that they match the tables. */
  sync(): void {
    if (!this.#node) this.#listenForNode();
    const wanted = this.#options.tables.healthPorts;
    for (const [key, { port, server }] of this.#services) {
      if (wanted.get(key) === port) continue;
      close(server);
      this.#services.delete(key);
    }
    for (const [key, port] of wanted) {
      if (this.#services.has(key)) continue;
      const answer = () =>
        answerService(key, this.#options.tables, this.#options.monitor.isHealthy);
      const server = this.#listen(port, `Service ${key}`, answer, () => {
        this.#services.delete(key);
        this.#retryLater();
      });
      this.#services.set(key, { port, server });
    }
  }

  stop(): void {
    this.#cancelRetry();
    if (this.#node) close(this.#node);
    for (const { server } of this.#services.values()) close(server);
    this.#services.clear();
  }

  #listenForNode(): void {
    const answer = (path: string) => this.#answerNode(path);
    this.#node = this.#listen(this.#options.nodePort, 'the node', answer, () => {
      this.#node = null;
      this.#retryLater();
    });
  }

  #retryLater(): void {
    this.#cancelRetry();
    this.#cancelRetry = this.#options.clock.after(RETRY_MS, () => this.sync());
  }

  #answerNode(path: string): HealthAnswer | null {
    if (path !== '/healthz' && path !== '/livez') return null;
    const { publisher, monitor, clock, tables } = this.#options;
    const nowMs = clock.monotonicMs();
    const condition = {
      progress: publisher.progress,
      unhealthy: monitor.look(),
      isNodeLeaving: tables.nodes.get(tables.nodeName)?.leaving ?? false,
    };
    return answerNode(path, condition, nowMs, Date.now() - nowMs);
  }

  #listen(
    port: number,
    of: string,
    answer: (path: string) => HealthAnswer | null,
    onFailed: () => void,
  ): Server {
    const { host, log } = this.#options;
    const onFailure = (error: unknown, what: string) =>
      log.error({ port, what, why: String(error) }, `the health of ${of} cannot be reported`);
    const handle = guardRequests((request, response) => {
      const found = answer((request.url ?? '').split('?')[0]!);
      const type = { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' };
      response.writeHead(found?.status ?? 404, { ...type, ...found?.headers });
      response.end(`${JSON.stringify(found?.body ?? { error: 'ask for /healthz or /livez' })}\n`);
    }, onFailure);
    const server = createServer(handle);
    server.on('error', (error) => {
      // A server that cannot accept connections must release its port before the next one listens.
      close(server);
      if (!this.#failing.has(of)) {
        log.warn({ port, why: error.message }, `the health of ${of} is not served`);
      }
      this.#failing.add(of);
      onFailed();
    });
    server.on('listening', () => this.#failing.delete(of));
    return server.listen(port, host);
  }
}

function portOf(server: Server): number | null {
  return (server.address() as AddressInfo | null)?.port ?? null;
}

function close(server: Server): void {
  server.close();
  server.closeAllConnections();
}
