import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Probe } from '../../../../../control/kube/kinds.ts';
import { ProbeTrack, planProbe } from '../../../../../lab/pods/probe/loop.ts';

const PROBE: Probe = { initialDelaySeconds: 5, periodSeconds: 2, failureThreshold: 3 };

function track(change: Probe = {}): ProbeTrack {
  return new ProbeTrack(planProbe({ ...PROBE, ...change }), 1000, 1000);
}

test("an empty probe has upstream's defaults", () => {
  assert.deepEqual(planProbe({}), {
    delayMs: 0,
    periodMs: 10_000,
    timeoutMs: 1000,
    successThreshold: 1,
    failureThreshold: 3,
  });
});

test('the first attempt is due after the initial delay, counted from the start of the container', () => {
  assert.equal(track().dueMs, 6000);
  const late = new ProbeTrack(planProbe(PROBE), 1000, 60_000);
  assert.equal(late.dueMs, 60_000, 'a container that has run for long is probed at once');
});

test('attempts start one period apart, whatever their duration', () => {
  const probe = track();
  probe.take(true, 6000, 7500);
  assert.equal(probe.dueMs, 8000);
});

test('skips periods that a long attempt has missed', () => {
  const probe = track();
  probe.take(true, 6000, 11_000);
  assert.equal(probe.dueMs, 11_000);
});

test('failures in a row are a verdict from the threshold on', () => {
  const probe = track();
  const verdicts = [false, false, true, false, false, false, false].map((good) =>
    probe.take(good, 0, 0),
  );
  assert.deepEqual(verdicts, [null, null, true, null, null, false, false]);
});

test('a success threshold counts successes in a row', () => {
  const probe = track({ successThreshold: 2, failureThreshold: 1 });
  const verdicts = [true, false, true, true].map((good) => probe.take(good, 0, 0));
  assert.deepEqual(verdicts, [null, false, null, true]);
});
