// Looks again and again whether the network of a lab is as it was made, and makes what has gone
// again.
import type { Logger } from 'pino';
import { WALL_CLOCK } from '../../control/clock.ts';
import { mendPlan } from '../plan/apply.ts';
import { planLab } from '../plan/plan.ts';
import { mendCables } from '../pods/sandbox/cables.ts';
import { readRecord } from '../state/record.ts';

const LOOK_MS = 5000;

/**
 * Returns what stops the look. What is found is logged once; `lab status` shows what cannot be made
 * again.
 */
export function keepNetwork(lab: string, log: Logger): () => void {
  let said = '';
  let cancel = () => {};
  let isStopped = false;
  const look = async () => {
    try {
      const record = readRecord(lab);
      // Without a record the lab is being ended.
      if (!record) return;
      const missing = await mendPlan(planLab(lab, record.topology));
      missing.push(...(await mendCables(record)));
      const text = missing.join('\n');
      if (text !== said && text !== '') log.warn({ missing }, 'the network is made whole again');
      said = text;
    } catch (error) {
      if (said !== String(error)) log.error({ why: String(error) }, 'the network is not whole');
      said = String(error);
    } finally {
      if (!isStopped) cancel = WALL_CLOCK.after(LOOK_MS, () => void look());
    }
  };
  cancel = WALL_CLOCK.after(LOOK_MS, () => void look());
  return () => {
    isStopped = true;
    cancel();
  };
}
