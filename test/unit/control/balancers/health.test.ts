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
  ['one success brings in', ['ok'], true],
  ['one failure removes no node', ['ok', 'failed'], true],
  ['two in a row do', ['ok', 'failed', 'failed'], false],
  ['a success between them counts', ['ok', 'failed', 'ok', 'failed'], true],
  ['a 503 takes out at once', ['ok', 'refused'], false],
  ['what never answered well is out', ['failed'], false],
  ['one success brings back', ['ok', 'failed', 'failed', 'ok'], true],
  ['whoever is out stays so', ['ok', 'refused', 'failed', 'failed'], false],
];
for (const [what, answers, isHealthy] of ROWS) {
  test(`health: ${what}`, () => {
    const health = answers.reduce<ReturnType<typeof nextHealth> | null>(nextHealth, null);
    assert.equal(health!.isHealthy, isHealthy);
  });
}

/** Checks whose targets answer as `answers` says, by port; each waits until it is let go. */
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

test('targets are asked at once and then each second, and only changes are told', async () => {
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

test('who is asked no more is forgotten, and begins anew', async () => {
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

test('no more than 64 questions are under way at a time', async () => {
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
