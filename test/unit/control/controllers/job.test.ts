// Jobs: completions, indexes, failures, policies, deadlines.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { startControllers } from '../../../../control/cluster/controllers.ts';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { makeReady } from './kubelet.ts';
import { activePods, eventsOf, kindOf, node, startWorld, workload } from './world.ts';

const INDEX = 'batch.kubernetes.io/job-completion-index';
const TRACKED = 'batch.kubernetes.io/job-tracking';
let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => bare.create('Node', node('node1')));
});
afterEach(() => world.controllers.stop());

const job = () => world.get('Job', 'work')!;
const pods = () => activePods(world, 'work');
const indexOf = ({ metadata }: KubeObject) => Number(metadata.annotations?.[INDEX]);
const indexes = () => pods().map(indexOf).sort();
const ofIndex = (index: number) => pods().find((pod) => indexOf(pod) === index)!;
const isTrue = (type: string) =>
  job().status.conditions?.find(
    (c: { type: string; status: string }) => c.type === type && c.status === 'True',
  );

/** A Job whose pods have the label `app: work`. */
async function make(spec: object = {}, template: object = {}): Promise<void> {
  const { metadata, spec: whole } = workload('work', spec, {
    restartPolicy: 'Never',
    ...template,
  }) as {
    metadata: object;
    spec: { selector: object };
  };
  const { selector: _, ...rest } = whole;
  world.create('Job', { metadata, spec: rest });
  await world.idle();
}

async function change(spec: object): Promise<void> {
  world.patch('Job', 'work', { spec });
  await world.idle();
}

async function end(pod: KubeObject, exitCode = 0, more: object = {}): Promise<void> {
  const finishedAt = new Date(world.clock.unixMs()).toISOString();
  const state = { terminated: { exitCode, finishedAt } };
  world.patchStatus('Pod', pod.metadata.name, {
    phase: exitCode === 0 ? 'Succeeded' : 'Failed',
    containerStatuses: [
      { name: 'main', ready: false, restartCount: 0, image: 'x', imageID: 'x', state },
    ],
    ...more,
  });
  await world.idle();
}

/** Lets the delay after failures pass. */
async function pass(seconds = 600): Promise<void> {
  world.clock.advance(seconds * 1000);
  await world.idle();
}

/** Ends pods whose deletion has started, as a kubelet does. */
async function endDeleted(): Promise<void> {
  await world.idle();
  for (const { metadata } of world.list('Pod')) {
    if (metadata.deletionTimestamp) world.remove('Pod', metadata.name);
  }
  await world.idle();
}

test('a Job runs one pod to its end and then is complete', async () => {
  await make();
  const [pod] = pods();
  assert.equal(pods().length, 1);
  assert.deepEqual(pod!.metadata.finalizers, [TRACKED]);
  assert.equal(pod!.metadata.labels!['job-name'], 'work');
  assert.equal(pod!.metadata.labels!['batch.kubernetes.io/controller-uid'], job().metadata.uid);
  assert.equal(job().status.active, 1);
  assert.equal(job().status.ready, 0);
  makeReady(world, pod!);
  await world.idle();
  assert.equal(job().status.ready, 1);
  await end(pod!);
  const { startTime, completionTime, conditions, ...rest } = job().status;
  assert.deepEqual(rest, { ready: 0, succeeded: 1, terminating: 0, uncountedTerminatedPods: {} });
  assert.ok(startTime && completionTime);
  assert.deepEqual(
    conditions.map((c: { type: string; reason: string }) => [c.type, c.reason]),
    [
      ['SuccessCriteriaMet', 'CompletionsReached'],
      ['Complete', 'CompletionsReached'],
    ],
  );
  assert.equal(world.get('Pod', pod!.metadata.name)!.metadata.finalizers, undefined);
  assert.deepEqual(
    eventsOf(world, 'work').map(([reason]) => reason),
    ['SuccessfulCreate', 'Completed'],
  );
});

test('never runs more pods than parallelism and the missing completions allow', async () => {
  await make({ completions: 5, parallelism: 2 });
  for (let done = 0; done < 5; done++) {
    assert.equal(pods().length, Math.min(2, 5 - done));
    await end(pods()[0]!);
    assert.equal(job().status.succeeded, done + 1);
  }
  assert.ok(isTrue('Complete'));
  assert.equal(pods().length, 0);
});

