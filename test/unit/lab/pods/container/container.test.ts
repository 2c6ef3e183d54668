import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container } from '../../../../../control/kube/kinds.ts';
import { ContainerRunner } from '../../../../../lab/pods/container/container.ts';
import type { ContainerContext, EarlierStatus } from '../../../../../lab/pods/container/context.ts';
import { WaitReason } from '../../../../../lab/pods/given/env.ts';
import type { RestartPolicy } from '../../../../../lab/pods/status/phase.ts';
import { TestClock } from '../../../../support/clock.ts';

/** An unused process id, so that no process gets a signal. */
const PROCESS = { pid: 2 ** 30, start: 1 };

type Exit = (code: number | null, signal: NodeJS.Signals | null) => void;

function world(change: Partial<Container> = {}, policy: RestartPolicy = 'Always') {
  const clock = new TestClock();
  const events: string[] = [];
  const state = {
    ...{ launches: 0, message: '' },
    ...{ missing: null as string | null, exit: null as Exit | null },
  };
  const reachable = Promise.withResolvers<void>();
  const context: ContainerContext = {
    podName: 'web_default(u-1)',
    projectRoot: '/',
    clock,
    random: () => 0,
    dial: () => {
      throw new Error('dial must not be called');
    },
    reachable: () => reachable.promise,
    podIP: '10.244.1.2',
    graceS: 30,
    launch: async () => {
      if (state.missing) throw new WaitReason('CreateContainerConfigError', state.missing);
      state.launches++;
      const onExit = (tell: Exit) => {
        state.exit = tell;
      };
      return { process: PROCESS, sandbox: PROCESS, onExit };
    },
    message: () => state.message,
    endStrays: () => {},
    onChange: () => {},
    onEvent: (_type, reason) => events.push(reason),
  };
  const spec = { name: 'main', image: 'busybox', command: ['true'], ...change };
  const container = new ContainerRunner(spec, policy, context, 'ContainerCreating');
  return { clock, events, state, container, reachable };
}

const reasonOf = (container: ContainerRunner) => container.describe().state.waiting?.reason;

test('a container waits, runs and becomes ready, with events', async () => {
  const { container, events } = world();
  assert.equal(reasonOf(container), 'ContainerCreating');
  await container.start();
  const { ready, started, restarts, state, id } = container.describe();
  assert.deepEqual({ ready, started, restarts }, { ready: true, started: true, restarts: 0 });
  assert.ok(state.running);
  assert.equal(id, `kubetun://${PROCESS.pid}-1`);
  assert.deepEqual(events, ['Pulled', 'Created', 'Started']);
});

test('restarts a container at once, then after ten seconds', async () => {
  const { container, clock, state, events } = world();
  await container.start();
  state.exit!(3, null);
  assert.equal(container.describe().ready, false);
  await clock.pass(0);
  assert.equal(state.launches, 2);
  assert.equal(container.describe().restarts, 1);
  assert.equal(container.describe().lastState.terminated?.exitCode, 3);
  state.exit!(null, 'SIGKILL');
  assert.equal(reasonOf(container), 'CrashLoopBackOff');
  assert.equal(container.describe().lastState.terminated?.exitCode, 137);
  assert.equal(events.at(-1), 'BackOff');
  await clock.pass(9999);
  assert.equal(state.launches, 2);
  await clock.pass(1);
  assert.equal(state.launches, 3);
  assert.equal(container.describe().restarts, 2);
});

test('OnFailure: exit code 0 is a result, other codes restart', async () => {
  const { container, clock, state } = world({}, 'OnFailure');
  await container.start();
  state.exit!(1, null);
  assert.equal(container.result, null);
  await clock.pass(0);
  state.exit!(0, null);
  assert.equal(container.result, 0);
  await clock.pass(1_000_000);
  assert.equal(state.launches, 2);
});

test('waits for a missing object without counting a restart', async () => {
  const { container, clock, state, events } = world();
  state.missing = 'configmap "c" not found';
  await container.start();
  await clock.pass(5000);
  assert.deepEqual(events, ['Failed'], 'told once');
  assert.deepEqual(container.describe().state, {
    waiting: { reason: 'CreateContainerConfigError', message: state.missing },
  });
  state.missing = null;
  await clock.pass(1000);
  assert.ok(container.describe().state.running);
  assert.equal(container.describe().restarts, 0);
});

test('reports an unknown image once', async () => {
  const { container, clock, state, events } = world({ command: [], image: 'example.com/app' });
  await container.start();
  assert.equal(reasonOf(container), 'ErrImagePull');
  await clock.pass(100_000);
  assert.equal(state.launches, 0);
  assert.deepEqual(events, ['Failed']);
});

test('the status of an ended container has the message that it left', async () => {
  const { container, clock, state } = world({}, 'Never');
  await container.start();
  state.message = 'no route to the shop';
  state.exit!(2, null);
  await clock.pass(0);
  const { terminated } = container.describe().state;
  assert.equal(terminated?.message, 'no route to the shop');
});

test('does not restart a container of an ending pod', async () => {
  const { container, clock, state } = world();
  await container.start();
  const end = container.end(() => clock.unixMs() + 1000);
  await clock.pass(0);
  state.exit!(0, null);
  await clock.pass(10_000);
  await end;
  assert.equal(state.launches, 1);
  assert.ok(container.describe().state.terminated);
});

function earlier(change: object): EarlierStatus {
  const rest = { name: 'main', image: '', imageID: '', ready: false, started: true };
  return { ...rest, restartCount: 2, ...change } as EarlierStatus;
}

test('does not adopt a container that was never started', () => {
  const { container } = world();
  container.adopt(null, earlier({ state: { waiting: { reason: 'PodInitializing' } } }));
  assert.equal(container.begun, false);
});

test('restarts and counts a container that ended without a runner', async () => {
  const { container, clock, state } = world();
  container.adopt(null, earlier({ state: { running: { startedAt: '2026-01-01T00:00:00Z' } } }));
  await clock.pass(0);
  assert.equal(state.launches, 1);
  const { restarts, lastState } = container.describe();
  assert.equal(restarts, 3);
  assert.equal(lastState.terminated?.reason, 'ContainerStatusUnknown');
});

test('an ended container stays ended', () => {
  const { container } = world({}, 'OnFailure');
  const terminated = { exitCode: 0, reason: 'Completed' };
  container.adopt(null, earlier({ state: { terminated } }));
  assert.equal(container.result, 0);
  assert.equal(container.begun, true);
});

test('a network probe waits until the node forwards, and then fails with a reason', async () => {
  const readinessProbe = { httpGet: { port: 80 } };
  const { container, clock, events, reachable } = world({ readinessProbe });
  await container.start();
  await clock.pass(60_000);
  assert.ok(!events.includes('Unhealthy'), events.join());
  reachable.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(events.includes('Unhealthy'), events.join());
  container.stop();
});
