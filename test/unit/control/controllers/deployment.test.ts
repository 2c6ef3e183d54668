import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { isReady, type KubeObject } from '../../../../control/kube/object.ts';
import { makeReady, settle, stepPod } from './kubelet.ts';
import { activePods, eventsOf, node, startWorld, workload } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => {
    for (const name of ['node1', 'node2']) bare.create('Node', node(name));
  });
});
afterEach(() => {
  mock.restoreAll();
  world.controllers.stop();
});

const REVISION = 'deployment.kubernetes.io/revision';
const web = () => world.get('Deployment', 'web')!;
const pods = () => activePods(world, 'web');
const sets = () => world.list('ReplicaSet').toSorted((a, b) => revisionOf(a) - revisionOf(b));
const revisionOf = ({ metadata }: KubeObject) => Number(metadata.annotations?.[REVISION]);
const sizes = () => sets().map(({ spec }) => spec.replicas);
const condition = (type: string) =>
  web().status.conditions?.find((c: { type: string }) => c.type === type);
const reason = (type = 'Progressing') => condition(type)?.reason;

const image = (name: string) => ({ containers: [{ name: 'main', image: name }] });

async function make(replicas: number, spec: object = {}): Promise<void> {
  world.create('Deployment', workload('web', { replicas, ...spec }));
  await settle(world);
}

async function change(spec: object): Promise<void> {
  world.patch('Deployment', 'web', { spec });
  await world.idle();
}

const update = (name: string) => change({ template: { spec: image(name) } });
const imagesOf = (all: KubeObject[]) => new Set(all.map(({ spec }) => spec.containers[0].image));

test('a Deployment has a ReplicaSet of its template, named with a hash', async () => {
  await make(3);
  const [set, ...others] = sets();
  assert.equal(others.length, 0);
  const hash = set!.metadata.labels!['pod-template-hash']!;
  assert.match(hash, /^[a-z0-9]{10}$/);
  assert.equal(set!.metadata.name, `web-${hash}`);
  assert.deepEqual(set!.spec.selector, { matchLabels: { app: 'web', 'pod-template-hash': hash } });
  assert.equal(pods()[0]!.metadata.labels!['pod-template-hash'], hash);
  assert.equal(set!.metadata.annotations![REVISION], '1');
  assert.equal(web().metadata.annotations![REVISION], '1');
  assert.equal(web().metadata.generation, 1, 'a new revision does not raise the generation');
  assert.deepEqual(eventsOf(world, 'web'), [
    ['ScalingReplicaSet', `Scaled up replica set web-${hash} from 0 to 3`],
  ]);
});

test('the status shows the progress of a rollout', async () => {
  world.create('Deployment', workload('web', { replicas: 4 }));
  await world.idle();
  assert.equal(reason(), 'ReplicaSetUpdated');
  assert.equal(
    condition('Progressing').message,
    `ReplicaSet "${sets()[0]!.metadata.name}" is progressing.`,
  );
  assert.equal(reason('Available'), 'MinimumReplicasUnavailable');
  assert.equal(web().status.unavailableReplicas, 4);
  for (const pod of pods().slice(0, 3)) makeReady(world, pod);
  await world.idle();
  assert.equal(reason(), 'ReplicaSetUpdated');
  assert.equal(reason('Available'), 'MinimumReplicasAvailable', 'one of four may be missing');
  makeReady(world, pods()[3]!);
  await world.idle();
  const { conditions, ...numbers } = web().status;
  assert.deepEqual(numbers, {
    observedGeneration: 1,
    replicas: 4,
    updatedReplicas: 4,
    readyReplicas: 4,
    availableReplicas: 4,
  });
  assert.equal(reason(), 'NewReplicaSetAvailable');
  assert.equal(
    condition('Progressing').message,
    `ReplicaSet "${sets()[0]!.metadata.name}" has successfully progressed.`,
  );
});

test('a rolling update stays within maxSurge and maxUnavailable', async () => {
  await make(4);
  await update('two');
  assert.deepEqual(sizes(), [3, 2], 'maxSurge and maxUnavailable are used at once');
  await settle(world, () => {
    assert.ok(pods().length <= 5);
    assert.ok(pods().filter(isReady).length >= 3);
  });
  assert.deepEqual(sizes(), [0, 4]);
  assert.deepEqual([...imagesOf(pods())], ['two']);
  assert.equal(web().metadata.annotations![REVISION], '2');
  assert.equal(reason(), 'NewReplicaSetAvailable');
});

test('percentages of few pods are rounded so that a rollout can proceed', async () => {
  await make(1);
  await update('two');
  assert.deepEqual(sizes(), [1, 1], '25 % of one pod: one surge pod, none unavailable');
  await settle(world);
  await change({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: '10%' } } });
  await update('three');
  assert.deepEqual(sizes(), [0, 0, 1], 'with neither, the rollout would never end');
  await settle(world);
  assert.deepEqual([...imagesOf(pods())], ['three']);
});

test('pods that never become ready stop a rollout, and the deadline sets a condition', async () => {
  await make(4, { progressDeadlineSeconds: 60 });
  await update('broken');
  for (let i = 0; i < 10; i++) {
    const ending = world.list('Pod').filter(({ metadata }) => metadata.deletionTimestamp);
    for (const { metadata } of ending) world.remove('Pod', metadata.name);
    await world.idle();
  }
  assert.deepEqual(sizes(), [3, 2]);
  world.clock.advance(58_000);
  await world.idle();
  assert.equal(condition('Progressing').status, 'True');
  world.clock.advance(5000);
  await world.idle();
  const { status, message } = condition('Progressing');
  assert.deepEqual([status, reason()], ['False', 'ProgressDeadlineExceeded']);
  assert.equal(message, `ReplicaSet "${sets()[1]!.metadata.name}" has timed out progressing.`);
  await update('mended');
  await settle(world);
  assert.equal(reason(), 'NewReplicaSetAvailable');
  assert.deepEqual([...imagesOf(pods())], ['mended']);
});