test('a changed parallelism ends pods without counting them', async () => {
  await make({ completions: 9, parallelism: 4 });
  await change({ parallelism: 1 });
  await endDeleted();
  assert.equal(pods().length, 1);
  assert.equal(job().status.failed, undefined);
  await change({ parallelism: 3 });
  assert.equal(pods().length, 3);
});

test('without completions a Job is complete after one success, once all its pods have ended', async () => {
  await make({ parallelism: 3 });
  assert.equal(job().spec.completions, undefined);
  const [first, second, third] = pods();
  await end(first!);
  assert.equal(pods().length, 2, 'no pod in its place');
  assert.ok(!isTrue('Complete'));
  await end(second!, 1);
  await end(third!);
  assert.ok(isTrue('Complete'));
  assert.equal(job().status.succeeded, 2);
  assert.equal(job().status.failed, 1);
});

test('failed pods are replaced with growing delay until the backoffLimit is reached', async () => {
  await make({ backoffLimit: 2 });
  await end(pods()[0]!, 1);
  assert.equal(job().status.failed, 1);
  assert.equal(pods().length, 0, 'the next pod waits 10 s');
  await pass(10);
  assert.equal(pods().length, 1);
  await end(pods()[0]!, 1);
  await pass(10);
  assert.equal(pods().length, 0, 'and then 20 s');
  await pass(10);
  await end(pods()[0]!, 1);
  assert.equal(job().status.failed, 3);
  assert.equal(isTrue('Failed').reason, 'BackoffLimitExceeded');
  assert.equal(isTrue('Failed').message, 'Job has reached the specified backoff limit');
  assert.ok(isTrue('FailureTarget'));
  assert.equal(job().status.completionTime, undefined);
  await pass();
  assert.equal(pods().length, 0);
  assert.deepEqual(eventsOf(world, 'work').at(-1), [
    'BackoffLimitExceeded',
    'Job has reached the specified backoff limit',
  ]);
});

test('a Job that fails ends its other pods and counts them', async () => {
  await make({ completions: 3, parallelism: 3, backoffLimit: 0 });
  await end(pods()[0]!, 1);
  assert.equal(pods().length, 0);
  assert.ok(isTrue('FailureTarget'));
  assert.ok(!isTrue('Failed'), 'pods still end');
  await endDeleted();
  assert.ok(isTrue('Failed'));
  assert.equal(job().status.failed, 3);
});

test('restarts within a pod count against the backoffLimit with OnFailure', async () => {
  await make({ backoffLimit: 3 }, { restartPolicy: 'OnFailure' });
  const restart = async (restartCount: number) => {
    const status = { name: 'main', ready: false, restartCount, image: 'x', imageID: 'x' };
    const phase = 'Running';
    world.patchStatus('Pod', pods()[0]!.metadata.name, { phase, containerStatuses: [status] });
    await world.idle();
  };
  await restart(2);
  assert.ok(!isTrue('FailureTarget'));
  await restart(3);
  assert.equal(isTrue('FailureTarget').reason, 'BackoffLimitExceeded');
});

test('an indexed Job runs each index once, with its number in the pod', async () => {
  await make({ completions: 5, parallelism: 3, completionMode: 'Indexed' });
  assert.deepEqual(indexes(), [0, 1, 2]);
  const pod = ofIndex(1);
  assert.match(pod.metadata.name, /^work-1-[a-z0-9]{5}$/);
  assert.equal(pod.spec.hostname, 'work-1');
  assert.equal(pod.metadata.labels![INDEX], '1');
  assert.deepEqual(pod.spec.containers[0].env, [
    {
      name: 'JOB_COMPLETION_INDEX',
      valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: `metadata.labels['${INDEX}']` } },
    },
  ]);
  await end(ofIndex(0));
  await end(ofIndex(2));
  assert.deepEqual(indexes(), [1, 3, 4]);
  assert.equal(job().status.completedIndexes, '0,2');
  await end(ofIndex(1), 1);
  await pass();
  assert.deepEqual(indexes(), [1, 3, 4], 'a failed index is tried again');
  for (const index of [1, 3, 4]) await end(ofIndex(index));
  assert.equal(job().status.completedIndexes, '0-4');
  assert.equal(job().status.succeeded, 5);
  assert.equal(job().status.failed, 1);
  assert.ok(isTrue('Complete'));
});

