// Jobs: completions, indexes, failures, deadlines.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { startControllers } from '../../../../control/cluster/controllers.ts';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { eventsOf, node, startWorld } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => bare.create('Node', node('node1')));
});
afterEach(() => world.controllers.stop());

const job = () => world.get('Job', 'work')!;
const status = () => job().status;
const active = () =>
  world
    .list('Pod')
    .filter(({ metadata, status: s }) => {
      return !metadata.deletionTimestamp && !['Succeeded', 'Failed'].includes(s.phase);
    })
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
const conditions = () =>
  (status().conditions ?? [])
    .filter((c: { status: string }) => c.status === 'True')
    .map(({ type, reason }: { type: string; reason: string }) => `${type} ${reason}`);
const indexOf = ({ metadata }: KubeObject) =>
  metadata.annotations!['batch.kubernetes.io/job-completion-index'];

async function make(spec: object = {}, template: object = {}): Promise<void> {
  const containers = [{ name: 'main', image: 'pause' }];
  world.create('Job', {
    metadata: { name: 'work' },
    spec: { template: { spec: { restartPolicy: 'Never', containers, ...template } }, ...spec },
  });
  await world.idle();
}

/** The status of a pod's container. */
const container = (restartCount: number, state: object = {}) => ({
  ...{ name: 'main', image: 'pause', imageID: 'pause', ready: false },
  ...{ restartCount, state },
});

/** Ends a pod; a failed container has the exit code. */
async function end(pod: KubeObject, code = 0): Promise<void> {
  const finishedAt = new Date(world.clock.unixMs()).toISOString();
  const containerStatuses = [container(0, { terminated: { exitCode: code, finishedAt } })];
  const phase = code === 0 ? 'Succeeded' : 'Failed';
  world.patchStatus('Pod', pod.metadata.name, { phase, containerStatuses });
  await world.idle();
}

/** Fails a pod and waits for the back-off. */
async function fail(pod: KubeObject, code = 1): Promise<void> {
  await end(pod, code);
  world.clock.advance(600_000);
  await world.idle();
}

test('runs one pod to its end, and is complete', async () => {
  await make();
  assert.equal(active().length, 1);
  const [pod] = active() as [KubeObject];
  assert.match(pod.metadata.name, /^work-[a-z0-9]{5}$/);
  assert.equal(pod.metadata.labels!['job-name'], 'work');
  assert.deepEqual(pod.metadata.finalizers, ['batch.kubernetes.io/job-tracking']);
  assert.equal(status().active, 1);
  await end(pod);
  assert.deepEqual([status().succeeded, status().active], [1, undefined]);
  assert.deepEqual(conditions(), [
    'SuccessCriteriaMet CompletionsReached',
    'Complete CompletionsReached',
  ]);
  assert.ok(status().completionTime);
  assert.deepEqual(world.get('Pod', pod.metadata.name)!.metadata.finalizers ?? [], []);
  const reasons = eventsOf(world, 'work').map(([reason]) => reason);
  assert.deepEqual(reasons.sort(), ['Completed', 'SuccessfulCreate']);
});

test('runs as many pods at once as it may until enough have succeeded', async () => {
  await make({ completions: 5, parallelism: 2 });
  for (let left = 5; left > 0; left--) {
    assert.equal(active().length, Math.min(2, left));
    await end(active()[0]!);
  }
  assert.equal(status().succeeded, 5);
  assert.equal(world.list('Pod').length, 5);
});

test('without completions ends with its last pod after the first success', async () => {
  await make({ parallelism: 3, completions: undefined });
  await end(active()[0]!);
  assert.equal(active().length, 2, 'no new pod');
  assert.deepEqual(conditions(), []);
  for (const pod of active()) await end(pod);
  assert.deepEqual([status().succeeded, conditions().length], [3, 2]);
});

test('gives each index a pod, and counts an index once', async () => {
  await make({ completions: 3, parallelism: 2, completionMode: 'Indexed' });
  assert.deepEqual(active().map(indexOf), ['0', '1']);
  const [first, second] = active() as [KubeObject, KubeObject];
  assert.equal(first.spec.hostname, 'work-0');
  assert.match(first.metadata.name, /^work-0-[a-z0-9]{5}$/);
  assert.deepEqual(
    first.spec.containers[0].env[0].valueFrom.fieldRef.fieldPath,
    "metadata.annotations['batch.kubernetes.io/job-completion-index']",
  );
  await fail(first);
  assert.deepEqual(active().map(indexOf).sort(), ['0', '1'], 'index 0 again');
  await end(second);
  assert.equal(status().completedIndexes, '1');
  for (const pod of active()) await end(pod);
  assert.deepEqual([status().completedIndexes, status().succeeded, status().failed], ['0-2', 3, 1]);
});

test('fails after more failures than backoffLimit, and waits twice as long each time', async () => {
  await make({ backoffLimit: 2 });
  for (const waitMs of [10_000, 20_000]) {
    await end(active()[0]!, 1);
    world.clock.advance(waitMs - 2000);
    await world.idle();
    assert.equal(active().length, 0, `no pod before ${waitMs} ms`);
    world.clock.advance(3000);
    await world.idle();
    assert.equal(active().length, 1);
  }
  await end(active()[0]!, 1);
  assert.equal(status().failed, 3);
  assert.deepEqual(conditions(), [
    'FailureTarget BackoffLimitExceeded',
    'Failed BackoffLimitExceeded',
  ]);
  assert.equal(status().completionTime, undefined);
});

