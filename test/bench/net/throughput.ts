// Sends the same bytes through every datapath in turn, round by round.
import { Samples, type Series } from '../report.ts';
import {
  type Client,
  clientIn,
  type Measured,
  measureDatagrams,
  measureStreams,
} from './measure.ts';
import { podsBy } from './topology.ts';
import type { Twin } from './twin.ts';
import { inTurn } from './twins.ts';

/** Services in force while bulk is measured. */
export const SERVICES = 100;

export interface Kind {
  label: string;
  unit: 'Gbit/s' | 'kpps';
  measure(client: Client, address: string, seconds: number): Measured;
}

export const KINDS: Kind[] = [
  streams('1 stream', 1, false),
  streams('4 streams', 4, false),
  streams('1 stream back', 1, true),
  datagrams('datagrams', 1),
  datagrams('datagrams of 64 flows', 64),
];

const OWN = /^kubetun /;

/** CPU seconds of the whole machine for a unit of work. */
export const CPU_UNITS = { 'Gbit/s': 's/Gbit', kpps: 's/Mpacket' };

export interface NetOptions {
  twins: Twin[];
  /** Number of rounds. Each round measures all datapaths. */
  rounds: number;
  /** Duration of each measurement of bulk. */
  seconds: number;
  progress: (line: string) => void;
}

/** Bulk in both directions in Gbit/s, datagrams in thousand packets a second, the CPU of both. */
export async function measureBulk({
  twins,
  rounds,
  seconds,
  progress,
}: NetOptions): Promise<Series[]> {
  const samples = new Samples();
  for (let round = 1; round <= rounds; round++) {
    for (const twin of inTurn(twins, round)) {
      await twin.begin(SERVICES);
      const client = clientIn(podsBy(twin.attach)[0]);
      // Not counted: in the first second V8 compiles, and all caches are cold.
      KINDS[0]!.measure(client, twin.address, seconds);
      const said: string[] = [];
      for (const { label, unit, measure } of KINDS) {
        if (unit === 'kpps' && !twin.datagrams) continue;
        const { rate, cpu } = measure(client, twin.address, seconds);
        samples.add(`${label}, ${twin.name}`, unit, rate);
        samples.add(`CPU of ${label}, ${twin.name}`, CPU_UNITS[unit], cpu);
        said.push(`${label} ${rate.toFixed(1)} ${unit}`);
      }
      await twin.end();
      progress(`round ${round}/${rounds}: ${twin.name}: ${said.join(', ')}`);
    }
  }
  return samples.inOrder(namesOf(twins.map((twin) => twin.name)));
}

/** By kind, then by datapath. */
function namesOf(twins: string[]): string[] {
  const labels = KINDS.flatMap(({ label }) => [label, `CPU of ${label}`]);
  return labels.flatMap((label) => twins.map((twin) => `${label}, ${twin}`));
}

function streams(label: string, count: number, reverse: boolean): Kind {
  const measure: Kind['measure'] = (client, address, seconds) =>
    measureStreams(client, address, { streams: count, seconds, reverse });
  return { label, unit: 'Gbit/s', measure };
}

function datagrams(label: string, flows: number): Kind {
  const measure: Kind['measure'] = (client, address, seconds) =>
    measureDatagrams(client, address, { flows, seconds });
  return { label, unit: 'kpps', measure };
}

/** The rows to compare a row with: each of kubetun's with the same of the others. */
export function bulkAgainst(name: string, twins: Twin[]): string[] {
  const [label, twin] = name.split(', ') as [string, string];
  if (!OWN.test(twin)) return [];
  return twins.map((other) => `${label}, ${other.name}`);
}
