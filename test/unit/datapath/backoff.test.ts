import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, RESTART_PACE } from '../../../datapath/backoff.ts';
import { CONTAINER_PACE } from '../../../lab/pods/container/container.ts';

function delays(backoff: Backoff, count: number): number[] {
  return Array.from({ length: count }, () => backoff.next(1000));
}

test('a thread restarts after 100 ms, then after twice as long each time up to 5 s', () => {
  const backoff = new Backoff(RESTART_PACE);
  assert.deepEqual(delays(backoff, 8), [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  assert.equal(backoff.next(10_000), 100, 'ten good seconds reset the delay');
});

test('a container restarts at once, then after 10 s, up to five minutes', () => {
  const seconds = delays(new Backoff(CONTAINER_PACE), 8).map((ms) => ms / 1000);
  assert.deepEqual(seconds, [0, 10, 20, 40, 80, 160, 300, 300]);
});

test('ten good minutes reset the delay of a container', () => {
  const backoff = new Backoff(CONTAINER_PACE);
  delays(backoff, 4);
  assert.equal(backoff.next(600_001), 0);
  assert.equal(backoff.next(1000), 10_000);
});