test('a limit for each index fails that index alone, and the Job at its end', async () => {
  const indexed = { completions: 2, parallelism: 2, completionMode: 'Indexed' };
  await make({ ...indexed, backoffLimitPerIndex: 1 });
  assert.equal(job().spec.backoffLimit, 2 ** 31 - 1);
  await end(ofIndex(0), 1);
  assert.deepEqual(indexes(), [1]);
  await pass(10);
  assert.equal(
    ofIndex(0).metadata.annotations!['batch.kubernetes.io/job-index-failure-count'],
    '1',
  );
  await end(ofIndex(0), 1);
  await pass();
  assert.deepEqual(indexes(), [1]);
  assert.equal(job().status.failedIndexes, '0');
  await end(ofIndex(1));
  assert.equal(isTrue('Failed').reason, 'FailedIndexes');
  assert.equal(job().status.failed, 2);
  assert.equal(job().status.succeeded, 1);
});

test('more failed indexes than maxFailedIndexes end the Job', async () => {
  const indexed = { completions: 4, parallelism: 4, completionMode: 'Indexed' };
  await make({ ...indexed, backoffLimitPerIndex: 0, maxFailedIndexes: 1 });
  await end(ofIndex(0), 1);
  assert.ok(!isTrue('FailureTarget'));
  await end(ofIndex(1), 1);
  assert.equal(isTrue('FailureTarget').reason, 'MaxFailedIndexesExceeded');
});

test('a success policy ends an indexed Job early', async () => {
  const indexed = { completions: 4, parallelism: 4, completionMode: 'Indexed' };
  const rules = [{ succeededIndexes: '1-3', succeededCount: 2 }];
  await make({ ...indexed, successPolicy: { rules } });
  await end(ofIndex(0));
  await end(ofIndex(1));
  assert.ok(!isTrue('SuccessCriteriaMet'));
  await end(ofIndex(3));
  await endDeleted();
  assert.equal(isTrue('Complete').reason, 'SuccessPolicy');
  assert.equal(job().status.failed, undefined, 'pods that it ends have not failed');
});

const rule = (action: string, values: number[], operator = 'In') => ({
  action,
  onExitCodes: { operator, values },
});

test('a pod failure policy ends the Job, ignores a failure, or counts it', async () => {
  const onPodConditions = [{ type: 'DisruptionTarget' }];
  const rules = [
    rule('FailJob', [42]),
    rule('Ignore', [5, 6]),
    { action: 'Ignore', onPodConditions },
    rule('Count', [1]),
  ];
  await make({ backoffLimit: 1, podFailurePolicy: { rules } });
  assert.equal(job().spec.podReplacementPolicy, 'Failed');
  await end(pods()[0]!, 6);
  await pass();
  await end(pods()[0]!, 143, { conditions: [{ type: 'DisruptionTarget', status: 'True' }] });
  await pass();
  assert.equal(job().status.failed, undefined);
  await end(pods()[0]!, 1);
  await pass();
  assert.equal(job().status.failed, 1);
  const pod = pods()[0]!;
  await end(pod, 42);
  assert.equal(isTrue('Failed').reason, 'PodFailurePolicy');
  const what = `Container main for pod default/${pod.metadata.name} failed with exit code 42`;
  assert.equal(isTrue('Failed').message, `${what} matching FailJob rule at index 0`);
});

test('FailIndex of a pod failure policy fails an index at once', async () => {
  const indexed = { completions: 2, parallelism: 2, completionMode: 'Indexed' };
  const podFailurePolicy = { rules: [rule('FailIndex', [0], 'NotIn')] };
  await make({ ...indexed, backoffLimitPerIndex: 3, podFailurePolicy });
  await end(ofIndex(1), 9);
  await pass();
  assert.deepEqual(indexes(), [0]);
  assert.equal(job().status.failedIndexes, '1');
});

test('activeDeadlineSeconds ends a Job and its pods', async () => {
  await make({ activeDeadlineSeconds: 30 });
  await pass(29);
  assert.equal(pods().length, 1);
  await pass(2);
  await endDeleted();
  assert.equal(isTrue('Failed').reason, 'DeadlineExceeded');
  assert.equal(isTrue('Failed').message, 'Job was active longer than specified deadline');
  assert.equal(job().status.failed, 1);
});

test('ttlSecondsAfterFinished deletes a finished Job and its pods', async () => {
  await make({ ttlSecondsAfterFinished: 60 });
  await end(pods()[0]!);
  await pass(58);
  assert.ok(job());
  await pass(4);
  assert.equal(job(), undefined);
  assert.equal(world.list('Pod').length, 0);
});

