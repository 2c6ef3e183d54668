import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Stop, stopContainer } from '../../../../../lab/pods/container/stop.ts';
import { TestClock } from '../../../../support/clock.ts';

/**
 * A process that ends a number of ms after a signal, or never, and its hook. `log` has the events
 * with their times.
 */
function world({
  obeys = null as number | null,
  hookMs = null as number | null,
  graceMs = 10_000,
} = {}) {
  const clock = new TestClock();
  const log: string[] = [];
  const state = { gone: false, deadlineMs: graceMs };
  const note = (what: string) => log.push(`${clock.unixMs()} ${what}`);
  const stop: Stop = {
    process: { pid: 1, start: 1 },
    clock,
    gone: () => state.gone,
    deadlineMs: () => state.deadlineMs,
    preStop:
      hookMs === null
        ? null
        : (timeoutMs) => {
            note(`hook ${timeoutMs}`);
            return new Promise<void>((resolve) => void clock.after(hookMs, resolve));
          },
    send: (_process, name) => {
      note(name);
      if (name === 'SIGKILL') state.gone = true;
      else if (obeys !== null) clock.after(obeys, () => Object.assign(state, { gone: true }));
    },
  };
  return { clock, log, state, done: stopContainer(stop) };
}

test('a container that ends on SIGTERM gets no other signal', async () => {
  const { clock, log, done } = world({ obeys: 500 });
  await clock.pass(20_000);
  await done;
  assert.deepEqual(log, ['0 SIGTERM']);
});

test('kills a container after its grace period', async () => {
  const { clock, log, done } = world({});
  await clock.pass(20_000);
  await done;
  assert.deepEqual(log, ['0 SIGTERM', '10000 SIGKILL']);
});

test('the hook runs before SIGTERM and uses up the grace period', async () => {
  const { clock, log, done } = world({ hookMs: 3000 });
  await clock.pass(20_000);
  await done;
  assert.deepEqual(log, ['0 hook 10000', '3000 SIGTERM', '10000 SIGKILL']);
});

test('leaves two seconds after a hook that uses up the grace period', async () => {
  const { clock, log, done } = world({ hookMs: 60_000 });
  await clock.pass(20_000);
  await done;
  assert.deepEqual(log, ['0 hook 10000', '10000 SIGTERM', '12000 SIGKILL']);
});

test('without a grace period there is neither hook nor delay', async () => {
  const { clock, log, done } = world({ hookMs: 10, graceMs: 0 });
  await clock.pass(0);
  await done;
  assert.deepEqual(log, ['0 SIGTERM', '0 SIGKILL']);
});

test('keeps a deadline that becomes earlier, also during a hook', async () => {
  const { clock, log, state, done } = world({ hookMs: 60_000 });
  await clock.pass(1000);
  state.deadlineMs = 2000;
  await clock.pass(1500);
  state.deadlineMs = 0;
  await clock.pass(1000);
  await done;
  assert.deepEqual(log, ['0 hook 10000', '2000 SIGTERM', '2520 SIGKILL']);
});
