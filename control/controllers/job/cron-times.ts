// Which time a CronJob runs for: pkg/controller/cronjob/utils.go.
import type { KubeObject } from '../../kube/object.ts';
import type { Schedule } from '../../model/schedule.ts';

export interface MissedTime {
  /** The last time of the schedule that has passed without a Job. */
  ms: number;
  isTooMany: boolean;
}

/** Missed times that are still normal. */
const MISSED_MAX = 100;

/** The last time that has passed since the last Job. Null if none has. */
export function missedTime(
  { metadata, spec, status }: KubeObject,
  schedule: Schedule,
  nowMs: number,
): MissedTime | null {
  const last: string = status?.lastScheduleTime ?? metadata.creationTimestamp;
  const deadlineS: number = spec.startingDeadlineSeconds ?? Number.POSITIVE_INFINITY;
  let found = schedule.next(Math.max(Date.parse(last), nowMs - deadlineS * 1000));
  if (found === null || found > nowMs) return null;
  for (let missed = 1; ; missed++) {
    const next = schedule.next(found);
    if (next === null || next > nowMs) return { ms: found, isTooMany: missed > MISSED_MAX };
    // After a long gap only the latest times of the schedule matter.
    if (missed === MISSED_MAX) found = closeTo(schedule, next, nowMs);
    else found = next;
  }
}

/** A time of the schedule not long before now. */
function closeTo(schedule: Schedule, fromMs: number, nowMs: number): number {
  for (let backMs = 120_000; backMs < nowMs - fromMs; backMs *= 2) {
    const found = schedule.next(nowMs - backMs);
    if (found !== null && found <= nowMs) return found;
  }
  return fromMs;
}

/** A time as events name it: RFC 1123 with a numeric zone. */
export function formatTime(ms: number): string {
  return new Date(ms).toUTCString().replace('GMT', '+0000');
}
