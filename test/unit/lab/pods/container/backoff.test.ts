import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../../../../lab/pods/container/backoff.ts';

test('the first restart comes at once, each one after later, up to five minutes', () => {
  const backoff = new Backoff();
  const delays = Array.from({ length: 8 }, () => backoff.next(1000) / 1000);
  assert.deepEqual(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
});

test('what has lived for ten minutes begins anew', () => {
  const backoff = new Backoff();
  for (let i = 0; i < 4; i++) backoff.next(1000);
  assert.equal(backoff.next(600_001), 0);
  assert.equal(backoff.next(1000), 10_000);
});
