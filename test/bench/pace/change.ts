// `bench change`: from the write of an EndpointSlice to the first datagram that the new backend answers.
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  batch,
  MTU,
  makeTopology,
  NODE_ADDRESS,
  namespaceOf,
  removeTopology,
  SERVER_ADDRESS,
  VIP,
} from '../net/topology.ts';
import { buildReport, type Report } from '../report.ts';
import { ENDPOINTS, prepareJournal, UPLINK } from './cluster.ts';
import { addPercentiles, Figures } from './figures.ts';
import type { FirstAnswer, Trips } from './prober-process.ts';
import { nowMs, type Published, Talker } from './talk.ts';
import type { Order, Wrote } from './writer-process.ts';

export interface ChangeOptions {
  rounds: number;
  /** How long the endpoint is changed in each state, a round. */
  seconds: number;
  services: number;
  progress: (line: string) => void;
}

const ARENA = '/dev/shm/ktbench-arena';
const PORT = 5000;
const BACKEND_PORT_MIN = 20_000;
const BACKEND_PORT_COUNT = 2000;
/** Of the two backends; each change goes to another port besides, so that no old flow is taken for the new backend. */
const ADDRESSES = [SERVER_ADDRESS, '10.244.1.13'];
/** Other changes a second while the cluster is busy. */
const CHURN = 200;
const BURST = 1000;
/** Longer than a publish is held back, so that one change never meets the next one's. */
const PAUSE_MS_MIN = 30;
const PAUSE_MS_SPAN = 40;
/** Images that come so long after a burst was acknowledged are not the burst's. */
const SETTLE_MS = 500;

interface Parts {
  writer: Talker<Wrote>;
  prober: Talker<FirstAnswer | Trips>;
  agent: Talker<Published>;
}

/** Brings up server, backends and client, starts an agent anew in each round, and takes everything down again. */
export async function benchChange(options: ChangeOptions): Promise<Report> {
  const { rounds, services, progress } = options;
  const folder = mkdtempSync(join(tmpdir(), 'ktbench-'));
  const ends: (() => Promise<void>)[] = [];
  const cleanUp = async () => {
    for (const end of ends.splice(0).toReversed()) await end().catch(() => {});
    removeTopology();
    rmSync(ARENA, { force: true });
    rmSync(folder, { recursive: true, force: true });
  };
  const interrupted = () => void cleanUp().finally(() => process.exit(130));
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, interrupted);
  const started = async <T extends object>(...args: Parameters<typeof Talker.start>) => {
    const talker = await Talker.start<T>(...args);
    ends.push(() => talker.end());
    return talker;
  };
  try {
    makeTopology();
    batch(namespaceOf('pod2'), [`addr add ${ADDRESSES[1]}/32 dev eth0`]);
    batch(namespaceOf('node'), [
      `route add ${ADDRESSES[1]}/32 dev pod2`,
      // The agent wants a device that leads to other nodes, though there are none.
      `link add ${UPLINK} mtu ${MTU} type veth peer name ${UPLINK}-peer mtu ${MTU}`,
      `link set ${UPLINK}-peer up`,
      `link set ${UPLINK} up`,
      `addr add ${NODE_ADDRESS}/32 dev ${UPLINK}`,
    ]);
    const about = { clusterIP: VIP, port: PORT, address: ADDRESSES[0]!, targetPort: backend(0) };
    prepareJournal(join(folder, 'journal'), services, NODE_ADDRESS, about);
    await started('node', 'api-process.ts', folder);
    const range = [BACKEND_PORT_MIN, BACKEND_PORT_COUNT];
    await started('pod2', 'backend-process.ts', ...range, ...ADDRESSES);
    const writer = await started<Wrote>('node', 'writer-process.ts', folder, services);
    const figures = new Figures();
    const changes = { next: 1 };
    for (let round = 1; round <= rounds; round++) {
      const begunMs = nowMs();
      const agent = await started<Published>('node', 'agent-process.ts', folder, ARENA);
      const first = await agent.hear('the first image', () => true);
      figures.add('agent start to first image', 'ms', first.atMs - begunMs);
      figures.add('first image: compile and publish all', 'ms', first.ms);
      const prober = await started<FirstAnswer | Trips>('pod1', 'prober-process.ts', VIP, PORT);
      const parts = { writer, prober, agent };
      await prober.hear('an answer', (one) => 'backend' in one);
      const mark = figures.count;
      await measure('quiet', parts, options.seconds, changes, figures);
      writer.say({ churn: CHURN } satisfies Order);
      await measure(`${CHURN} other changes a second`, parts, options.seconds, changes, figures);
      writer.say({ churn: 0 } satisfies Order);
      await measureBurst(parts, figures);
      await prober.end();
      await agent.end();
      for (const line of figures.since(mark)) progress(`round ${round}/${rounds}: ${line}`);
    }
    return buildReport('change', rounds, figures.series, () => [], [
      `${services} Services of ${ENDPOINTS} endpoints; from the write to the first datagram that the new backend answers`,
      `${changes.next - 1} changes; a datagram a millisecond, each from another port; API server, agent, pods share the cores`,
      `load average ${loadavg()[0]!.toFixed(1)} at the end`,
    ]);
  } finally {
    await cleanUp();
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.removeListener(name, interrupted);
  }
}

