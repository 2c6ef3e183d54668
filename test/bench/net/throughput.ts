// Sends the same bytes through every datapath in turn, round by round.
import type { Series } from '../report.ts';
import { measureDatagrams, measureStreams } from './measure.ts';
import type { Twin } from './twin.ts';
import { haproxy } from './twins/haproxy.ts';
import { iptables } from './twins/iptables.ts';
import { kernelForward } from './twins/kernel.ts';
import { kubetun } from './twins/kubetun.ts';
import { nftables } from './twins/nftables.ts';

export const TWINS: Twin[] = [kernelForward, iptables, nftables, haproxy, kubetun];
/** Services in force while bulk is measured. */
export const SERVICES = 100;

const KINDS = [
  { label: '1 stream', unit: 'Gbit/s', streams: 1, reverse: false },
  { label: '4 streams', unit: 'Gbit/s', streams: 4, reverse: false },
  { label: '1 stream back', unit: 'Gbit/s', streams: 1, reverse: true },
  { label: 'datagrams', unit: 'kpps', streams: 0, reverse: false },
];

export interface NetOptions {
  /** Each has all datapaths. */
  rounds: number;
  /** Duration of each measurement of bulk. */
  seconds: number;
  progress: (line: string) => void;
}

/** Bulk in both directions in Gbit/s, and datagrams in thousand packets a second. */
export async function measureBulk({ rounds, seconds, progress }: NetOptions): Promise<Series[]> {
  const series = KINDS.flatMap(({ label, unit }) =>
    TWINS.map(({ name }): Series => ({ name: `${label}, ${name}`, unit, values: [] })),
  );
  for (let round = 1; round <= rounds; round++) {
    for (const twin of inTurn(round)) {
      await twin.begin(SERVICES);
      const said: string[] = [];
      for (const kind of KINDS) {
        // A TCP proxy forwards no datagrams.
        if (kind.unit === 'kpps' && twin === haproxy) continue;
        const value = measure(kind, twin.address, seconds);
        series.find((one) => one.name === `${kind.label}, ${twin.name}`)!.values.push(value);
        said.push(`${kind.label} ${value.toFixed(1)} ${kind.unit}`);
      }
      await twin.end();
      progress(`round ${round}/${rounds}: ${twin.name}: ${said.join(', ')}`);
    }
  }
  return series.filter((one) => one.values.length > 0);
}

/**
 * Each round starts with another one, so that a periodic load of the machine does not always hit
 * the same.
 */
function inTurn(round: number): Twin[] {
  const first = (round - 1) % TWINS.length;
  return [...TWINS.slice(first), ...TWINS.slice(0, first)];
}

function measure(kind: (typeof KINDS)[number], address: string, seconds: number): number {
  if (kind.unit === 'kpps') return measureDatagrams(address, seconds);
  return measureStreams(address, { streams: kind.streams, seconds, reverse: kind.reverse });
}

/** The rows to compare a row with: kubetun's with the same of the others. */
export function bulkAgainst(name: string): string[] {
  const [label, twin] = name.split(', ') as [string, string];
  if (twin !== kubetun.name) return [];
  return TWINS.map((other) => `${label}, ${other.name}`);
}
