import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkImage,
  checkSteering,
  checkWorker,
  type Fault,
  HealthMonitor,
} from '../../../../control/health/monitor.ts';
import { FakeClock } from '../../../support/clock.ts';
import { fakeLog } from '../sync/fake-sink.ts';

test('records when a part became unhealthy and logs each change once', () => {
  const clock = new FakeClock(1000);
  const log = fakeLog();
  let fault: Fault | null = null;
  const monitor = new HealthMonitor({ checks: { worker: () => fault }, clock, log });
  clock.advance(5000);
  assert.deepEqual([monitor.isHealthy, log.lines], [true, []]);
  fault = { reason: 'dead' };
  clock.advance(5000);
  assert.deepEqual(monitor.look(), [{ part: 'worker', reason: 'dead', sinceMs: 7000 }]);
  fault = { reason: 'still dead' };
  assert.deepEqual(monitor.look(), [{ part: 'worker', reason: 'still dead', sinceMs: 7000 }]);
  assert.equal(log.lines.length, 1);
  fault = null;
  clock.advance(1000);
  assert.deepEqual([monitor.isHealthy, log.lines.length], [true, 2]);
  monitor.stop();
  assert.equal(clock.waiting, 0);
});

test('a check that throws makes only its own part unhealthy', () => {
  const fail = () => {
    throw new Error('EMFILE');
  };
  const checks = { steering: fail, worker: () => ({ reason: 'dead' }) };
  const monitor = new HealthMonitor({ checks, clock: new FakeClock(), log: fakeLog() });
  const { healthy, unhealthy } = monitor.report();
  assert.equal(healthy, false);
  assert.deepEqual(
    unhealthy.map(({ part, reason }) => `${part}: ${reason}`),
    ['steering: cannot be checked: Error: EMFILE', 'worker: dead'],
  );
  monitor.stop();
});

test('the worker is unhealthy while none runs, and 3 s after its last tick', () => {
  let ageMs = 3000;
  let workerFailure: string | null = null;
  let restarts = 0;
  const check = checkWorker({
    get restarts() {
      return restarts;
    },
    get workerFailure() {
      return workerFailure;
    },
    heartbeatAgeMs: () => ageMs,
  });
  assert.equal(check(10_000), null);
  ageMs = 3001;
  assert.equal(check(10_000)?.sinceMs, 6999);
  ageMs = 0;
  workerFailure = 'the worker ended: boom';
  assert.deepEqual(check(10_000), { reason: 'the worker ended: boom' });
  workerFailure = null;
  assert.equal(check(10_000), null);
  restarts++;
  assert.deepEqual(check(10_000), { reason: 'the worker has just restarted' });
  assert.equal(check(10_000), null);
});

test('an image that the worker does not use after 3 s is unhealthy, unless the worker progresses', () => {
  const sink = { generation: 5, taken: 5, acknowledged: () => sink.taken };
  const check = checkImage(sink);
  assert.equal(check(0), null);
  for (let ms = 0; ms < 10_000; ms += 500) {
    sink.generation += 10;
    sink.taken = sink.generation - 1;
    assert.equal(check(ms), null, 'one image behind, but progressing');
  }
  assert.equal(check(12_000), null);
  assert.equal(check(15_001)?.sinceMs, 9500);
  sink.taken = sink.generation;
  assert.equal(check(15_002), null);
});

/** The status of a reconciler, which a test can change. */
function reconciled() {
  const status = {
    ...{ okAtMs: 1000, missing: [] as string[] },
    ...{ foundMs: null as number | null, found: [] as string[] },
  };
  return { status, check: checkSteering({ status: () => status }) };
}

test('steering is unhealthy while a part is missing, and 20 s after the last comparison', () => {
  const { status, check } = reconciled();
  assert.equal(check(21_000), null);
  assert.equal(check(21_001)?.sinceMs, 1000);
  status.missing = ['rule 100', 'route', 'sysctl'];
  const reason = 'not in force: rule 100 and 2 more';
  assert.deepEqual(check(2000), { reason, sinceMs: 1000 });
});

test('repaired steering stays unhealthy for a short time', () => {
  const { status, check } = reconciled();
  for (const foundMs of [5000, 6000, 7000]) {
    Object.assign(status, { foundMs, found: ['rule 100', 'route'], okAtMs: foundMs });
    const reason = 'just repaired: rule 100 and 1 more';
    assert.deepEqual(check(foundMs + 900), { reason, sinceMs: foundMs });
  }
  assert.ok(check(8500));
  assert.equal(check(8501), null);
});

test('the next check reports a loss that is repaired already', () => {
  const { status, check } = reconciled();
  Object.assign(status, { foundMs: 5000, found: ['rule 100'], okAtMs: 9000 });
  assert.deepEqual(check(9000), { reason: 'just repaired: rule 100', sinceMs: 5000 });
  assert.equal(check(9000), null);
});

test('counts how many times each part became unhealthy', () => {
  let fault: Fault | null = null;
  const checks = { worker: () => fault, image: () => null };
  const monitor = new HealthMonitor({ checks, clock: new FakeClock(), log: fakeLog() });
  assert.deepEqual(monitor.report().faults, { worker: 0, image: 0 });
  for (const next of [{ reason: 'dead' }, { reason: 'dead' }, null, { reason: 'dead' }]) {
    fault = next;
    monitor.look();
  }
  assert.deepEqual(monitor.report().faults, { worker: 2, image: 0 });
  monitor.stop();
});
