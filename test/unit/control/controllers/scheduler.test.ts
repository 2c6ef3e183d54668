import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { node, pod, ready, startWorld } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld();
});
afterEach(() => world.controllers.stop());

const add = (name: string, spec: object = {}, metadata: object = {}) =>
  world.create('Pod', pod(name, { nodeName: undefined, ...spec }, metadata));

async function nodeOf(name: string): Promise<string | undefined> {
  await world.idle();
  return world.get('Pod', name)?.spec.nodeName;
}

function scheduled(name: string) {
  const conditions = world.get('Pod', name)?.status.conditions ?? [];
  return conditions.find((c: { type: string }) => c.type === 'PodScheduled');
}

test('a pod gets a node and the condition PodScheduled', async () => {
  world.create('Node', node('node1'));
  add('p');
  assert.equal(await nodeOf('p'), 'node1');
  assert.equal(scheduled('p').status, 'True');
  assert.equal(scheduled('p').reason, undefined);
});

test('pods spread over nodes by the pods of their group, then by all pods', async () => {
  world.create('Node', node('node1'));
  world.create('Node', node('node2'));
  for (const name of ['a', 'b', 'c']) world.create('Pod', pod(name, {}, { labels: { app: 'db' } }));
  for (let i = 0; i < 6; i++) add(`web${i}`);
  await world.idle();
  const on = (nodeName: string, app: string) =>
    world.list('Pod').filter((p) => p.spec.nodeName === nodeName && p.metadata.labels?.app === app)
      .length;
  assert.deepEqual([on('node1', 'web'), on('node2', 'web')], [3, 3]);
  add('single', {}, { labels: { app: 'single' } });
  assert.equal(await nodeOf('single'), 'node2');
});

test('the pods of one controller are one group whatever their labels', async () => {
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'r-uid' };
  const owned = { ownerReferences: [{ ...owner, controller: true }] };
  world.controllers.stop();
  world = startWorld((bare) => {
    bare.create('Node', node('node1'));
    bare.create('Node', node('node2'));
    bare.store.create('replicasets', {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: { name: 'r', namespace: 'default', uid: 'r-uid' },
      spec: {
        replicas: 2,
        selector: { matchExpressions: [{ key: 'n', operator: 'Exists' }] },
        template: {},
      },
    });
    bare.create('Pod', pod('r0', {}, { ...owned, labels: { n: '0' } }));
    for (let i = 0; i < 3; i++) bare.create('Pod', pod(`x${i}`, { nodeName: 'node2' }));
  });
  add('r1', {}, { ...owned, labels: { n: '1' } });
  assert.equal(await nodeOf('r1'), 'node2');
});

test('a node that is not ready, cordoned or without the labels is not chosen, and the pod has the reason', async () => {
  add('p', { nodeSelector: { disk: 'ssd' } });
  assert.equal(await nodeOf('p'), undefined);
  assert.equal(scheduled('p').message, 'no nodes available to schedule pods');
  world.create('Node', node('slow'));
  world.create('Node', node('cordoned', { disk: 'ssd' }, { unschedulable: true }));
  world.create('Node', node('down', { disk: 'ssd' }));
  world.patchStatus('Node', 'down', ready(false));
  assert.equal(await nodeOf('p'), undefined);
  assert.equal(scheduled('p').status, 'False');
  assert.equal(scheduled('p').reason, 'Unschedulable');
  assert.equal(
    scheduled('p').message,
    "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, " +
      '1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 1 node(s) were unschedulable.',
  );
  assert.equal(world.get('Pod', 'p')?.status.phase, 'Pending');
});

test('a waiting pod is tried again when a node changes', async () => {
  world.create('Node', node('node1', {}, { unschedulable: true }));
  add('p');
  assert.equal(await nodeOf('p'), undefined);
  world.patch('Node', 'node1', { spec: { unschedulable: null } });
  assert.equal(await nodeOf('p'), 'node1');
});

test('a full node accepts a pod after another one has ended', async () => {
  world.create('Node', node('node1'));
  world.patchStatus('Node', 'node1', ready(true, { allocatable: { pods: '2' } }));
  for (const name of ['p1', 'p2', 'p3', 'p4']) add(name);
  await world.idle();
  const placed = () => world.list('Pod').filter((p) => p.spec.nodeName).length;
  assert.equal(placed(), 2);
  assert.equal(scheduled('p4').message, '0/1 nodes are available: 1 Too many pods.');
  world.remove('Pod', 'p1');
  await world.idle();
  assert.equal(await nodeOf('p3'), 'node1');
  world.patchStatus('Pod', 'p2', { phase: 'Succeeded' });
  assert.equal(await nodeOf('p4'), 'node1');
});

test('a pod with a node, another scheduler or a deletion is ignored', async () => {
  world.create('Node', node('node1'));
  world.create('Pod', pod('fixed', { nodeName: 'elsewhere' }));
  add('own', { schedulerName: 'mine' });
  add('ending', {}, { finalizers: ['example.com/hold'] });
  world.remove('Pod', 'ending');
  assert.equal(await nodeOf('fixed'), 'elsewhere');
  assert.equal(await nodeOf('own'), undefined);
  assert.equal(await nodeOf('ending'), undefined);
});

test('the condition is written once for one reason, and keeps its time for the next one', async () => {
  add('p');
  await world.idle();
  const before = world.get('Pod', 'p');
  world.create('Node', node('a', {}, { unschedulable: true }));
  await world.idle();
  const after = world.get('Pod', 'p');
  assert.equal(scheduled('p').lastTransitionTime, before?.status.conditions[0].lastTransitionTime);
  world.patch('Node', 'a', { metadata: { labels: { heart: 'beat' } } });
  await world.idle();
  assert.equal(world.get('Pod', 'p')?.metadata.resourceVersion, after?.metadata.resourceVersion);
});
