// DaemonSets: one pod on every node that fits.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { makeReady, settle, stepPod } from './kubelet.ts';
import { activePods, eventsOf, node, ready, startWorld, workload } from './world.ts';

const HASH = 'controller-revision-hash';
let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => {
    for (const name of ['node1', 'node2', 'node3']) bare.create('Node', node(name));
  });
});
afterEach(() => world.controllers.stop());

const web = () => world.get('DaemonSet', 'web')!;
const pods = () => activePods(world, 'web');
const places = () =>
  pods()
    .map(({ spec }) => spec.nodeName)
    .sort();
const imagesOf = (all: KubeObject[]) => all.map(({ spec }) => spec.containers[0].image).sort();
const revisions = () =>
  world
    .list('ControllerRevision')
    .map(({ revision }) => revision)
    .sort();
const image = (name: string) => ({
  template: { spec: { containers: [{ name: 'main', image: name }] } },
});
const rolling = (maxUnavailable: unknown, maxSurge: unknown) => ({
  updateStrategy: { rollingUpdate: { maxUnavailable, maxSurge } },
});

async function make(spec: object = {}, template: object = {}): Promise<void> {
  world.create('DaemonSet', workload('web', spec, template));
  await settle(world);
}

async function change(spec: object): Promise<void> {
  world.patch('DaemonSet', 'web', { spec });
  await world.idle();
}

async function changeNode(name: string, patch: object): Promise<void> {
  world.patch('Node', name, patch);
  await settle(world);
}

test('a DaemonSet has one pod on each node, and its status counts them', async () => {
  world.create('DaemonSet', workload('web'));
  await world.idle();
  assert.deepEqual(places(), ['node1', 'node2', 'node3']);
  assert.deepEqual(web().status, {
    ...{ currentNumberScheduled: 3, numberMisscheduled: 0, desiredNumberScheduled: 3 },
    ...{ numberReady: 0, observedGeneration: 1, updatedNumberScheduled: 3, numberUnavailable: 3 },
  });
  await settle(world);
  assert.deepEqual(web().status, {
    ...{ currentNumberScheduled: 3, numberMisscheduled: 0, desiredNumberScheduled: 3 },
    ...{ numberReady: 3, observedGeneration: 1, updatedNumberScheduled: 3, numberAvailable: 3 },
  });
  const [pod] = pods();
  const [revision] = world.list('ControllerRevision');
  assert.equal(pod!.metadata.labels![HASH], revision!.metadata.labels![HASH]);
  assert.equal(pod!.metadata.labels!['pod-template-generation'], '1');
  assert.equal(pod!.metadata.ownerReferences![0]!.kind, 'DaemonSet');
  assert.equal(
    eventsOf(world, 'web').filter(([reason]) => reason === 'SuccessfulCreate').length,
    3,
  );
});

test('a DaemonSet follows nodes that come, change and go', async () => {
  await make({}, { nodeSelector: { disk: 'ssd' } });
  assert.deepEqual(places(), []);
  assert.equal(web().status.desiredNumberScheduled, 0);
  await changeNode('node1', { metadata: { labels: { disk: 'ssd' } } });
  world.create('Node', node('node4', { disk: 'ssd' }));
  await settle(world);
  assert.deepEqual(places(), ['node1', 'node4']);
  await changeNode('node1', { metadata: { labels: { disk: null } } });
  assert.deepEqual(places(), ['node4']);
  world.remove('Node', 'node4');
  await settle(world);
  assert.deepEqual(places(), []);
});

test('taints keep pods away, NoExecute ends them, tolerations let them in', async () => {
  const taint = (effect: string) => ({ spec: { taints: [{ key: 'k', effect }] } });
  await make();
  await changeNode('node1', taint('NoSchedule'));
  assert.equal(places().length, 3, 'a pod that runs may stay');
  assert.equal(web().status.numberMisscheduled, 1);
  assert.equal(web().status.desiredNumberScheduled, 2);
  world.remove('Pod', pods().find(({ spec }) => spec.nodeName === 'node1')!.metadata.name);
  await settle(world);
  assert.deepEqual(places(), ['node2', 'node3']);
  await changeNode('node2', taint('NoExecute'));
  assert.deepEqual(places(), ['node3']);
  await change({ template: { spec: { tolerations: [{ key: 'k', operator: 'Exists' }] } } });
  await settle(world);
  assert.deepEqual(places(), ['node1', 'node2', 'node3']);
});

