// Checks the network of a lab every few seconds and repairs it.
import type { Logger } from 'pino';
import { WALL_CLOCK } from '../../control/clock.ts';
import { mendPlan } from '../plan/apply.ts';
import { planLab } from '../plan/plan.ts';
import { mendCables } from '../pods/sandbox/cables.ts';
import { readRecord } from '../state/record.ts';

const LOOK_MS = 5000;

/**
 * Returns a function that stops the checks. A finding is logged once. `lab status` shows what
 * cannot be repaired.
 */
export function keepNetwork(lab: string, log: Logger): () => void {
  let said = '';
  let cancel = () => {};
  let isStopped = false;
  const look = async () => {
    try {
      const record = readRecord(lab);
      // Without a record the lab is ending.
      if (!record) return;
      const missing = await mendPlan(planLab(lab, record.topology));
      missing.push(...(await mendCables(record)));
      const text = missing.join('\n');
      if (text !== said && text !== '') log.warn({ missing }, 'repaired the network');
      said = text;
    } catch (error) {
      if (said !== String(error)) log.error({ why: String(error) }, 'cannot repair the network');
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
