import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type HealthAnswer,
  HealthChecks,
  type HealthTarget,
  nextHealth,
} from '../../../../control/balancers/health.ts';
import { FakeClock } from '../../../support/clock.ts';

const ROWS: [what: string, answers: HealthAnswer[], isHealthy: boolean][] = [
  ['one success puts a target in', ['ok'], true],
  ['one failure does not take it out', ['ok', 'failed'], true],
  ['two failures in a row take it out', ['ok', 'failed', 'failed'], false],
  ['a success between two failures keeps it in', ['ok', 'failed', 'ok', 'failed'], true],
  ['a 503 takes it out at once', ['ok', 'refused'], false],
  ['a target is out before its first success', ['failed'], false],
  ['one success puts it back', ['ok', 'failed', 'failed', 'ok'], true],
  ['failures keep it out', ['ok', 'refused', 'failed', 'failed'], false],
];
for (const [what, answers, isHealthy] of ROWS) {
  test(`health: ${what}`, () => {
    const health = answers.reduce<ReturnType<typeof nextHealth> | null>(nextHealth, null);
    assert.equal(health!.isHealthy, isHealthy);
  });
}

/** Checks of targets: the target at a port gives the answer `answers[port]`. */
function startChecks(answers: Record<number, HealthAnswer>) {
  const clock = new FakeClock(0);
  const changes: string[] = [];
  const asked: number[] = [];
  let settled = 0;
  const checks = new HealthChecks({
    ask: ({ port }) => {
      asked.push(port);
      return Promise.resolve(answers[port]!);
    },
    onChange: ({ port }, isHealthy) => changes.push(`${port} ${isHealthy}`),
    onSettled: () => settled++,
    clock,
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { checks, clock, changes, asked, settle, settled: () => settled };
}

const target = (port: number): HealthTarget => ({ address: 1, port });

test('checks targets at once and then every second, and reports only changes', async () => {
  const answers: Record<number, HealthAnswer> = { 1: 'ok', 2: 'failed' };
  const { checks, clock, changes, asked, settle, settled } = startChecks(answers);
  checks.follow([target(1), target(2)]);
  assert.equal(settled(), 0);
  await settle();
  assert.equal(settled(), 1, 'all have answered');
  assert.deepEqual(changes, ['1 true']);
  clock.advance(999);
  await settle();
  assert.equal(asked.length, 2);
  clock.advance(1);
  await settle();
  assert.deepEqual(asked, [1, 2, 1, 2]);
  answers[1] = 'refused';
  clock.advance(1000);
  await settle();
  assert.deepEqual(changes, ['1 true', '1 false']);
  assert.equal(checks.isHealthy(target(1)), false);
});

test('forgets a removed target, and waits for its first result when it returns', async () => {
  const { checks, clock, asked, settle } = startChecks({ 1: 'ok' });
  checks.follow([target(1)]);
  await settle();
  checks.follow([]);
  clock.advance(5000);
  await settle();
  assert.deepEqual([asked.length, checks.isHealthy(target(1))], [1, false]);
  checks.follow([target(1)]);
  assert.equal(checks.isSettled, false);
});

test('at most 64 checks run at a time', async () => {
  let asking = 0;
  const free: (() => void)[] = [];
  const checks = new HealthChecks({
    ask: () =>
      new Promise((resolve) => {
        asking++;
        free.push(() => resolve('ok'));
      }),
    ...{ onChange: () => {}, onSettled: () => {}, clock: new FakeClock(0) },
  });
  checks.follow(Array.from({ length: 100 }, (_, port) => target(port)));
  assert.equal(asking, 64);
  for (const go of free.splice(0)) go();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(asking, 100);
});
