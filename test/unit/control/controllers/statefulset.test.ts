// StatefulSets: stable names, order, partitions, revisions.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { makeReady, settle, stepPod } from './kubelet.ts';
import { activePods, eventsOf, node, startWorld, workload } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => {
    for (const name of ['node1', 'node2']) bare.create('Node', node(name));
  });
});
afterEach(() => world.controllers.stop());

const names = () => activePods(world, 'web').map(({ metadata }) => metadata.name);
const status = () => world.get('StatefulSet', 'web')!.status;
const image = (name: string) => world.get('Pod', name)!.spec.containers[0].image;
const readyPod = (name: string) => makeReady(world, world.get('Pod', name)!);

async function make(spec: object = {}): Promise<void> {
  world.create('StatefulSet', workload('web', { serviceName: 'nginx', replicas: 3, ...spec }));
  await world.idle();
}

async function change(spec: object): Promise<void> {
  world.patch('StatefulSet', 'web', { spec });
  await world.idle();
}

const setImage = (to: string) =>
  change({ template: { spec: { containers: [{ name: 'main', image: to }] } } });

async function ready(...pods: string[]): Promise<void> {
  for (const name of pods) readyPod(name);
  await world.idle();
}

test('starts pods one after the other, each when the one before it is ready', async () => {
  await make();
  assert.deepEqual(names(), ['web-0']);
  await ready('web-0');
  assert.deepEqual(names(), ['web-0', 'web-1']);
  await ready('web-1');
  await ready('web-2');
  assert.deepEqual(names(), ['web-0', 'web-1', 'web-2']);
  assert.deepEqual([status().replicas, status().readyReplicas], [3, 3]);
  assert.equal(status().currentRevision, status().updateRevision);
  const [reason, message] = eventsOf(world, 'web')[0]!;
  assert.deepEqual([reason, message], ['SuccessfulCreate', 'Created pod: web-0']);
});

test('gives a pod its name, host name, subdomain and labels', async () => {
  await make();
  const pod = world.get('Pod', 'web-0')!;
  assert.deepEqual([pod.spec.hostname, pod.spec.subdomain], ['web-0', 'nginx']);
  const { labels } = pod.metadata;
  assert.equal(labels!['statefulset.kubernetes.io/pod-name'], 'web-0');
  assert.equal(labels!['apps.kubernetes.io/pod-index'], '0');
  assert.equal(labels!['controller-revision-hash'], status().updateRevision);
});

test('with Parallel starts and ends all pods at once', async () => {
  await make({ podManagementPolicy: 'Parallel' });
  assert.deepEqual(names(), ['web-0', 'web-1', 'web-2']);
  await change({ replicas: 0 });
  assert.deepEqual(names(), []);
});

test('starts at another ordinal', async () => {
  await make({ podManagementPolicy: 'Parallel', ordinals: { start: 5 }, replicas: 2 });
  assert.deepEqual(names(), ['web-5', 'web-6']);
});

test('scales down from the last pod, and waits until each is gone', async () => {
  await make();
  await settle(world);
  await change({ replicas: 1 });
  assert.deepEqual(names(), ['web-0', 'web-1'], 'web-1 waits for the end of web-2');
  world.remove('Pod', 'web-2');
  await world.idle();
  assert.deepEqual(names(), ['web-0']);
});

test('scales down only when all pods that stay are ready', async () => {
  await make();
  await settle(world);
  world.patchStatus('Pod', 'web-0', { conditions: [{ type: 'Ready', status: 'False' }] });
  await change({ replicas: 2 });
  assert.deepEqual(names(), ['web-0', 'web-1', 'web-2']);
  await ready('web-0');
  assert.deepEqual(names(), ['web-0', 'web-1']);
});

