import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Watchdog } from '../../../../lab/supervisor/watchdog.ts';
import { TestClock } from '../../../support/clock.ts';

let clock: TestClock;
let running: boolean;
let did: string[];
let watchdog: Watchdog;

beforeEach(() => {
  clock = new TestClock();
  running = false;
  did = [];
  watchdog = new Watchdog({
    clock,
    isRunning: () => running,
    open: (node) => did.push(`open ${node}`),
    close: (node) => did.push(`close ${node}`),
  });
});

test('an agent that returns within 5 s opens no bypass', async () => {
  watchdog.away('n1');
  await clock.pass(4999);
  watchdog.back('n1');
  await clock.pass(10_000);
  assert.deepEqual(did, []);
});

test('an agent that stays away opens the bypass of its node only, and closes it on return', async () => {
  watchdog.away('n1');
  await clock.pass(3000);
  watchdog.away('n1');
  await clock.pass(2000);
  assert.deepEqual(did, ['open n1']);
  watchdog.back('n1');
  watchdog.back('n2');
  assert.deepEqual(did, ['open n1', 'close n1']);
});

test('an agent that restarts and ends again leaves the bypass open', async () => {
  watchdog.away('n1');
  await clock.pass(5000);
  watchdog.away('n1');
  assert.deepEqual(did, ['open n1', 'open n1']);
});

test('a running agent gets time to become ready', async () => {
  watchdog.away('n1');
  running = true;
  await clock.pass(8000);
  assert.deepEqual(did, []);
  running = false;
  await clock.pass(1000);
  assert.deepEqual(did, ['open n1']);
});

test('a stopped watchdog opens no bypass', async () => {
  watchdog.away('n1');
  watchdog.stop();
  await clock.pass(10_000);
  assert.deepEqual(did, []);
});
