// Measurements of one agent: endpoint changes in a quiet and in a busy cluster, and a burst of
// other changes.

import { ADDRESSES, backend } from './change-world.ts';
import { addPercentiles, type Figures } from './figures.ts';
import type { FirstAnswer, Trips } from './prober-process.ts';
import { nowMs, type Published, type Talker } from './talk.ts';
import type { Order, Wrote } from './writer-process.ts';

export interface Parts {
  writer: Talker<Wrote>;
  prober: Talker<FirstAnswer | Trips>;
  agent: Talker<Published>;
}

const BURST = 1000;
/** Longer than the delay of a publish, so that two changes never share one. */
const PAUSE_MS_MIN = 30;
const PAUSE_MS_SPAN = 40;
/** Images later than this after the acknowledgement of a burst do not belong to it. */
const SETTLE_MS = 500;
const STAGE_SHARES = ['p50', 'p99'] as const;
const TRIP_SHARES = ['p99', 'max'] as const;

/** Changes the endpoint repeatedly for a while and records the times of every stage. */
export async function measureChanges(
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
    // The image with the change: the last one started before the answer.
    const image = agent.said.findLast(({ atMs, ms }) => atMs - ms < answer.atMs)!;
    stages['write to first answer'].push(answer.atMs - wrote.sentMs);
    stages['stage: write acknowledged'].push(wrote.acknowledgedMs - wrote.sentMs);
    stages['stage: write to compile begun'].push(image.atMs - image.ms - wrote.sentMs);
    stages['stage: compile and publish'].push(image.ms);
    stages['stage: published to answered'].push(Math.max(0, answer.atMs - image.atMs));
  }
  for (const [name, times] of Object.entries(stages)) {
    const shares = name.startsWith('stage') ? STAGE_SHARES : undefined;
    addPercentiles(figures, `${state}, ${name}`, times, shares);
  }
  addTrips(figures, state, await takeTrips(prober), agent.said.slice(images));
}

async function takeTrips(prober: Parts['prober']): Promise<Trips> {
  const from = prober.said.length;
  prober.say({ trips: true });
  return (await prober.hear('the round trips', (one) => 'tripMs' in one, from)) as Trips;
}

/** Round trips of datagrams in flight during an image change, and of the others. */
function addTrips(figures: Figures, state: string, trips: Trips, images: Published[]): void {
  const during: number[] = [];
  const apart: number[] = [];
  trips.sentMs.forEach((sentMs, i) => {
    const answeredMs = sentMs + trips.tripMs[i]!;
    const isDuring = images.some(({ atMs, ms }) => sentMs < atMs && answeredMs > atMs - ms);
    (isDuring ? during : apart).push(trips.tripMs[i]!);
  });
  addPercentiles(figures, `${state}, round trip during a publish`, during, TRIP_SHARES);
  addPercentiles(figures, `${state}, round trip otherwise`, apart, TRIP_SHARES);
  figures.add(`${state}, unanswered`, 'datagrams', trips.lost);
}

/** Counts the images of a burst of changes to other Services. */
export async function measureBurst({ writer, agent }: Parts, figures: Figures): Promise<void> {
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