test('a suspended Job has no pods; when it is resumed its time begins again', async () => {
  await make({ suspend: true, parallelism: 2, completions: 2, activeDeadlineSeconds: 60 });
  assert.equal(pods().length, 0);
  assert.equal(job().status.startTime, undefined);
  assert.equal(isTrue('Suspended').reason, 'JobSuspended');
  await change({ suspend: false });
  assert.equal(pods().length, 2);
  const started = job().status.startTime;
  assert.ok(started);
  await pass(30);
  await change({ suspend: true });
  await endDeleted();
  assert.equal(pods().length, 0);
  assert.equal(job().status.failed, undefined, 'a suspension is no failure');
  await pass(100);
  await change({ suspend: false });
  assert.equal(pods().length, 2);
  assert.notEqual(job().status.startTime, started);
  assert.ok(!isTrue('Suspended') && !isTrue('FailureTarget'));
  const reasons = eventsOf(world, 'work').map(([reason]) => reason);
  assert.ok(reasons.includes('Suspended') && reasons.includes('Resumed'));
});

test('a deleted pod counts as failed and is replaced, at its end if the policy says so', async () => {
  await make();
  world.remove('Pod', pods()[0]!.metadata.name, { graceful: true });
  await world.idle();
  assert.equal(job().status.failed, 1);
  assert.equal(job().status.terminating, 1);
  // 10 s after the deletion, whose time is of the real clock, in whole seconds.
  await pass(15);
  assert.equal(pods().length, 1, 'before the first has ended');
  await endDeleted();
  world.remove('Job', 'work');
  await endDeleted();
  await make({ podReplacementPolicy: 'Failed' });
  world.remove('Pod', pods()[0]!.metadata.name, { graceful: true });
  await pass();
  assert.equal(job().status.failed, undefined);
  assert.equal(pods().length, 0);
  await endDeleted();
  await pass();
  assert.equal(job().status.failed, 1);
  assert.equal(pods().length, 1);
});

test('a server that restarts counts each pod once', async () => {
  await make({ completions: 3, parallelism: 3 });
  const [first] = pods();
  world.controllers.stop();
  await end(first!);
  assert.deepEqual(world.get('Pod', first!.metadata.name)!.metadata.finalizers, [TRACKED]);
  // A server that ends after it wrote the status and before it removed the finalizer leaves this.
  const uncountedTerminatedPods = { succeeded: [first!.metadata.uid] };
  world.patchStatus('Job', 'work', { uncountedTerminatedPods });
  world.controllers = startControllers(world.registry, null, world.clock);
  await world.idle();
  assert.equal(job().status.succeeded, 1);
  assert.deepEqual(job().status.uncountedTerminatedPods, {});
  assert.equal(pods().length, 2);
});

test('pods of a deleted Job end, and orphans lose their finalizer', async () => {
  await make();
  world.remove('Job', 'work');
  await endDeleted();
  assert.equal(world.list('Pod').length, 0);
  await make();
  const place = { namespace: 'default', name: 'work' };
  world.registry.remove(kindOf('Job'), place, { propagationPolicy: 'Orphan' });
  await world.idle();
  assert.equal(job(), undefined);
  const [pod] = world.list('Pod');
  assert.equal(pod!.metadata.finalizers, undefined);
  assert.equal(pod!.metadata.ownerReferences, undefined);
});

test('a Job with its own selector adopts pods that it selects', async () => {
  const labels = { app: 'work' };
  const containers = [{ name: 'main', image: 'pause' }];
  const spec = { containers, restartPolicy: 'Never' };
  world.create('Pod', { metadata: { name: 'lone', labels }, spec });
  const template = { metadata: { labels }, spec };
  const own = { manualSelector: true, selector: { matchLabels: labels } };
  world.create('Job', { metadata: { name: 'work' }, spec: { ...own, template } });
  await world.idle();
  assert.deepEqual(
    pods().map(({ metadata }) => metadata.name),
    ['lone'],
  );
  await end(pods()[0]!);
  assert.ok(isTrue('Complete'));
});

test('a Job with managedBy of another controller is ignored', async () => {
  await make({ managedBy: 'example.com/queue' });
  assert.equal(pods().length, 0);
  assert.deepEqual(job().status, {});
});
