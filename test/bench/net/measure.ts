// One measurement between the pods, for any datapath.
import { fileURLToPath } from 'node:url';
import { KubetunError } from '../../../datapath/error.ts';
import { cpuSeconds } from './cpu.ts';
import {
  addressOf,
  CONNECT_PORT,
  FLOOD_PORT,
  IPERF_PORT,
  type Pod,
  run,
  start,
  stop,
} from './topology.ts';

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const CONNECT_CLIENT = pathOf('./connect-client.ts');
const FLOOD_CLIENT = pathOf('./flood-client.ts');
export const CONNECT_SERVER = pathOf('./connect-server.ts');
export const FLOOD_SERVER = pathOf('./flood-server.ts');
export const NODE_COMMAND = [process.execPath, '--disable-warning=ExperimentalWarning'];
/** Payload of the datagram flood, bytes. */
const DATAGRAM_BYTES = 18;

/** Runs a command where the client is, and returns its output. */
export type Client = (command: string[]) => string;

export interface ConnectTimes {
  /** Microseconds. */
  p50: number;
  p95: number;
  p99: number;
}

/** The clients of a pod. */
export function clientIn(pod: Pod): Client {
  return (command) => run(pod, command);
}

/** Runs the servers of all measurements in a pod until the returned function is called. */
export async function startServers(pod: Pod): Promise<() => Promise<void>> {
  const command = (program: string, port: number) => [
    ...[...NODE_COMMAND, program, addressOf(pod), String(port)],
  ];
  const servers = [
    await start(pod, ['iperf3', '-s', '--forceflush'], 'Server listening'),
    await start(pod, command(CONNECT_SERVER, CONNECT_PORT), 'ready'),
    await start(pod, command(FLOOD_SERVER, FLOOD_PORT), 'ready'),
  ];
  return async () => {
    for (const server of servers) await stop(server);
  };
}

/** A rate and what it cost. */
export interface Measured {
  /** Gbit/s or thousand packets a second, received. */
  rate: number;
  /** CPU seconds of the whole machine for a Gbit or for a million packets. */
  cpu: number;
}

/** Streams of TCP. Uses cubic, because the pacing of bbr hides the cost of a datapath. */
export function measureStreams(
  client: Client,
  address: string,
  { streams, seconds, reverse }: { streams: number; seconds: number; reverse: boolean },
): Measured {
  const { result, cpu } = iperf(client, address, seconds, [
    ...['-C', 'cubic', '-P', String(streams), '-O', '0.5'],
    ...(reverse ? ['-R'] : []),
  ]);
  // The CPU time contains the seconds that iperf3 omits from its sum.
  const bytes = result.intervals.reduce((sum, interval) => sum + interval.sum.bytes, 0);
  return {
    rate: result.end.sum_received.bits_per_second / 1e9,
    cpu: cpu / ((bytes * 8) / 1e9),
  };
}

/** Datagrams that arrive from this many sockets of one sender at full speed. */
export function measureDatagrams(
  client: Client,
  address: string,
  { flows, seconds }: { flows: number; seconds: number },
): Measured {
  const before = cpuSeconds();
  const args = [address, FLOOD_PORT, flows, seconds, DATAGRAM_BYTES].map(String);
  const text = client([...NODE_COMMAND, FLOOD_CLIENT, ...args]);
  const cpu = cpuSeconds() - before;
  const { received, seconds: took } = JSON.parse(text) as { received: number; seconds: number };
  return { rate: received / took / 1e3, cpu: cpu / (received / 1e6) };
}

interface IperfResult {
  error?: string;
  intervals: { sum: { bytes: number } }[];
  end: { sum_received: { bits_per_second: number } };
}

/** iperf3 3.12 sometimes never ends after its server has closed a stream early. */
const IPERF_TRIES = 3;
const IPERF_END_SECONDS = 20;

/** Runs iperf3 and measures the machine's CPU seconds meanwhile. */
function iperf(
  client: Client,
  address: string,
  seconds: number,
  flags: string[],
): { result: IperfResult; cpu: number } {
  // Its JSON names its error, so its exit code is not needed.
  const script = `timeout ${seconds + IPERF_END_SECONDS} iperf3 "$@" || true`;
  const command = [
    ...['sh', '-c', script, 'iperf3', '-c', address, '-p', String(IPERF_PORT), '-J'],
    ...['--connect-timeout', '3000', '-t', String(seconds), ...flags],
  ];
  let error = '';
  for (let attempt = 0; attempt < IPERF_TRIES; attempt++) {
    const before = cpuSeconds();
    const text = client(command);
    const cpu = cpuSeconds() - before;
    const result = text === '' ? { error: 'it does not end' } : (JSON.parse(text) as IperfResult);
    if (!result.error) return { result: result as IperfResult, cpu };
    error = result.error;
  }
  throw new KubetunError(
    'KT_BENCH',
    `iperf3 to ${address}: ${error}`,
    'see that the machine is idle',
  );
}

/** Times of connect and close, in sequence. */
export function measureConnect(client: Client, address: string, count: number): ConnectTimes {
  const args = [address, CONNECT_PORT, count].map(String);
  const text = client([...NODE_COMMAND, CONNECT_CLIENT, ...args]);
  const { failed, ...times } = JSON.parse(text) as ConnectTimes & { failed: number };
  if (failed > 0) {
    throw new KubetunError('KT_BENCH', `${failed} connections to ${address} failed`, '');
  }
  return times;
}
