// Entry of the cluster's DNS server. Runs as a pod with an account that may read Services,
// EndpointSlices and Namespaces, and Pods where their names are verified.
import { lookup } from 'node:dns/promises';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { connectKube } from '../kube/client.ts';
import { createLog } from '../log.ts';
import { FLAG_AA, FLAG_CD, FLAG_QR, FLAG_RA, FLAG_RD, rcodeName, typeName } from './constants.ts';
import type { ServerAddress } from './exchange.ts';
import { Forwarder } from './forwarder.ts';
import { listen } from './listen.ts';
import { Metrics } from './metrics.ts';
import { formatName } from './name.ts';
import { servePages } from './pages.ts';
import { addressBytes } from './record.ts';
import { type Answered, Responder } from './responder.ts';
import { followObjects } from './sources.ts';
import { POD_MODES, type PodMode, Zone } from './zone.ts';

const UPSTREAM_MS = 2000;
const CACHE = { entriesMax: 10_000, ttlMaxS: 30 };
const PORTS = { health: 8080, ready: 8181, metrics: 9153 };
const DNS_PORT = 53;
/** The server answers for this time after SIGTERM, because proxies remove it with a delay. */
const LAMEDUCK_MS = 5000;

const log = createLog({ server: hostname() });

function readOptions() {
  const { values } = parseArgs({
    options: {
      domain: { type: 'string', default: 'cluster.local' },
      kubeconfig: { type: 'string' },
      /** `ADDRESS` or `ADDRESS:PORT`. The server asks several in turn. */
      upstream: { type: 'string', multiple: true, default: [] },
      pods: { type: 'string', default: 'insecure' },
      address: { type: 'string', default: '0.0.0.0' },
      log: { type: 'boolean', default: false },
    },
  });
  const { pods } = values;
  if (!POD_MODES.includes(pods as PodMode)) {
    throw new Error(`--pods takes ${POD_MODES.join(', ')}, not ${pods}`);
  }
  return { ...values, pods: pods as PodMode, upstream: values.upstream.map(readServer) };
}

function readServer(text: string): ServerAddress {
  const [, address = '', port = '53'] =
    /^([\d.]+|[\da-f:]+)(?:(?<=\.\d+):(\d+))?$/.exec(text) ?? [];
  if (addressBytes(address) === null) {
    throw new Error(`--upstream takes ADDRESS or ADDRESS:PORT, not ${text}`);
  }
  return { address, port: Number(port) };
}

/** The addresses of this pod: /etc/hosts has its name. */
async function ownAddresses(): Promise<Uint8Array[]> {
  const found = await lookup(hostname(), { all: true }).catch(() => []);
  return found.map(({ address }) => addressBytes(address)).filter((bytes) => bytes !== null);
}

async function main(): Promise<void> {
  const { domain, kubeconfig, upstream, pods, address, log: logsQueries } = readOptions();
  const clock = Date.now;
  const zone = new Zone({ domain, pods, ownAddresses: await ownAddresses(), clock });
  const metrics = new Metrics(`dns://:${DNS_PORT}`);
  const cache = { ...CACHE, clock: () => performance.now() };
  const forward = new Forwarder({ servers: upstream, cache, timeoutMs: UPSTREAM_MS, metrics });
  metrics.gauges = { entries: () => forward.entries };
  const responder = new Responder({
    ...{ zone, forward, metrics, random: Math.random },
    ...(logsQueries && { onAnswer: (answered) => log.info(queryLine(answered)) }),
    onFailure: (question, why) => log.warn({ question, why: textOf(why) }, 'no answer: SERVFAIL'),
  });
  const onFailure = (why: unknown, what: string) => log.error({ what, why: textOf(why) }, 'failed');
  let isEnding = false;
  const listener = await listen({
    ...{ address, port: DNS_PORT, onFailure },
    respond: (bytes, client) => responder.respond(bytes, client),
  });
  await servePages({
    ...{ address, ports: PORTS, metrics, onFailure },
    isReady: () => zone.isSynced,
    isEnding: () => isEnding,
  });
  const kube = connectKube(kubeconfig ?? null);
  followObjects({ kube, zone, log, clock, onProgrammed: (s) => metrics.programmed(s) });
  log.info({ domain, pods, upstream, port: listener.port }, 'DNS answers');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isEnding) process.exit(0);
      isEnding = true;
      setTimeout(() => process.exit(0), LAMEDUCK_MS);
    });
  }
}

/** A query as CoreDNS logs it. */
function queryLine({ client, query, queryBytes, answer, answerBytes, ms }: Answered): string {
  const { id, question, edns, flags } = query;
  const { address, port, transport } = client;
  const { isSecure = false, udpBytes = 512 } = edns ?? {};
  const asked = `${typeName(question.type)} IN ${formatName(question.name)}`;
  const set = FLAG_QR | FLAG_RA | (answer.isAuthoritative ? FLAG_AA : 0) | (flags & FLAG_RD);
  const names: [number, string][] = [
    ...([
      [FLAG_QR, 'qr'],
      [FLAG_AA, 'aa'],
    ] as [number, string][]),
    ...([
      [FLAG_RD, 'rd'],
      [FLAG_RA, 'ra'],
      [FLAG_CD, 'cd'],
    ] as [number, string][]),
  ];
  const shown = names.filter(([flag]) => (set & flag) !== 0).map(([, name]) => name);
  const what = `${asked} ${transport} ${queryBytes} ${isSecure} ${udpBytes}`;
  const seconds = (ms / 1000).toFixed(9);
  const tail = `${rcodeName(answer.rcode)} ${shown.join(',')} ${answerBytes} ${seconds}s`;
  return `${address}:${port} - ${id} "${what}" ${tail}`;
}

function textOf(why: unknown): string {
  if (!(why instanceof Error)) return String(why);
  // The stack of an upstream failure is not useful.
  return why.constructor === Error ? why.message : String(why.stack);
}

await main().catch((error: unknown) => {
  log.fatal({ why: textOf(error) }, 'the DNS server does not start');
  process.exit(1);
});
