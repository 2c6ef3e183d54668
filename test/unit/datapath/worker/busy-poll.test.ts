import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDevice } from '../../../../datapath/io/memory.ts';
import { createBatch } from '../../../../datapath/pipeline/batch.ts';
import {
  BUSY_POLL_AUTO,
  LOOK_US,
  PollCredit,
  Waiter,
} from '../../../../datapath/worker/busy-poll.ts';
import { Loop } from '../../../../datapath/worker/loop.ts';
import { createTestDatapath, POD, VIP } from '../../../support/datapath.ts';
import { SYN, tcp4 } from '../../../support/packets.ts';

const S = 1_000_000;

/**
 * Simulates `seconds` of a thread that wakes for nothing every `everyUs`. Returns the share of the
 * time that it polls, and the share of wake-ups with a poll.
 */
function play(seconds: number, everyUs: number, look: (n: number) => [us: number, found: boolean]) {
  const credit = new PollCredit(BUSY_POLL_AUTO, 0);
  let [looked, looks, waits] = [0, 0, 0];
  for (let now = 0; now < seconds * S; waits++) {
    if (credit.budget(now) > 0) {
      const [us, found] = look(looks);
      credit.note(us, found);
      looks++;
      looked += us;
      now += us;
      if (found) continue;
    }
    now += everyUs;
  }
  return { busy: looked / (seconds * S), tried: looks / waits };
}

test('an idle thread polls for at most 1 % of its time, however often it wakes', () => {
  for (const everyUs of [100, 1000, 10_000, 100_000]) {
    const { busy } = play(10, everyUs, () => [LOOK_US, false]);
    assert.ok(busy <= 0.0101, `every ${everyUs} us: ${busy}`);
  }
});

test('a thread that wakes ten times a second for nothing polls for less than 1 ms a second', () => {
  assert.ok(play(10, 100_000, () => [LOOK_US, false]).busy < 0.001);
});

test('a thread whose polls find packets polls at every wake-up', () => {
  assert.ok(play(1, 100, () => [20, true]).tried > 0.99);
});

test('one poll in three that finds packets earns the credit for the others', () => {
  assert.ok(play(1, 100, (n) => [n % 3 === 0 ? 10 : LOOK_US, n % 3 === 0]).tried > 0.95);
});

test('one poll in ten that finds packets does not earn the credit for the others', () => {
  const { busy } = play(10, 100, (n) => [n % 10 === 0 ? 10 : LOOK_US, n % 10 === 0]);
  assert.ok(busy < 0.03, `${busy}`);
});

test('an interrupted poll stops polling for 0.1 s, even if it has found packets', () => {
  for (const found of [true, false]) {
    const credit = new PollCredit(BUSY_POLL_AUTO, 0);
    assert.equal(credit.budget(S), LOOK_US, 'it has credit');
    credit.note(3000, found);
    assert.equal(credit.budget(S + 100_000), 0);
    assert.equal(credit.budget(S + 106_000), LOOK_US);
  }
});

test('with a fixed time the thread polls at every wake-up, and with 0 never', () => {
  for (const us of [0, 200]) {
    const credit = new PollCredit(us, 0);
    for (let n = 0; n < 100; n++) {
      assert.equal(credit.budget(n), us);
      credit.note(10_000, false);
    }
  }
});

/** A waiter over a device in memory. A poll takes 5 us, a sleep its full time. */
function waiterOver(setting: number, arriveUs: number) {
  const t = createTestDatapath();
  const b = createBatch();
  const device = new MemoryDevice('kt0', b.bytes);
  const loop = new Loop(t.d, b, 0, 0);
  loop.setPort(0, { device });
  loop.turn(0);
  const packet = tcp4(`${POD}:4000`, `${VIP}:80`, SYN);
  let now = 0;
  const looks: number[] = [];
  const look = (ms: number) => {
    looks.push(ms);
    const until = now + Math.max(ms * 1000, 5);
    if (arriveUs > now && arriveUs <= until) device.incoming.push(packet);
    now = device.incoming.length > 0 ? Math.min(until, Math.max(arriveUs, now)) : until;
    if (device.incoming.length > 0) loop.markReady(0);
    return device.incoming.length;
  };
  const waiter = new Waiter(setting, look, () => now);
  return { t, loop, device, looks, waiter };
}

test('a packet that arrives during a poll is served without a sleep', () => {
  const { loop, device, looks, waiter } = waiterOver(50, 22);
  assert.equal(waiter.wait(100), 1);
  assert.deepEqual(looks, [0, 0, 0, 0, 0]);
  assert.equal(loop.turn(0), true);
  assert.equal(device.outgoing.length, 1);
});

test('a waiter sleeps after a poll without packets', () => {
  const { loop, looks, waiter } = waiterOver(50, 3000);
  assert.equal(waiter.wait(100), 1);
  assert.deepEqual(looks, [...new Array(10).fill(0), 100]);
  assert.equal(loop.turn(0), true);
});

test('a waiter with a poll time of 0 sleeps at once', () => {
  const { looks, waiter } = waiterOver(0, 22);
  waiter.wait(100);
  assert.deepEqual(looks, [100]);
});

test('a waiter with BUSY_POLL_AUTO polls once it has credit', () => {
  const { looks, waiter } = waiterOver(BUSY_POLL_AUTO, -1);
  waiter.wait(100);
  waiter.wait(100);
  assert.deepEqual(looks, [100, ...new Array(10).fill(0), 100]);
});
