import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { StatusError } from '../../../../control/apiserver/status.ts';
import { WorkQueue } from '../../../../control/controllers/queue.ts';
import { FakeClock } from '../../../support/clock.ts';

test('a key added several times is worked on once', async () => {
  const worked: string[] = [];
  const queue = new WorkQueue((key) => worked.push(key));
  for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
  assert.deepEqual(worked, [], 'never within the call that adds');
  await queue.idle();
  assert.deepEqual(worked, ['a', 'b']);
  assert.equal(queue.isIdle, true);
});

test('a key added during its work is worked on again', async () => {
  let turns = 0;
  const queue = new WorkQueue((key) => {
    turns++;
    if (turns < 3) queue.add(key);
  });
  queue.add('a');
  await queue.idle();
  assert.equal(turns, 3);
});

test('failed work is reported and does not delay other keys', async () => {
  const reported = mock.method(console, 'error', () => {});
  const worked: string[] = [];
  const queue = new WorkQueue((key) => {
    if (key === 'bad') throw new Error('cannot');
    worked.push(key);
  }, new FakeClock());
  for (const key of ['bad', 'good']) queue.add(key);
  await queue.idle();
  reported.mock.restore();
  assert.deepEqual(worked, ['good']);
  assert.match(String(reported.mock.calls[0]?.arguments[0]), /bad.*cannot/);
});

test('a task is retried after a second if the server cannot write', async (t) => {
  const reported = mock.method(console, 'error', () => {});
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let turns = 0;
  const queue = new WorkQueue(() => {
    turns++;
    if (turns === 1) throw new StatusError(500, 'InternalError', 'no space');
  });
  queue.add('a');
  await queue.idle();
  assert.equal(turns, 1);
  t.mock.timers.tick(1000);
  await queue.idle();
  reported.mock.restore();
  assert.equal(turns, 2);
});

test('a stopped queue does no work, and idle resolves', async () => {
  const worked: string[] = [];
  const queue = new WorkQueue((key) => worked.push(key));
  queue.add('a');
  const idle = queue.idle();
  queue.stop();
  queue.add('b');
  await idle;
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(worked, []);
});

test('a delayed key waits, and the shorter of two delays counts', async () => {
  const clock = new FakeClock();
  const worked: string[] = [];
  const queue = new WorkQueue((key) => worked.push(key), clock);
  queue.addAfter('a', 1000);
  queue.addAfter('a', 5000);
  queue.addAfter('b', 5000);
  queue.addAfter('b', 2000);
  assert.equal(queue.isIdle, true);
  clock.advance(1000);
  await queue.idle();
  assert.deepEqual(worked, ['a']);
  clock.advance(1000);
  await queue.idle();
  assert.deepEqual(worked, ['a', 'b']);
  clock.advance(10_000);
  await queue.idle();
  assert.deepEqual(worked, ['a', 'b']);
});

test('failed work is retried with doubled delays up to a limit', async () => {
  const clock = new FakeClock();
  const reported = mock.method(console, 'error', () => {});
  let isBroken = true;
  const turns: number[] = [];
  const queue = new WorkQueue(() => {
    turns.push(clock.unixMs());
    if (isBroken) throw new Error('cannot');
  }, clock);
  queue.add('a');
  await queue.idle();
  for (let i = 0; i < 1000; i++) {
    clock.advance(50);
    await queue.idle();
  }
  const waits = turns.slice(1).map((at, i) => at - turns[i]!);
  assert.deepEqual(waits.slice(0, 4), [50, 100, 200, 400]);
  for (let i = 0; i < 20; i++) {
    clock.advance(30_000);
    await queue.idle();
  }
  assert.equal(turns.at(-1)! - turns.at(-2)!, 30_000);
  isBroken = false;
  clock.advance(30_000);
  await queue.idle();
  reported.mock.restore();
  assert.equal(clock.waiting, 0, 'successful work is not repeated');
});

test('a stopped queue leaves no timer', () => {
  const clock = new FakeClock();
  const queue = new WorkQueue(() => {}, clock);
  queue.addAfter('a', 1000);
  queue.stop();
  queue.addAfter('b', 1000);
  assert.equal(clock.waiting, 0);
});
