// What the number of a node's pods costs: the same two pods are measured while the node has more
// and more others, which send nothing.
import { Samples, type Series } from '../report.ts';
import { clientIn, measureConnect } from './measure.ts';
import { CPU_UNITS, KINDS, type NetOptions, SERVICES } from './throughput.ts';
import { podsBy, setSilentPods } from './topology.ts';
import type { Twin } from './twin.ts';
import { iptables } from './twins/iptables.ts';
import { kernelForward } from './twins/kernel.ts';
import { kubetun } from './twins/kubetun.ts';
import { nftables } from './twins/nftables.ts';
import { inTurn } from './twins.ts';

const SIZES = [2, 20, 200];
const MEASURED = KINDS.filter(({ label }) => label === '1 stream' || label === 'datagrams');
const CONNECTIONS = 1000;

/** The datapaths of a node with that many pods. Proxies serve no pods. */
function twinsAt(pods: number): Twin[] {
  return [kernelForward, iptables, nftables, kubetun('veth', pods), kubetun('tun', pods)];
}

type Options = Omit<NetOptions, 'twins'> & { isPresent: (twin: Twin) => boolean };

/** Bulk, datagrams and connects of two pods, by the number of pods. */
export async function measurePods(options: Options): Promise<Series[]> {
  const { rounds, seconds, progress, isPresent } = options;
  const samples = new Samples();
  for (let round = 1; round <= rounds; round++) {
    for (const size of round % 2 === 1 ? SIZES : SIZES.toReversed()) {
      setSilentPods('add', size);
      for (const twin of inTurn(twinsAt(size).filter(isPresent), round)) {
        const said = await measureTwin(twin, size, seconds, samples);
        progress(`round ${round}/${rounds}: ${twin.name}, ${size} pods: ${said}`);
      }
      setSilentPods('del', size);
    }
  }
  return samples.inOrder(namesOf());
}

async function measureTwin(twin: Twin, size: number, seconds: number, samples: Samples) {
  await twin.begin(SERVICES);
  const client = clientIn(podsBy(twin.attach)[0]);
  const said: string[] = [];
  for (const { label, unit, measure } of MEASURED) {
    const { rate, cpu } = measure(client, twin.address, seconds);
    samples.add(nameOf(label, twin.name, size), unit, rate);
    samples.add(nameOf(`CPU of ${label}`, twin.name, size), CPU_UNITS[unit], cpu);
    said.push(`${label} ${rate.toFixed(1)} ${unit}`);
  }
  const { p50 } = measureConnect(client, twin.address, CONNECTIONS);
  samples.add(nameOf('connect', twin.name, size), 'us', p50);
  await twin.end();
  return [...said, `connect ${p50.toFixed(1)} us`].join(', ');
}

function nameOf(figure: string, twin: string, size: number): string {
  return `${figure}, ${size} pods, ${twin}`;
}

function namesOf(): string[] {
  const figures = [...MEASURED.flatMap(({ label }) => [label, `CPU of ${label}`]), 'connect'];
  const twins = twinsAt(2).map(({ name }) => name);
  return figures.flatMap((figure) =>
    SIZES.flatMap((size) => twins.map((twin) => nameOf(figure, twin, size))),
  );
}

/** kubetun's figures against its own with two pods, and against nftables with equal pods. */
export function podsAgainst(name: string): string[] {
  const [figure, pods, twin] = name.split(', ') as [string, string, string];
  if (!twin.startsWith('kubetun')) return [];
  return [`${figure}, ${SIZES[0]} pods, ${twin}`, `${figure}, ${pods}, ${nftables.name}`];
}
