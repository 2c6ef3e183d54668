import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { finish, STEP_ELEMENTS, sortInSteps } from '../../../datapath/steps.ts';

test('sorting in steps is stable and agrees with Array.sort, over many runs', () => {
  const length = fc.constantFrom(0, 1, STEP_ELEMENTS, STEP_ELEMENTS + 1, 3 * STEP_ELEMENTS + 7);
  const property = fc.property(length, fc.integer(), (count, seed) => {
    const list = Array.from({ length: count }, (_, n) => ({
      key: Math.imul(n ^ seed, 0x9e3779b1) >>> 24,
      n,
    }));
    const byKey = (a: { key: number }, b: { key: number }) => a.key - b.key;
    const expected = list.toSorted(byKey);
    finish(sortInSteps(list, byKey));
    assert.deepEqual(list, expected);
  });
  fc.assert(property, { numRuns: 50 });
});

test('sorting yields after every run and after a bounded number of merged elements', () => {
  const list = Array.from({ length: 8 * STEP_ELEMENTS }, (_, n) => -n);
  const rests = [...sortInSteps(list, (a, b) => a - b)].length;
  assert.equal(rests, 8 + 3 * 8);
});
