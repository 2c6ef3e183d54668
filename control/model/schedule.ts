// Schedules of CronJobs: github.com/robfig/cron (ParseStandard), which Kubernetes uses.
import { Cron } from 'croner';

/** When a CronJob is due, in milliseconds since 1970. */
export interface Schedule {
  /** The first time after `ms`; null if there is none. */
  after(ms: number): number | null;
  /** The last time up to and including `ms`; null if there is none. */
  upTo(ms: number): number | null;
}

const MACROS = ['@annually', '@yearly', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];
const UTC = 'Etc/UTC';
const SECOND_MS = 1000;

/** Throws an Error that says what is wrong with a schedule of five fields, or with a time zone. */
export function parseSchedule(text: string, timezone: string = UTC): Schedule {
  if (/TZ/.test(text)) throw new Error('cannot use TZ or CRON_TZ in schedule, use timeZone field');
  if (text.startsWith('@') && !MACROS.includes(text)) {
    throw new Error(`unrecognized descriptor: ${text} (known are ${MACROS.join(', ')})`);
  }
  const cron = new Cron(text.replace('@midnight', '@daily').replace('@annually', '@yearly'), {
    timezone,
    paused: true,
    ...(!text.startsWith('@') && { mode: '5-part' }),
  });
  const msOf = (date: Date | null | undefined) => date?.getTime() ?? null;
  return {
    after: (ms) => msOf(cron.nextRun(new Date(ms))),
    // Earlier runs end before a whole second.
    upTo(ms) {
      const end = new Date((Math.floor(ms / SECOND_MS) + 1) * SECOND_MS);
      return msOf(cron.previousRuns(1, end)[0]);
    },
  };
}

/** True for the name of a time zone that this machine knows. `Local` is none. */
export function isTimeZone(name: string): boolean {
  if (name === '' || name.toLowerCase() === 'local') return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
