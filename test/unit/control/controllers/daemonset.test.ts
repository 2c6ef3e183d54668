// DaemonSets: one pod on every node that fits.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { makeReady, settle } from './kubelet.ts';
import { activePods, eventsOf, node, startWorld, workload } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => {
    for (const name of ['node1', 'node2', 'node3']) bare.create('Node', node(name));
  });
});
afterEach(() => world.controllers.stop());

const nodes = () =>
  activePods(world, 'web')
    .map(({ spec }) => spec.nodeName)
    .sort();
const images = () => activePods(world, 'web').map(({ spec }) => spec.containers[0].image);
const status = () => world.get('DaemonSet', 'web')!.status;

async function make(spec: object = {}, template: object = {}): Promise<void> {
  world.create('DaemonSet', workload('web', spec, template));
  await world.idle();
}

async function setImage(to: string): Promise<void> {
  const containers = [{ name: 'main', image: to }];
  world.patch('DaemonSet', 'web', { spec: { template: { spec: { containers } } } });
  await world.idle();
}

test('has one pod on every node, and on a new one', async () => {
  await make();
  assert.deepEqual(nodes(), ['node1', 'node2', 'node3']);
  world.create('Node', node('node4'));
  await world.idle();
  assert.deepEqual(nodes(), ['node1', 'node2', 'node3', 'node4']);
  await settle(world);
  assert.deepEqual(status(), {
    currentNumberScheduled: 4,
    numberMisscheduled: 0,
    desiredNumberScheduled: 4,
    numberReady: 4,
    observedGeneration: 1,
    updatedNumberScheduled: 4,
    numberAvailable: 4,
  });
});

test('follows labels of nodes', async () => {
  world.patch('Node', 'node2', { metadata: { labels: { disk: 'ssd' } } });
  await make({}, { nodeSelector: { disk: 'ssd' } });
  assert.deepEqual(nodes(), ['node2']);
  world.patch('Node', 'node3', { metadata: { labels: { disk: 'ssd' } } });
  world.patch('Node', 'node2', { metadata: { labels: { disk: null } } });
  await world.idle();
  assert.deepEqual(nodes(), ['node3']);
});

const taint = (name: string, effect: string) =>
  world.patch('Node', name, { spec: { taints: [{ key: 'own', effect }] } });

test('keeps off tainted nodes, unless it tolerates the taint', async () => {
  taint('node1', 'NoSchedule');
  await make();
  assert.deepEqual(nodes(), ['node2', 'node3']);
  const tolerations = [{ key: 'own', operator: 'Exists' }];
  world.patch('DaemonSet', 'web', { spec: { template: { spec: { tolerations } } } });
  await settle(world);
  assert.deepEqual(nodes(), ['node1', 'node2', 'node3']);
});

test('a taint NoSchedule leaves a running pod, and NoExecute ends it', async () => {
  await make();
  await settle(world);
  taint('node1', 'NoSchedule');
  await world.idle();
  assert.deepEqual(nodes(), ['node1', 'node2', 'node3']);
  assert.equal(status().numberMisscheduled, 1);
  taint('node1', 'NoExecute');
  await settle(world);
  assert.deepEqual(nodes(), ['node2', 'node3']);
});

test('starts on a cordoned node, and stays on an unreachable one', async () => {
  world.patch('Node', 'node1', { spec: { unschedulable: true } });
  await make();
  assert.deepEqual(nodes(), ['node1', 'node2', 'node3']);
  const conditions = [{ type: 'Ready', status: 'Unknown' }];
  world.patchStatus('Node', 'node2', { conditions });
  await settle(world);
  assert.deepEqual(nodes(), ['node1', 'node2', 'node3']);
  world.remove(
    'Pod',
    activePods(world, 'web').find((p) => p.spec.nodeName === 'node2')!.metadata.name,
  );
  await settle(world);
  assert.deepEqual(nodes(), ['node1', 'node3']);
  world.patchStatus('Node', 'node2', { conditions: [{ type: 'Ready', status: 'True' }] });
  await settle(world);
  assert.deepEqual(nodes(), ['node1', 'node2', 'node3']);
});

test('replaces a pod that failed, and says so', async () => {
  await make();
  await settle(world);
  const victim = activePods(world, 'web')[0]!;
  world.patchStatus('Pod', victim.metadata.name, { phase: 'Failed' });
  world.clock.advance(5000);
  await settle(world);
  assert.deepEqual(nodes(), ['node1', 'node2', 'node3']);
  assert.equal(world.get('Pod', victim.metadata.name), undefined);
  assert.ok(eventsOf(world, 'web').some(([reason]) => reason === 'FailedDaemonPod'));
});

test('a rolling update takes away as many pods as it may, and unavailable ones at once', async () => {
  await make();
  await settle(world);
  await setImage('two');
  const before = activePods(world, 'web').length;
  assert.equal(before, 2, 'one is deleted');
  await settle(world, () => {
    assert.ok(activePods(world, 'web').length >= 2);
  });
  assert.deepEqual(images(), ['two', 'two', 'two']);
  assert.equal(status().updatedNumberScheduled, 3);
});

test('a rolling update by surge starts a new pod beside the old one', async () => {
  await make({ updateStrategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } });
  await settle(world);
  await setImage('two');
  const all = activePods(world, 'web');
  assert.equal(all.length, 4);
  const fresh = all.find(({ status: s }) => s.phase === 'Pending')!;
  assert.equal(fresh.spec.containers[0].image, 'two');
  makeReady(world, fresh);
  await settle(world, () => {
    const running = activePods(world, 'web').filter(({ status: s }) => s.phase === 'Running');
    assert.ok(running.length >= 3);
    assert.ok(activePods(world, 'web').length <= 4);
  });
  assert.deepEqual(images(), ['two', 'two', 'two']);
});

test('with OnDelete a pod is new only after it was deleted', async () => {
  await make({ updateStrategy: { type: 'OnDelete' } });
  await settle(world);
  await setImage('two');
  await settle(world);
  assert.deepEqual(images(), ['pause', 'pause', 'pause']);
  world.remove('Pod', activePods(world, 'web')[0]!.metadata.name);
  await settle(world);
  assert.deepEqual(images().sort(), ['pause', 'pause', 'two']);
});

test('pods on a node that is gone are deleted', async () => {
  await make();
  await settle(world);
  world.remove('Node', 'node3');
  await settle(world);
  assert.deepEqual(nodes(), ['node1', 'node2']);
  assert.equal(status().desiredNumberScheduled, 2);
});
