import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { WorkerKeeper } from '../../../../datapath/worker/keeper.ts';
import { until } from '../../../support/lab.ts';

const LIVES = 2;
const BEATS = 3;
const PLANS = 4;
const SERVES = 0;
const DIES_BEFORE = 1;
const DIES = 2;
const HANGS = 3;

let keeper: WorkerKeeper;
let said: string[];
let control: Int32Array<SharedArrayBuffer>;
afterEach(() => keeper.stop());

/** A keeper whose workers follow these plans in turn. */
function keep(...plans: number[]): WorkerKeeper {
  control = new Int32Array(new SharedArrayBuffer(64));
  control.set(plans, PLANS);
  said = [];
  const arena = { address: 0, flowsMax: 0, imageWords: 0 };
  keeper = new WorkerKeeper({
    url: new URL('./worker-script.ts', import.meta.url),
    input: {
      arena,
      batch: 0,
      polled: 0,
      ports: 0,
      epoll: -1,
      wakeFd: -1,
      merges: 0,
      busyPoll: 0,
      control,
    },
    heartbeat: () => Atomics.load(control, BEATS),
    log: (line) => said.push(line),
    onStuck: () => said.push('stuck'),
    sampleMs: 20,
  });
  return keeper;
}
const serves = () => keeper.failure === null && control[LIVES]! > 1;

test('a first worker that fails to start is an error with its reason, without a restart', async () => {
  await assert.rejects(keep(DIES_BEFORE, SERVES).start('kt0'), {
    code: 'KT_WORKER_START',
    next: 'the worker ended: life 0 fails before it is ready',
  });
  assert.equal(control[LIVES], 1);
});

test('a dead worker is restarted, even if some restarts fail', async () => {
  await keep(DIES, DIES_BEFORE, DIES_BEFORE, SERVES).start('kt0');
  await until('the failure is noticed', () => keeper.failure !== null);
  await until('the fourth serves', () => serves() && control[LIVES] === 4);
  assert.equal(keeper.restarts, 3);
  assert.deepEqual(
    said,
    [0, 1, 2].map((life) => {
      const why = life === 0 ? 'life 0 fails' : `life ${life} fails before it is ready`;
      return `datapath worker ended: ${why}; restart ${life + 1} in ${100 * 2 ** life} ms`;
    }),
  );
});

test('a worker without ticks is ended, unhealthy, and restarted', async () => {
  await keep(HANGS, SERVES).start('kt0');
  await until('the failure is noticed', () => keeper.failure !== null);
  assert.match(keeper.failure!, /it has not ticked at 10 looks in a row$/);
  await until('another serves', serves);
  assert.equal(keeper.restarts, 1);
  assert.ok(!said.includes('stuck'));
});

test('a running worker is not restarted', async () => {
  await keep(SERVES).start('kt0');
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual([keeper.failure, keeper.restarts, said], [null, 0, []]);
});
