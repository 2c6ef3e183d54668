import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pacer } from '../../../../control/sync/pacer.ts';
import { FakeClock } from '../../../support/clock.ts';

function setUp() {
  const clock = new FakeClock();
  const runs: number[] = [];
  const pacer = new Pacer(clock, 20, () => runs.push(clock.monotonicMs()));
  return { clock, runs, pacer };
}

test('the first request after a pause runs at once, at the end of its turn', () => {
  const { clock, runs, pacer } = setUp();
  pacer.request();
  pacer.request();
  assert.deepEqual(runs, []);
  clock.advance(0);
  assert.deepEqual(runs, [0]);
  clock.advance(500);
  assert.deepEqual(runs, [0], 'no run without a request');
});

test('makes six runs for 1,000 requests in 100 ms, the last run after the last request', () => {
  const { clock, runs, pacer } = setUp();
  for (let i = 0; i < 1000; i++) {
    pacer.request();
    clock.advance(0.1);
  }
  const lastRequestMs = clock.monotonicMs() - 0.1;
  clock.advance(100);
  assert.deepEqual(
    runs.map((ms) => Math.round(ms)),
    [0, 20, 40, 60, 80, 100],
  );
  assert.ok(runs.at(-1)! >= lastRequestMs);
});

test('does not wait for an interval that has passed', () => {
  const { clock, runs, pacer } = setUp();
  pacer.request();
  clock.advance(25);
  pacer.request();
  clock.advance(0);
  assert.deepEqual(runs, [0, 25]);
});

test('runs nothing after a stop', () => {
  const { clock, runs, pacer } = setUp();
  pacer.request();
  pacer.stop();
  clock.advance(100);
  assert.deepEqual(runs, []);
});
