import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIndexes, parseIndexes } from '../../../../control/model/indexes.ts';
import { isTimeZone, parseSchedule } from '../../../../control/model/schedule.ts';

/** Schedule, time zone, a time, and the next one after it. */
const NEXT: [string, string, string, string][] = [
  ['*/15 * * * *', 'UTC', '2026-03-01T10:07:30Z', '2026-03-01T10:15:00Z'],
  ['5/20 * * * *', 'UTC', '2026-03-01T10:26:00Z', '2026-03-01T10:45:00Z'],
  ['0 9 * * mon-fri', 'UTC', '2026-03-06T10:00:00Z', '2026-03-09T09:00:00Z'],
  ['0 0 13 * fri', 'UTC', '2026-03-01T00:00:00Z', '2026-03-06T00:00:00Z'],
  ['0 0 ? feb *', 'UTC', '2026-03-01T00:00:00Z', '2027-02-01T00:00:00Z'],
  ['0 0 */2 * 1', 'UTC', '2026-03-02T00:00:00Z', '2026-03-09T00:00:00Z'],
  ['@daily', 'UTC', '2026-03-01T00:00:00Z', '2026-03-02T00:00:00Z'],
  ['@weekly', 'UTC', '2026-03-02T00:00:00Z', '2026-03-08T00:00:00Z'],
  ['@every 1h30m', 'UTC', '2026-03-01T00:00:00Z', '2026-03-01T01:30:00Z'],
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
  ['@often', 'unrecognized descriptor: @often'],
  [' ', 'empty spec string'],
];

for (const [text, message] of REFUSED) {
  test(`refuses the schedule ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseSchedule(text), { message });
  });
}

test('knows time zones by their names', () => {
  assert.ok(isTimeZone('Europe/Berlin') && isTimeZone('UTC'));
  assert.ok(!isTimeZone('Europe/Atlantis'));
});

test('reads and writes lists of indexes', () => {
  const text = '0,2,3,5-8';
  assert.deepEqual([...parseIndexes(text, 100)], [0, 2, 3, 5, 6, 7, 8]);
  assert.equal(formatIndexes(parseIndexes(text, 100)), text);
  assert.deepEqual([...parseIndexes(text, 6)], [0, 2, 3, 5]);
  assert.equal(formatIndexes([]), '');
});
