// Runs scenarios with real packets. Starts labs, and removes them in every case.

import type { ProxyKind } from '../../../control/agent-options.ts';
import { onInterrupt } from '../../../control/interrupt.ts';
import { kubetun } from '../../support/lab.ts';
import type { Scenario } from '../row.ts';
import { type LiveAnswer, LiveWorld, topologyKey } from './world.ts';

export interface LiveResult {
  scenario: Scenario;
  answer: LiveAnswer;
}

/** The result of every row, in the order of the scenarios. Scenarios of one shape share a lab. */
export async function answerLive(
  lab: string,
  proxy: ProxyKind,
  scenarios: Scenario[],
): Promise<LiveResult[]> {
  const disarm = onInterrupt(() => kubetun('lab', 'down', '--lab', lab));
  const answers = new Map<Scenario, LiveAnswer>();
  try {
    for (const group of Map.groupBy(scenarios, topologyKey).values()) {
      const world = await LiveWorld.start(lab, proxy, group);
      try {
        for (const scenario of group) answers.set(scenario, await world.run(scenario));
      } finally {
        await world.down();
      }
    }
  } finally {
    disarm();
  }
  return scenarios.map((scenario) => ({ scenario, answer: answers.get(scenario)! }));
}