test('pods run on cordoned nodes and stay on unreachable ones', async () => {
  world.patch('Node', 'node1', { spec: { unschedulable: true } });
  await make();
  assert.deepEqual(places(), ['node1', 'node2', 'node3']);
  world.patchStatus('Node', 'node2', ready(false));
  const taints = [{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' }];
  world.patch('Node', 'node2', { spec: { taints } });
  world.clock.advance(400_000);
  await settle(world);
  assert.deepEqual(places(), ['node1', 'node2', 'node3']);
});

test('a rolling update replaces at most maxUnavailable pods at a time', async () => {
  await make();
  await change(image('two'));
  assert.equal(pods().length, 2, 'the default is one');
  await settle(world, () => assert.ok(pods().length >= 2));
  assert.deepEqual(imagesOf(pods()), ['two', 'two', 'two']);
  assert.deepEqual(revisions(), [1, 2]);
  await change({ ...rolling('50%', 0), ...image('three') });
  assert.equal(pods().length, 1, 'half of three is two');
  await settle(world);
  assert.deepEqual(imagesOf(pods()), ['three', 'three', 'three']);
  assert.equal(web().status.updatedNumberScheduled, 3);
});

test('an update waits for pods to be ready for minReadySeconds', async () => {
  await make({ minReadySeconds: 10 });
  assert.equal(web().status.numberAvailable, undefined);
  world.clock.advance(10_000);
  await world.idle();
  assert.equal(web().status.numberAvailable, 3);
  await change(image('two'));
  await settle(world);
  assert.deepEqual(imagesOf(pods()), ['pause', 'pause', 'two']);
  for (let i = 0; i < 3; i++) {
    world.clock.advance(10_000);
    await settle(world);
  }
  assert.deepEqual(imagesOf(pods()), ['two', 'two', 'two']);
});

test('an old pod that is not ready is replaced at once and counts as unavailable', async () => {
  world.create('DaemonSet', workload('web'));
  await world.idle();
  makeReady(world, pods()[0]!);
  makeReady(world, pods()[1]!);
  await change(image('two'));
  const left = pods().filter(({ spec }) => spec.containers[0].image === 'pause');
  assert.equal(left.length, 2, 'both that are ready stay');
});

test('with maxSurge new pods start beside old ones, which end when those are ready', async () => {
  await make(rolling(0, 1));
  await change(image('two'));
  assert.deepEqual(imagesOf(pods()), ['pause', 'pause', 'pause', 'two']);
  await settle(world, () => {
    const available = pods().filter(({ status }) => status.phase === 'Running').length;
    assert.ok(available >= 3, 'none is missing');
    assert.ok(pods().length <= 4);
  });
  assert.deepEqual(imagesOf(pods()), ['two', 'two', 'two']);
  assert.deepEqual(places(), ['node1', 'node2', 'node3']);
});

test('with OnDelete a pod gets the new template when its old one is deleted', async () => {
  await make({ updateStrategy: { type: 'OnDelete' } });
  await change(image('two'));
  await settle(world);
  assert.deepEqual(imagesOf(pods()), ['pause', 'pause', 'pause']);
  assert.equal(web().status.updatedNumberScheduled, undefined);
  world.remove('Pod', pods()[0]!.metadata.name);
  await settle(world);
  assert.deepEqual(imagesOf(pods()), ['pause', 'pause', 'two']);
});

test('the history keeps revisionHistoryLimit revisions, and a rollback renumbers one', async () => {
  await make({ revisionHistoryLimit: 1 });
  for (const name of ['two', 'three']) {
    await change(image(name));
    await settle(world);
  }
  assert.deepEqual(revisions(), [2, 3]);
  await change(image('two'));
  await settle(world);
  assert.deepEqual(revisions(), [3, 4]);
  assert.deepEqual(imagesOf(pods()), ['two', 'two', 'two']);
});

test('a failed pod is replaced, and later each time it fails again', async () => {
  await make();
  const fail = async () => {
    const pod = pods().find(({ spec }) => spec.nodeName === 'node1')!;
    world.patchStatus('Pod', pod.metadata.name, { phase: 'Failed' });
    await settle(world);
  };
  await fail();
  assert.equal(places().length, 3);
  await fail();
  assert.equal(places().length, 2, 'the second waits');
  world.clock.advance(1000);
  await settle(world);
  assert.equal(places().length, 3);
  assert.ok(eventsOf(world, 'web').some(([reason]) => reason === 'FailedDaemonPod'));
});

test('an update continues while a failed pod waits for its replacement', async () => {
  await make(rolling(2, 0));
  await change(image('two'));
  for (let failures = 0; failures < 2; failures++) {
    do await world.idle();
    while (world.list('Pod').some(({ metadata }) => metadata.deletionTimestamp) && stepPod(world));
    const victim = pods().find(({ spec }) => spec.nodeName === 'node1')!;
    world.patchStatus('Pod', victim.metadata.name, { phase: 'Failed' });
  }
  await settle(world);
  assert.deepEqual(places(), ['node2', 'node3'], 'the second failure waits');
  assert.deepEqual(imagesOf(pods()), ['two', 'two']);
});

test('a pod that its node cannot take stays pending, and is not replaced', async () => {
  world.create('Pod', {
    metadata: { name: 'blocker' },
    spec: {
      ...{ nodeName: 'node1', hostNetwork: true },
      containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80 }] }],
    },
  });
  world.create(
    'DaemonSet',
    workload(
      'web',
      {},
      {
        hostNetwork: true,
        containers: [{ name: 'main', image: 'pause', ports: [{ containerPort: 80 }] }],
      },
    ),
  );
  await world.idle();
  assert.deepEqual(places(), ['node2', 'node3', undefined]);
  assert.equal(pods().length, 3);
});