test('counts restarts of containers with restartPolicy OnFailure', async () => {
  await make({ backoffLimit: 2 }, { restartPolicy: 'OnFailure' });
  const { name } = active()[0]!.metadata;
  const restarted = (restartCount: number) =>
    world.patchStatus('Pod', name, { containerStatuses: [container(restartCount)] });
  restarted(1);
  await world.idle();
  assert.deepEqual(conditions(), []);
  restarted(2);
  await world.idle();
  assert.equal(active().length, 0);
});

const policy = (...rules: object[]) => ({ podFailurePolicy: { rules }, backoffLimit: 1 });

test('podFailurePolicy ends the Job, ignores a failure or counts it', async () => {
  await make(
    policy(
      { action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } },
      { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    ),
  );
  for (let i = 0; i < 3; i++) {
    const [pod] = active() as [KubeObject];
    const disrupted = [{ type: 'DisruptionTarget', status: 'True' }];
    world.patchStatus('Pod', pod.metadata.name, { conditions: disrupted });
    await fail(pod);
  }
  assert.equal(status().failed, undefined, 'ignored');
  await fail(active()[0]!, 3);
  assert.equal(status().failed, 1);
  await fail(active()[0]!, 42);
  const failed = status().conditions.find(({ type }: { type: string }) => type === 'Failed');
  assert.equal(failed.reason, 'PodFailurePolicy');
  assert.match(
    failed.message,
    /^Container main for pod default\/work-\w+ failed with exit code 42 matching FailJob rule at index 0$/,
  );
});

test('fails at its deadline and ends its pods', async () => {
  await make({ activeDeadlineSeconds: 60 });
  world.clock.advance(61_000);
  await world.idle();
  assert.deepEqual(conditions(), ['FailureTarget DeadlineExceeded'], 'its pod still ends');
  assert.equal(active().length, 0);
  for (const { metadata } of world.list('Pod')) world.remove('Pod', metadata.name);
  await world.idle();
  assert.deepEqual(conditions().at(-1), 'Failed DeadlineExceeded');
});

test('deletes itself some time after its end, with its pods', async () => {
  await make({ ttlSecondsAfterFinished: 30 });
  await end(active()[0]!);
  world.clock.advance(20_000);
  await world.idle();
  assert.ok(job());
  world.clock.advance(12_000);
  await world.idle();
  assert.equal(job(), undefined);
  assert.deepEqual(world.list('Pod'), []);
});

test('a smaller parallelism ends pods, and they are no failures', async () => {
  await make({ parallelism: 3, completions: 3 });
  world.patch('Job', 'work', { spec: { parallelism: 1 } });
  await world.idle();
  assert.deepEqual([active().length, status().failed ?? 0], [1, 0]);
});

test('has no pods while it is suspended', async () => {
  await make({ suspend: true });
  assert.equal(active().length, 0);
  assert.deepEqual(conditions(), ['Suspended JobSuspended']);
  assert.equal(status().startTime, undefined);
  world.patch('Job', 'work', { spec: { suspend: false } });
  await world.idle();
  assert.equal(active().length, 1);
  assert.ok(status().startTime);
  world.patch('Job', 'work', { spec: { suspend: true } });
  await world.idle();
  assert.equal(active().length, 0);
  assert.equal(status().failed ?? 0, 0, 'a suspension is no failure');
});

test('replaces a deleted pod and counts it as failed', async () => {
  await make();
  world.remove('Pod', active()[0]!.metadata.name);
  await world.idle();
  world.clock.advance(15_000);
  await world.idle();
  assert.deepEqual([status().failed, active().length, world.list('Pod').length], [1, 1, 1]);
});

test('counts every pod once when the server dies at any time', async () => {
  await make({ completions: 4, parallelism: 2, backoffLimit: 10 });
  for (let i = 0; i < 6; i++) {
    const [pod] = active() as [KubeObject];
    // The controllers stop before they see the end of the pod.
    world.controllers.stop();
    const phase = i < 2 ? 'Failed' : 'Succeeded';
    world.patchStatus('Pod', pod.metadata.name, { phase });
    // As after a crash between the status and the finalizer.
    if (i % 2 === 0) {
      const list = phase === 'Failed' ? 'failed' : 'succeeded';
      world.patchStatus('Job', 'work', { uncountedTerminatedPods: { [list]: [pod.metadata.uid] } });
    }
    world.controllers = startControllers(world.registry, null, world.clock);
    await world.idle();
    world.clock.advance(600_000);
    await world.idle();
  }
  assert.deepEqual([status().succeeded, status().failed], [4, 2]);
  assert.deepEqual(status().uncountedTerminatedPods, {});
});

test('its pods lose their finalizers when it is deleted', async () => {
  await make({ parallelism: 2, completions: 2 });
  world.remove('Job', 'work');
  await world.idle();
  for (const { metadata } of world.list('Pod')) world.remove('Pod', metadata.name);
  await world.idle();
  assert.deepEqual(world.list('Pod'), []);
});
