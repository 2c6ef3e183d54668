// Schedules of CronJobs, in the syntax of robfig/cron v3 that Kubernetes uses. croner finds the
// times. It gets lists of plain numbers, so the syntax is that of this file alone.
import { Cron } from 'croner';

/** A field of a schedule. Names stand for numbers from `min`. */
interface Field {
  min: number;
  max: number;
  names: string[];
}

/** The values of a field. A field that is not a star limits the days. */
interface Values {
  values: Set<number>;
  isStar: boolean;
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
const UNITS_S: Record<string, number> = {
  ...{ ns: 1e-9, us: 1e-6, µs: 1e-6, μs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 },
};
const INT64_MAX = 2n ** 63n - 1n;

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
  const parsed = fields.map((field, i) => readField(field, FIELDS[i]!));
  // A field of commas alone has no value, so the schedule has no time.
  if (parsed.some(({ values }) => values.size === 0)) return { next: () => null };
  const [, , dayOfMonth, , dayOfWeek] = parsed;
  // Days of the month and of the week both count, unless one of them has a star.
  const domAndDow = dayOfMonth!.isStar || dayOfWeek!.isStar;
  const options = { timezone: timeZone, mode: '5-part', domAndDow } as const;
  const cron = new Cron(parsed.map(writeField).join(' '), options);
  return { next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() ?? null };
}

function describe(text: string): string {
  if (Object.hasOwn(DESCRIPTORS, text)) return DESCRIPTORS[text]!;
  throw new RangeError(`unrecognized descriptor: ${text}`);
}

function every(text: string): Schedule {
  const seconds = secondsOf(text, text.slice(EVERY.length));
  const stepMs = Math.max(1, Math.floor(seconds)) * 1000;
  return { next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + stepMs };
}

/** Go's time.ParseDuration, without its limit of 290 years. */
function secondsOf(schedule: string, text: string): number {
  const fail = (what: string, of = '') => {
    const where = `${of && ` ${JSON.stringify(of)} in`} duration ${JSON.stringify(text)}`;
    return new RangeError(`failed to parse duration ${schedule}: time: ${what}${where}`);
  };
  const [, sign, rest = ''] = /^([+-]?)(.*)$/s.exec(text)!;
  if (rest === '0') return 0;
  if (!/^(\d|\.\d)/.test(rest)) throw fail('invalid');
  let seconds = 0;
  for (const [part, count, unit] of rest.matchAll(/(\d*\.?\d*)([^\d.]*)/g)) {
    if (part === '') continue;
    if (!/\d/.test(count!)) throw fail('invalid');
    if (unit === '') throw fail('missing unit in');
    if (!Object.hasOwn(UNITS_S, unit!)) throw fail('unknown unit', unit);
    seconds += Number(count) * UNITS_S[unit!]!;
  }
  return sign === '-' ? -seconds : seconds;
}

function readField(text: string, field: Field): Values {
  const ranges = text.split(',').filter((part) => part !== '');
  const parsed = ranges.map((part) => readRange(part, field));
  const values = new Set(parsed.flatMap((range) => [...range.values]));
  return { values, isStar: parsed.some(({ isStar }) => isStar) };
}

function readRange(text: string, field: Field): Values {
  const [range = '', step, ...slashes] = text.split('/');
  const [low = '', high, ...hyphens] = range.split('-');
  const isAny = low === '*' || low === '?';
  let [start, end] = [field.min, field.max];
  if (!isAny) {
    start = namedNumber(low, field);
    if (hyphens.length > 0) throw new RangeError(`too many hyphens: ${text}`);
    end = high === undefined ? start : namedNumber(high, field);
  }
  if (slashes.length > 0) throw new RangeError(`too many slashes: ${text}`);
  const stride = step === undefined ? 1 : numberOf(step);
  if (step !== undefined && high === undefined) end = field.max;
  if (start < field.min) {
    throw new RangeError(`beginning of range (${start}) below minimum (${field.min}): ${text}`);
  }
  if (end > field.max) {
    throw new RangeError(`end of range (${end}) above maximum (${field.max}): ${text}`);
  }
  if (start > end) {
    throw new RangeError(`beginning of range (${start}) beyond end of range (${end}): ${text}`);
  }
  if (stride === 0) {
    throw new RangeError(`step of range should be a positive number: ${text}`);
  }
  const values = new Set<number>();
  for (let value = start; value <= end; value += stride) values.add(value);
  return { values, isStar: isAny && stride === 1 };
}

/** A star has to stay one: for croner, a full list of days would be a limit. */
function writeField({ values, isStar }: Values): string {
  return isStar ? '*' : [...values].join(',');
}

function namedNumber(text: string, { min, names }: Field): number {
  const name = names.indexOf(text.toLowerCase());
  return name < 0 ? numberOf(text) : min + name;
}

function numberOf(text: string): number {
  const isNumber = /^[+-]?\d+$/.test(text);
  if (isNumber && BigInt(text.replace('+', '')) <= INT64_MAX) {
    const number = Number(text);
    if (number >= 0) return number;
    throw new RangeError(`negative number (${number}) not allowed: ${text}`);
  }
  const why = isNumber ? 'value out of range' : 'invalid syntax';
  const detail = `strconv.Atoi: parsing ${JSON.stringify(text)}: ${why}`;
  throw new RangeError(`failed to parse int from ${text}: ${detail}`);
}
