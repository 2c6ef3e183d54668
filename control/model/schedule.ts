// Schedules of CronJobs, in the syntax of robfig/cron that Kubernetes uses. croner finds the times.
import { Cron } from 'croner';

/** A field of a schedule. Names stand for numbers from `min`. */
interface Field {
  min: number;
  max: number;
  names: string[];
}

const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
const DAYS = 'sun mon tue wed thu fri sat'.split(' ');
const FIELDS: Field[] = [
  { min: 0, max: 59, names: [] },
  { min: 0, max: 23, names: [] },
  { min: 1, max: 31, names: [] },
  { min: 1, max: 12, names: MONTHS },
  { min: 0, max: 6, names: DAYS },
];
const DESCRIPTORS: Record<string, string> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};
const EVERY = '@every ';
const UNITS_S: Record<string, number> = { h: 3600, m: 60, s: 1 };

export interface Schedule {
  /** The first time after another, in milliseconds since 1970. Null if there is none. */
  next(afterMs: number): number | null;
}

/**
 * Reads a schedule. Without a time zone it is in UTC. Throws RangeError for a text that is no
 * schedule, in the words of robfig/cron.
 */
export function parseSchedule(text: string, timeZone = 'UTC'): Schedule {
  if (text.startsWith(EVERY)) return every(text);
  const pattern = text.startsWith('@') ? describe(text) : text.trim();
  const fields = pattern === '' ? [] : pattern.split(/\s+/);
  if (fields.length === 0) throw new RangeError('empty spec string');
  if (fields.length !== FIELDS.length) {
    throw new RangeError(
      `expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`,
    );
  }
  const plain = fields.map((field, i) => {
    for (const part of field.split(',')) checkRange(part, FIELDS[i]!);
    return field.replaceAll('?', '*');
  });
  // Days of the month and of the week both count, unless one of them has a star.
  const domAndDow = plain[2]!.includes('*') || plain[4]!.includes('*');
  const options = { timezone: timeZone, mode: '5-part', sloppyRanges: true, domAndDow } as const;
  const cron = new Cron(plain.join(' '), options);
  return { next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() ?? null };
}

/** True for the name of a time zone, such as `Europe/Berlin`. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function describe(text: string): string {
  if (Object.hasOwn(DESCRIPTORS, text)) return DESCRIPTORS[text]!;
  throw new RangeError(`unrecognized descriptor: ${text}`);
}

function every(text: string): Schedule {
  const parts = [...text.slice(EVERY.length).matchAll(/(\d+)([hms])/g)];
  const seconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS_S[unit!]!, 0);
  if (parts.map(([part]) => part).join('') !== text.slice(EVERY.length) || seconds === 0) {
    throw new RangeError(`failed to parse duration ${text}: expected a time such as 1h30m`);
  }
  const stepMs = seconds * 1000;
  return { next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + stepMs };
}

function checkRange(text: string, field: Field): void {
  const [range = '', step, ...slashes] = text.split('/');
  const [low = '', high, ...hyphens] = range.split('-');
  if (hyphens.length > 0) throw new RangeError(`too many hyphens: ${text}`);
  if (slashes.length > 0) throw new RangeError(`too many slashes: ${text}`);
  const isAny = low === '*' || low === '?';
  const start = isAny ? field.min : numberOf(low, field);
  const last = high === undefined ? start : numberOf(high, field);
  const end = isAny || (high === undefined && step !== undefined) ? field.max : last;
  if (start < field.min) {
    throw new RangeError(`beginning of range (${start}) below minimum (${field.min}): ${text}`);
  }
  if (end > field.max) {
    throw new RangeError(`end of range (${end}) above maximum (${field.max}): ${text}`);
  }
  if (start > end) {
    throw new RangeError(`beginning of range (${start}) beyond end of range (${end}): ${text}`);
  }
  if (step !== undefined && numberOf(step, field) === 0) {
    throw new RangeError(`step of range should be a positive number: ${text}`);
  }
}

function numberOf(text: string, { min, names }: Field): number {
  const name = names.indexOf(text.toLowerCase());
  if (name >= 0) return min + name;
  if (/^\d+$/.test(text)) return Number(text);
  const why = `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw new RangeError(`failed to parse int from ${text}: ${why}`);
}
