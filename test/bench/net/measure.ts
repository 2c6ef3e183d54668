// One measurement between the pods, for any datapath.
import { fileURLToPath } from 'node:url';
import { KubetunError } from '../../../datapath/error.ts';
import { CONNECT_PORT, IPERF_PORT, run, SERVER_ADDRESS, start, stop } from './topology.ts';

const CLIENT = fileURLToPath(new URL('./connect-client.ts', import.meta.url));
const SERVER = fileURLToPath(new URL('./connect-server.ts', import.meta.url));
/** Payload of the datagram flood, bytes. */
const DATAGRAM_BYTES = 18;

export interface ConnectTimes {
  /** Microseconds. */
  p50: number;
  p95: number;
  p99: number;
}

/** Runs iperf3 and the connect server in pod2 until the returned function is called. */
export async function startServers(): Promise<() => Promise<void>> {
  const iperf = await start('pod2', ['iperf3', '-s', '--forceflush'], 'Server listening');
  const connect = await start(
    'pod2',
    [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      SERVER,
      SERVER_ADDRESS,
      String(CONNECT_PORT),
    ],
    'ready',
  );
  return async () => {
    await stop(iperf);
    await stop(connect);
  };
}

/** Gbit/s received. Uses cubic, because the pacing of bbr hides the cost of a datapath. */
export function measureStreams(
  address: string,
  { streams, seconds, reverse }: { streams: number; seconds: number; reverse: boolean },
): number {
  const result = iperf(address, [
    ...['-C', 'cubic', '-P', String(streams), '-t', String(seconds), '-O', '0.5'],
    ...(reverse ? ['-R'] : []),
  ]);
  return result.end.sum_received.bits_per_second / 1e9;
}

/** Thousand datagrams a second that arrive from one sender at full speed. */
export function measureDatagrams(address: string, seconds: number): number {
  const flags = ['-u', '-b', '0', '-l', String(DATAGRAM_BYTES), '-t', String(seconds)];
  const { sum_received: sum } = iperf(address, flags).end;
  return ((sum.packets ?? 0) - (sum.lost_packets ?? 0)) / (sum.seconds ?? seconds) / 1000;
}

interface IperfResult {
  error?: string;
  end: {
    sum_received: {
      bits_per_second: number;
      packets?: number;
      lost_packets?: number;
      seconds?: number;
    };
  };
}

function iperf(address: string, flags: string[]): IperfResult {
  const text = run('pod1', [
    ...['iperf3', '-c', address, '-p', String(IPERF_PORT), '-J', '--connect-timeout', '3000'],
    ...flags,
  ]);
  const result = JSON.parse(text) as IperfResult;
  if (result.error) throw new KubetunError('KT_BENCH', `iperf3 to ${address}: ${result.error}`, '');
  return result;
}

/** Times of connect and close, in sequence. */
export function measureConnect(address: string, count: number): ConnectTimes {
  const text = run('pod1', [
    ...[process.execPath, '--disable-warning=ExperimentalWarning', CLIENT],
    ...[address, String(CONNECT_PORT), String(count)],
  ]);
  const { failed, ...times } = JSON.parse(text) as ConnectTimes & { failed: number };
  if (failed > 0) {
    throw new KubetunError('KT_BENCH', `${failed} connections to ${address} failed`, '');
  }
  return times;
}