test('a return to an old template gives its ReplicaSet a new revision', async () => {
  await make(2);
  const [first] = sets();
  await update('two');
  await settle(world);
  await update('pause');
  await settle(world);
  assert.equal(sets().length, 2);
  assert.equal(sets()[1]!.metadata.name, first!.metadata.name);
  assert.deepEqual(sets().map(revisionOf), [2, 3]);
  const history = sets()[1]!.metadata.annotations!['deployment.kubernetes.io/revision-history'];
  assert.equal(history, '1');
  assert.equal(web().metadata.annotations![REVISION], '3');
  assert.deepEqual(sizes(), [0, 2]);
});

test('an equivalent template starts no rollout', async () => {
  await make(2);
  await change({
    template: {
      metadata: { creationTimestamp: null },
      spec: { restartPolicy: 'Always', volumes: [], hostNetwork: false, hostname: '' },
    },
  });
  await settle(world);
  assert.equal(sets().length, 1);
});

test('scaling starts no rollout', async () => {
  await make(2);
  await change({ replicas: 5 });
  await settle(world);
  assert.deepEqual(sizes(), [5]);
  assert.equal(web().status.observedGeneration, 2);
  assert.equal(web().status.availableReplicas, 5);
  await change({ replicas: 0 });
  await settle(world);
  assert.deepEqual([sizes(), pods().length, web().status.replicas], [[0], 0, undefined]);
  const name = sets()[0]!.metadata.name;
  assert.deepEqual(eventsOf(world, 'web').slice(1), [
    ['ScalingReplicaSet', `Scaled up replica set ${name} from 2 to 5`],
    ['ScalingReplicaSet', `Scaled down replica set ${name} from 5 to 0`],
  ]);
});

test('scaling during a rollout keeps the proportions', async () => {
  await make(10, { strategy: { rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } });
  await update('never-ready');
  assert.deepEqual(sizes(), [8, 5]);
  await change({ replicas: 15 });
  assert.deepEqual(sizes(), [11, 7], "upstream's own example of 18 pods in all");
});

test('a paused Deployment scales and does not roll', async () => {
  await make(2);
  await change({ paused: true });
  assert.deepEqual([condition('Progressing').status, reason()], ['Unknown', 'DeploymentPaused']);
  await update('two');
  await change({ replicas: 3 });
  await settle(world);
  assert.deepEqual(sizes(), [3]);
  assert.equal(web().status.updatedReplicas, undefined);
  await change({ paused: false });
  await settle(world);
  assert.deepEqual(sizes(), [0, 3]);
  assert.equal(reason(), 'NewReplicaSetAvailable');
});

test('Recreate starts after the last old pod has ended', async () => {
  await make(3, { strategy: { type: 'Recreate' } });
  await update('two');
  assert.deepEqual(sizes(), [0]);
  for (let ending = 3; ending > 0; ending--) {
    assert.equal(world.list('Pod').length, ending);
    assert.equal(sets().length, 1, 'an old pod still runs');
    stepPod(world);
    await world.idle();
  }
  await settle(world);
  assert.deepEqual(sizes(), [0, 3]);
  assert.deepEqual([...imagesOf(pods())], ['two']);
  assert.equal(reason(), 'NewReplicaSetAvailable');
});

test('keeps as many old ReplicaSets as revisionHistoryLimit', async () => {
  await make(1, { revisionHistoryLimit: 2 });
  for (const name of ['b', 'c', 'd', 'e']) {
    await update(name);
    await settle(world);
  }
  assert.deepEqual(sets().map(revisionOf), [3, 4, 5]);
});

test('a pod is available after minReadySeconds', async () => {
  await make(2, { minReadySeconds: 30 });
  assert.equal(web().status.readyReplicas, 2);
  assert.equal(web().status.availableReplicas, undefined);
  assert.equal(reason('Available'), 'MinimumReplicasUnavailable');
  world.clock.advance(30_000);
  await world.idle();
  assert.equal(web().status.availableReplicas, 2);
  assert.equal(reason(), 'NewReplicaSetAvailable');
});

test('a ReplicaSet gets another name if its name is taken', async () => {
  await make(1);
  const [{ metadata }] = sets() as [KubeObject];
  world.remove('Deployment', 'web');
  await settle(world);
  assert.deepEqual(world.list('ReplicaSet'), []);
  const labels = { app: 'other' };
  const other = workload('other', { replicas: 0 }) as { metadata: object };
  world.create('ReplicaSet', { ...other, metadata: { name: metadata.name, labels } });
  await make(1);
  assert.equal(web().status.collisionCount, 1);
  assert.equal(pods().length, 1);
  assert.equal(world.list('ReplicaSet').length, 2);
});

test('ReplicaSets without an owner are adopted by their labels', async () => {
  await make(1);
  const [{ metadata }] = sets() as [KubeObject];
  world.patch('ReplicaSet', metadata.name, { metadata: { ownerReferences: [] } });
  await world.idle();
  assert.equal(sets()[0]!.metadata.ownerReferences![0]!.name, 'web');
  assert.equal(sets().length, 1);
});