function backend(change: number): number {
  return BACKEND_PORT_MIN + (change % BACKEND_PORT_COUNT);
}

/** Changes the endpoint for a while, one change after the other, and takes the times of every stage. */
async function measure(
  state: string,
  parts: Parts,
  seconds: number,
  changes: { next: number },
  figures: Figures,
): Promise<void> {
  const { writer, prober, agent } = parts;
  const stages = {
    'write to first answer': [] as number[],
    'stage: write acknowledged': [] as number[],
    'stage: write to compile begun': [] as number[],
    'stage: compile and publish': [] as number[],
    'stage: published to answered': [] as number[],
  };
  await takeTrips(prober);
  const images = agent.said.length;
  for (const endMs = nowMs() + seconds * 1000; nowMs() < endMs; ) {
    const targetPort = backend(changes.next);
    const address = ADDRESSES[changes.next++ % ADDRESSES.length]!;
    writer.say({ change: { address, targetPort } } satisfies Order);
    const isWrite = (one: Wrote) => one.targetPort === targetPort;
    const isAnswer = (one: FirstAnswer | Trips) => 'backend' in one && one.backend === targetPort;
    const answer = (await prober.hear('the new backend', isAnswer)) as FirstAnswer;
    const wrote = await writer.hear('the acknowledgement', isWrite);
    await pause(PAUSE_MS_MIN + Math.random() * PAUSE_MS_SPAN);
    // The image that did it: the last one that was begun before the answer.
    const image = agent.said.findLast(({ atMs, ms }) => atMs - ms < answer.atMs)!;
    stages['write to first answer'].push(answer.atMs - wrote.sentMs);
    stages['stage: write acknowledged'].push(wrote.acknowledgedMs - wrote.sentMs);
    stages['stage: write to compile begun'].push(image.atMs - image.ms - wrote.sentMs);
    stages['stage: compile and publish'].push(image.ms);
    stages['stage: published to answered'].push(Math.max(0, answer.atMs - image.atMs));
  }
  for (const [name, times] of Object.entries(stages)) {
    addPercentiles(figures, `${state}, ${name}`, times);
  }
  addTrips(figures, state, await takeTrips(prober), agent.said.slice(images));
}

async function takeTrips(prober: Parts['prober']): Promise<Trips> {
  const from = prober.said.length;
  prober.say({ trips: true });
  return (await prober.hear('the round trips', (one) => 'tripMs' in one, from)) as Trips;
}

/** Round trips of datagrams that were under way while an image came into force, and of the others. */
function addTrips(figures: Figures, state: string, trips: Trips, images: Published[]): void {
  const during: number[] = [];
  const apart: number[] = [];
  trips.sentMs.forEach((sentMs, i) => {
    const answeredMs = sentMs + trips.tripMs[i]!;
    const isDuring = images.some(({ atMs, ms }) => sentMs < atMs && answeredMs > atMs - ms);
    (isDuring ? during : apart).push(trips.tripMs[i]!);
  });
  addPercentiles(figures, `${state}, round trip during a publish`, during);
  addPercentiles(figures, `${state}, round trip otherwise`, apart);
  figures.add(`${state}, unanswered`, 'datagrams', trips.lost);
}

async function measureBurst({ writer, agent }: Parts, figures: Figures): Promise<void> {
  const [images, words] = [agent.said.length, writer.said.length];
  writer.say({ burst: BURST } satisfies Order);
  const wrote = await writer.hear('the burst', ({ targetPort }) => targetPort === 0, words);
  await pause(SETTLE_MS);
  figures.add(`burst of ${BURST}, writes`, 'ms', wrote.acknowledgedMs - wrote.sentMs);
  const published = agent.said.slice(images);
  figures.add(`burst of ${BURST}, publishes`, 'images', published.length);
  const lastMs = published.at(-1)!.atMs - wrote.acknowledgedMs;
  figures.add(`burst of ${BURST}, last write to last image`, 'ms', lastMs);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