test('pods without an owner are adopted, and surplus ones are deleted', async () => {
  const lone = workload('web') as { spec: { template: { spec: object } } };
  world.create('Pod', {
    metadata: { name: 'lone', labels: { app: 'web' } },
    spec: { ...lone.spec.template.spec, nodeName: 'node1' },
  });
  await world.idle();
  world.create('DaemonSet', workload('web', { updateStrategy: { type: 'OnDelete' } }));
  await settle(world);
  assert.deepEqual(places(), ['node1', 'node2', 'node3']);
  const lonePod = world.get('Pod', 'lone')!;
  assert.equal(lonePod.metadata.ownerReferences![0]!.uid, web().metadata.uid);
});

test('pods and revisions end with their DaemonSet, or stay as orphans', async () => {
  await make();
  world.remove('DaemonSet', 'web');
  await settle(world);
  assert.equal(pods().length, 0);
  assert.equal(world.list('ControllerRevision').length, 0);
  await make();
  world.registry.remove(
    { ...(await import('./world.ts')).kindOf('DaemonSet') },
    { namespace: 'default', name: 'web' },
    { propagationPolicy: 'Orphan' },
  );
  await settle(world);
  assert.equal(world.get('DaemonSet', 'web'), undefined);
  assert.equal(pods().length, 3);
  assert.ok(pods().every(({ metadata }) => !metadata.ownerReferences));
});

test('refused pods cause an event on the DaemonSet, and are tried again', async (t) => {
  t.mock.method(console, 'error', () => {});
  world.create('DaemonSet', workload('web', {}, { serviceAccountName: 'clerk' }));
  await world.idle();
  assert.equal(pods().length, 0);
  assert.ok(eventsOf(world, 'web').some(([reason]) => reason === 'FailedCreate'));
  world.create('ServiceAccount', { metadata: { name: 'clerk' } });
  world.clock.advance(60_000);
  await settle(world);
  assert.equal(pods().length, 3);
  assert.equal(stepPod(world), false);
});
