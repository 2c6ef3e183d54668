import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { startControllers } from '../../../../control/cluster/controllers.ts';
import type { KubeObject } from '../../../../control/kube/object.ts';
import {
  endpointsOf,
  eventsOf,
  kindOf,
  node,
  pod,
  service,
  slicesOf,
  startWorld,
} from './world.ts';

let world: ReturnType<typeof startWorld>;
let renewals = 0;

beforeEach(async () => {
  world = startWorld((bare) => {
    bare.create('Namespace', { metadata: { name: 'kube-node-lease' } });
    for (const name of ['node1', 'node2']) bare.create('Node', node(name));
  });
  world.create('Service', service('web'));
  for (const [name, on] of Object.entries({ p1: 'node1', p2: 'node2' })) {
    world.create('Pod', pod(name, { nodeName: on }));
    setReady(name);
  }
  renew('node1');
  renew('node2');
  await world.idle();
});
afterEach(() => world.controllers.stop());

function renew(name: string): void {
  const lease = {
    metadata: { name },
    spec: { renewTime: `2026-01-01T00:00:00.${100_000 + renewals++}Z` },
  };
  const kind = kindOf('Lease');
  const place = { namespace: 'kube-node-lease', name };
  if (!world.store.get('leases', place.namespace, name)) {
    world.registry.create(kind, place.namespace, lease);
  } else world.registry.patch(kind, place, lease, false);
}

/** Sets the Ready condition of a pod, as its kubelet does. */
function setReady(name: string, isReady = true): void {
  const status = isReady ? 'True' : 'False';
  const lastTransitionTime = '2026-01-01T00:00:00Z';
  const conditions = ['Ready', 'ContainersReady'].map((type) => ({
    type,
    status,
    lastTransitionTime,
  }));
  world.patchStatus('Pod', name, { phase: 'Running', podIP: '10.244.1.2', conditions });
}

/** Advances the clock, while the nodes in `alive` renew their Leases. */
async function pass(seconds: number, ...alive: string[]): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    world.clock.advance(1000);
    if (i % 5 === 0) for (const name of alive) renew(name);
    await world.idle();
  }
}

const readyOf = (object: KubeObject | undefined) =>
  object!.status.conditions.find((c: { type: string }) => c.type === 'Ready');
const taintsOf = (name: string) =>
  (world.get('Node', name)!.spec.taints ?? []).map(
    ({ key, effect }: { key: string; effect: string }) => `${key}:${effect}`,
  );
const readyEndpoints = () =>
  endpointsOf(slicesOf(world, 'web'))
    .filter(({ conditions }) => conditions.ready)
    .map(({ targetRef }) => targetRef.name)
    .sort();

test('a node without a Lease renewal for 20 seconds is unreachable, and its pods not ready', async () => {
  await pass(19, 'node1');
  assert.equal(readyOf(world.get('Node', 'node2')).status, 'True');
  assert.deepEqual(readyEndpoints(), ['p1', 'p2']);
  await pass(2, 'node1');
  const ready = readyOf(world.get('Node', 'node2'));
  assert.deepEqual([ready.status, ready.reason], ['Unknown', 'NodeStatusUnknown']);
  assert.deepEqual(taintsOf('node2'), [
    'node.kubernetes.io/unreachable:NoSchedule',
    'node.kubernetes.io/unreachable:NoExecute',
  ]);
  const { status, reason } = readyOf(world.get('Pod', 'p2'));
  assert.deepEqual([status, reason], ['False', 'NodeNotReady']);
  assert.deepEqual(readyEndpoints(), ['p1']);
  assert.deepEqual(eventsOf(world, 'node2'), [
    ['NodeNotReady', 'Node node2 status is now: NodeNotReady'],
  ]);
  assert.deepEqual(eventsOf(world, 'p2'), [['NodeNotReady', 'Node is not ready']]);
  assert.equal(readyOf(world.get('Node', 'node1')).status, 'True');
  assert.deepEqual(taintsOf('node1'), []);
});

test('a renewed node is ready without taints, and its pods are ready', async () => {
  await pass(25, 'node1');
  renew('node2');
  await world.idle();
  assert.equal(readyOf(world.get('Node', 'node2')).status, 'True');
  assert.deepEqual(taintsOf('node2'), []);
  assert.equal(world.get('Node', 'node2')!.spec.taints, undefined);
  assert.deepEqual(readyEndpoints(), ['p1', 'p2']);
  await pass(30, 'node1', 'node2');
  assert.deepEqual(readyEndpoints(), ['p1', 'p2']);
});

test('a pod that was not ready stays so after its node returns', async () => {
  await pass(25, 'node1');
  setReady('p2', false);
  renew('node2');
  await world.idle();
  assert.deepEqual(readyEndpoints(), ['p1']);
});

test('a pod with a false readiness gate is not ready', async () => {
  world.create(
    'Pod',
    pod('gated', { nodeName: 'node2', readinessGates: [{ conditionType: 'g' }] }),
  );
  setReady('gated');
  await pass(25, 'node1');
  renew('node2');
  await world.idle();
  assert.deepEqual(readyEndpoints(), ['p1', 'p2']);
});

test('a pod on an unreachable node does not become ready', async () => {
  await pass(25, 'node1');
  setReady('p2');
  await world.idle();
  assert.deepEqual(readyEndpoints(), ['p1']);
});

test('an agent that pauses for less than 20 seconds changes nothing', async () => {
  await pass(6, 'node1', 'node2');
  const before = world.get('Node', 'node2')!.metadata.resourceVersion;
  const podBefore = world.get('Pod', 'p2')!.metadata.resourceVersion;
  await pass(14, 'node1');
  await pass(20, 'node1', 'node2');
  assert.equal(world.get('Node', 'node2')!.metadata.resourceVersion, before);
  assert.equal(world.get('Pod', 'p2')!.metadata.resourceVersion, podBefore);
});

test('a restarted server gives every node a full period, and unreachable nodes stay so', async () => {
  await pass(25, 'node1');
  world.controllers.stop();
  world.clock.advance(3_600_000);
  world.controllers = startControllers(world.registry, null, world.clock);
  await pass(19);
  assert.equal(readyOf(world.get('Node', 'node1')).status, 'True');
  assert.equal(readyOf(world.get('Node', 'node2')).status, 'Unknown');
  assert.deepEqual(readyEndpoints(), ['p1']);
  await pass(2);
  assert.equal(readyOf(world.get('Node', 'node1')).status, 'Unknown');
  assert.deepEqual(readyEndpoints(), []);
});

test('leaves taints of others, and nodes without a Lease, unchanged', async () => {
  world.create('Node', node('node3', {}, { taints: [{ key: 'own', effect: 'NoSchedule' }] }));
  await pass(60, 'node1');
  assert.equal(readyOf(world.get('Node', 'node3')).status, 'True');
  world.patch('Node', 'node2', { spec: { taints: [{ key: 'own', effect: 'NoSchedule' }] } });
  await world.idle();
  assert.equal(taintsOf('node2').length, 3, 'its own taints are restored');
  renew('node2');
  await world.idle();
  assert.deepEqual(taintsOf('node2'), ['own:NoSchedule']);
});