test('replaces a pod that failed, under the same name', async () => {
  await make({ replicas: 1 });
  await ready('web-0');
  const before = world.get('Pod', 'web-0')!.metadata.uid;
  world.patchStatus('Pod', 'web-0', { phase: 'Failed' });
  await settle(world);
  assert.deepEqual(names(), ['web-0']);
  assert.notEqual(world.get('Pod', 'web-0')!.metadata.uid, before);
});

test('updates from the last pod to the first, and never two at once', async () => {
  await make();
  await settle(world);
  const updated: string[] = [];
  world.store.subscribe('pods', ({ type, object }) => {
    if (type === 'ADDED') updated.push(object.metadata.name);
  });
  await setImage('two');
  assert.equal(status().updatedReplicas, undefined);
  assert.notEqual(status().currentRevision, status().updateRevision);
  do {
    await world.idle();
    const isReady = ({ status: s }: KubeObject) =>
      s.conditions?.some(
        (c: { type: string; status: string }) => c.type === 'Ready' && c.status === 'True',
      );
    assert.ok(activePods(world, 'web').filter(isReady).length >= 2);
  } while (stepPod(world));
  assert.deepEqual(updated, ['web-2', 'web-1', 'web-0']);
  assert.equal(status().currentRevision, status().updateRevision);
  assert.equal(status().currentReplicas, 3);
});

test('updates no pod below the partition, not even one that was deleted', async () => {
  await make({ updateStrategy: { rollingUpdate: { partition: 2 } } });
  await settle(world);
  await setImage('two');
  await settle(world);
  assert.deepEqual(['web-0', 'web-1', 'web-2'].map(image), ['pause', 'pause', 'two']);
  world.remove('Pod', 'web-0');
  await settle(world);
  assert.equal(image('web-0'), 'pause');
  assert.equal(status().updatedReplicas, 1);
  await change({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } } });
  await settle(world);
  assert.deepEqual(['web-0', 'web-1', 'web-2'].map(image), ['two', 'two', 'two']);
});

test('with OnDelete updates a pod when it is deleted', async () => {
  await make({ updateStrategy: { type: 'OnDelete' } });
  await settle(world);
  await setImage('two');
  await settle(world);
  assert.equal(image('web-1'), 'pause');
  world.remove('Pod', 'web-1');
  await settle(world);
  assert.deepEqual(['web-0', 'web-1', 'web-2'].map(image), ['pause', 'two', 'pause']);
});

test('keeps revisions up to its limit, and renumbers one that it goes back to', async () => {
  await make({ replicas: 1, revisionHistoryLimit: 2 });
  for (const to of ['b', 'c', 'd', 'e']) {
    await settle(world);
    await setImage(to);
  }
  await settle(world);
  const revisions = () =>
    world
      .list('ControllerRevision')
      .map(({ revision }) => revision as number)
      .sort();
  assert.deepEqual(revisions(), [3, 4, 5]);
  await setImage('d');
  await settle(world);
  assert.deepEqual(revisions(), [3, 5, 6]);
  assert.equal(image('web-0'), 'd');
});

test('a pod counts as available after minReadySeconds, and the next one waits for it', async () => {
  await make({ replicas: 2, minReadySeconds: 10 });
  await ready('web-0');
  assert.deepEqual(names(), ['web-0']);
  assert.deepEqual([status().readyReplicas, status().availableReplicas], [1, 0]);
  world.clock.advance(11_000);
  await world.idle();
  assert.deepEqual(names(), ['web-0', 'web-1']);
});

test('ignores a pod whose name has no ordinal of the set', async () => {
  world.create('Pod', {
    metadata: { name: 'web-x', labels: { app: 'web' } },
    spec: { containers: [{ name: 'c', image: 'pause' }] },
  });
  await make({ replicas: 1 });
  assert.deepEqual(world.get('Pod', 'web-x')!.metadata.ownerReferences ?? [], []);
});

test('its pods and revisions end with it', async () => {
  await make();
  await settle(world);
  world.remove('StatefulSet', 'web');
  await settle(world);
  assert.deepEqual([names(), world.list('ControllerRevision')], [[], []]);
});
