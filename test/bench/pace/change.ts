// `bench change`: the time from the write of an EndpointSlice to the new backend's first answer.

import { loadavg } from 'node:os';
import { onInterrupt } from '../../../control/interrupt.ts';
import { buildReport, type Report } from '../report.ts';
import { measureBurst, measureChanges } from './change-measure.ts';
import { ChangeWorld } from './change-world.ts';
import { ENDPOINTS } from './cluster.ts';
import { Figures } from './figures.ts';
import { measureHold } from './hold.ts';
import { nowMs } from './talk.ts';
import type { Order } from './writer-process.ts';

export interface ChangeOptions {
  rounds: number;
  /** Duration of the endpoint changes in each state, per round. */
  seconds: number;
  services: number;
  progress: (line: string) => void;
}

/** Other changes per second in the busy cluster. */
const CHURN = 200;

/** Each round has its own agent. Removes everything afterwards, also when interrupted. */
export async function benchChange(options: ChangeOptions): Promise<Report> {
  const { rounds, services, progress } = options;
  const world = new ChangeWorld();
  const disarm = onInterrupt(() => world.end());
  const figures = new Figures();
  try {
    await world.begin(services);
    const changes = { next: 1 };
    for (let round = 1; round <= rounds; round++) {
      const mark = figures.count;
      await measureRound(world, options, changes, figures);
      for (const line of figures.since(mark)) progress(`round ${round}/${rounds}: ${line}`);
    }
    const about = 'from the write to the first datagram that the new backend answers';
    return buildReport('change', rounds, figures.series, () => [], [
      `${services} Services of ${ENDPOINTS} endpoints; ${about}; ${changes.next - 1} changes`,
      'a datagram a millisecond, each from another port; API server, agent and pods share the cores',
      `load average ${loadavg()[0]!.toFixed(1)} at the end, this included`,
    ]);
  } finally {
    await world.end();
    disarm();
  }
}

async function measureRound(
  world: ChangeWorld,
  { seconds, services }: ChangeOptions,
  changes: { next: number },
  figures: Figures,
): Promise<void> {
  const { writer } = world;
  measureHold(services, figures);
  const begunMs = nowMs();
  const agent = await world.startAgent();
  const first = await agent.hear('the first image', () => true);
  figures.add('agent start to first image', 'ms', first.atMs - begunMs);
  figures.add('first image: compile and publish all', 'ms', first.ms);
  const parts = { writer, prober: await world.startProber(), agent };
  await measureChanges('quiet', parts, seconds, changes, figures);
  writer.say({ churn: CHURN } satisfies Order);
  await measureChanges(`${CHURN} others a second`, parts, seconds, changes, figures);
  writer.say({ churn: 0 } satisfies Order);
  await measureBurst(parts, figures);
  await agent.end();
}
