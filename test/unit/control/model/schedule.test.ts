import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIndexes, parseIndexes } from '../../../../control/model/indexes.ts';
import { parseSchedule } from '../../../../control/model/schedule.ts';
import { timeZoneError } from '../../../../control/model/time-zone.ts';

/** Schedule, time zone, a time, and the next one after it. */
const NEXT: [string, string, string, string][] = [
  ['*/15 * * * *', 'UTC', '2026-03-01T10:07:30Z', '2026-03-01T10:15:00Z'],
  ['5/20 * * * *', 'UTC', '2026-03-01T10:26:00Z', '2026-03-01T10:45:00Z'],
  ['0 9 * * mon-fri', 'UTC', '2026-03-06T10:00:00Z', '2026-03-09T09:00:00Z'],
  ['0 0 13 * fri', 'UTC', '2026-03-01T00:00:00Z', '2026-03-06T00:00:00Z'],
  ['0 0 ? feb *', 'UTC', '2026-03-01T00:00:00Z', '2027-02-01T00:00:00Z'],
  // A step removes the star: days of the month or of the week.
  ['0 0 */2 * 1', 'UTC', '2026-03-02T00:00:00Z', '2026-03-03T00:00:00Z'],
  ['0 0 */1 * 1', 'UTC', '2026-03-02T00:00:00Z', '2026-03-09T00:00:00Z'],
  ['*/100 * * * *', 'UTC', '2026-03-01T10:07:00Z', '2026-03-01T11:00:00Z'],
  ['5/100 */99 * * *', 'UTC', '2026-03-01T00:05:00Z', '2026-03-02T00:05:00Z'],
  ['1,,2, * * * *', 'UTC', '2026-03-01T10:01:00Z', '2026-03-01T10:02:00Z'],
  ['+7 * * * *', 'UTC', '2026-03-01T10:00:00Z', '2026-03-01T10:07:00Z'],
  ['*-x 0 * * *', 'UTC', '2026-03-01T00:00:00Z', '2026-03-01T00:01:00Z'],
  ['0 0 1 1-3/9 *', 'UTC', '2026-03-01T00:00:00Z', '2027-01-01T00:00:00Z'],
  ['@daily', 'UTC', '2026-03-01T00:00:00Z', '2026-03-02T00:00:00Z'],
  ['@weekly', 'UTC', '2026-03-02T00:00:00Z', '2026-03-08T00:00:00Z'],
  ['@every 1h30m', 'UTC', '2026-03-01T00:00:00Z', '2026-03-01T01:30:00Z'],
  ['@every 1.5h2s', 'UTC', '2026-03-01T00:00:00Z', '2026-03-01T01:30:02Z'],
  ['@every 5ms', 'UTC', '2026-03-01T00:00:00Z', '2026-03-01T00:00:01Z'],
  ['30 8 * * *', 'Asia/Tokyo', '2026-03-01T00:00:00Z', '2026-03-01T23:30:00Z'],
  ['0 12 * * *', 'Europe/Berlin', '2026-03-28T11:00:00Z', '2026-03-29T10:00:00Z'],
];

for (const [text, zone, after, next] of NEXT) {
  test(`${text} in ${zone} after ${after} is at ${next}`, () => {
    const found = parseSchedule(text, zone).next(Date.parse(after));
    assert.equal(new Date(found!).toISOString(), next.replace('Z', '.000Z'));
  });
}

const REFUSED: [string, string][] = [
  ['* * * *', 'expected exactly 5 fields, found 4: [* * * *]'],
  ['* * * * * *', 'expected exactly 5 fields, found 6: [* * * * * *]'],
  ['60 * * * *', 'end of range (60) above maximum (59): 60'],
  ['* * 0 * *', 'beginning of range (0) below minimum (1): 0'],
  ['5-2 * * * *', 'beginning of range (5) beyond end of range (2): 5-2'],
  ['*/0 * * * *', 'step of range should be a positive number: */0'],
  ['1-2-3 * * * *', 'too many hyphens: 1-2-3'],
  ['1/2/3 * * * *', 'too many slashes: 1/2/3'],
  ['x * * * *', 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
  ['* * L * *', 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'],
  ['* * * * 7', 'end of range (7) above maximum (6): 7'],
  ['* * * * */mon', 'failed to parse int from mon: strconv.Atoi: parsing "mon": invalid syntax'],
  ['*/-5 * * * *', 'negative number (-5) not allowed: -5'],
  [
    '*/99999999999999999999 * * * *',
    'failed to parse int from 99999999999999999999: strconv.Atoi: parsing ' +
      '"99999999999999999999": value out of range',
  ],
  ['@every x', 'failed to parse duration @every x: time: invalid duration "x"'],
  ['@every 5', 'failed to parse duration @every 5: time: missing unit in duration "5"'],
  ['@every 1d', 'failed to parse duration @every 1d: time: unknown unit "d" in duration "1d"'],
  ['@often', 'unrecognized descriptor: @often'],
  [' ', 'empty spec string'],
];

for (const [text, message] of REFUSED) {
  test(`refuses the schedule ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseSchedule(text), { message });
  });
}

test('a field without a value is never', () => {
  assert.equal(parseSchedule(', * * * *').next(0), null);
});

const ZONES = ['Europe/Berlin', 'Asia/Kolkata', 'Asia/Calcutta', 'US/Eastern', 'UTC', 'Etc/GMT+5'];
for (const name of ZONES) {
  test(`${name} is a time zone, with times`, () => {
    assert.equal(timeZoneError(name), null);
    assert.ok(parseSchedule('0 12 * * *', name).next(0)! > 0);
  });
}

const NO_ZONES = [
  'Europe/Atlantis',
  'europe/berlin',
  'us/eastern',
  'utc',
  '+02:00',
  'PST',
  '-0500',
];
for (const name of NO_ZONES) {
  test(`${name} is no time zone`, () => {
    assert.equal(timeZoneError(name), `unknown time zone ${name}`);
  });
}

test('refuses the path of a file as a time zone', () => {
  for (const name of ['/etc/localtime', '\\x', '../UTC']) {
    assert.equal(timeZoneError(name), 'time: invalid location name');
  }
});

test('reads and writes lists of indexes', () => {
  const text = '0,2,3,5-8';
  assert.deepEqual([...parseIndexes(text, 100)], [0, 2, 3, 5, 6, 7, 8]);
  assert.equal(formatIndexes(parseIndexes(text, 100)), text);
  assert.deepEqual([...parseIndexes(text, 6)], [0, 2, 3, 5]);
  assert.equal(formatIndexes([]), '');
});
