import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { StatusError } from '../../../../control/apiserver/status.ts';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { activePods, eventsOf, kindOf, node, pod, startWorld, workload } from './world.ts';

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

const pods = () => activePods(world, 'web');
const status = () => world.get('ReplicaSet', 'web')?.status;

async function make(replicas: number, spec: object = {}): Promise<void> {
  world.create('ReplicaSet', workload('web', { replicas, ...spec }));
  await world.idle();
}

async function scale(replicas: number): Promise<void> {
  world.patch('ReplicaSet', 'web', { spec: { replicas } });
  await world.idle();
}

/** Marks a pod as running, and as ready for a number of seconds. */
function setReady({ metadata }: KubeObject, forS = 0): void {
  const lastTransitionTime = new Date(world.clock.unixMs() - forS * 1000).toISOString();
  const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime }];
  world.patchStatus('Pod', metadata.name, { phase: 'Running', conditions });
}

test('a ReplicaSet creates its pods from the template and records events', async () => {
  await make(3);
  assert.equal(pods().length, 3);
  const [first] = pods();
  assert.match(first!.metadata.name, /^web-[a-z0-9]{5}$/);
  assert.deepEqual(first!.metadata.labels, { app: 'web' });
  const owner = world.get('ReplicaSet', 'web')!;
  assert.deepEqual(first!.metadata.ownerReferences, [
    {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: 'web',
      uid: owner.metadata.uid,
      controller: true,
      blockOwnerDeletion: true,
    },
  ]);
  const said = eventsOf(world, 'web');
  assert.deepEqual(
    said.toSorted(),
    pods().map(({ metadata }) => ['SuccessfulCreate', `Created pod: ${metadata.name}`]),
  );
});

test('many pods are created and deleted in several turns', async () => {
  await make(120);
  assert.equal(pods().length, 120);
  assert.equal(status().replicas, 120);
  await scale(3);
  assert.equal(pods().length, 3);
});

test('the status counts pods: all, with all labels, ready, and available', async () => {
  await make(3, { minReadySeconds: 10 });
  assert.deepEqual(status(), { replicas: 3, fullyLabeledReplicas: 3, observedGeneration: 1 });
  setReady(pods()[0]!, 60);
  setReady(pods()[1]!, 4);
  await world.idle();
  assert.deepEqual([status().readyReplicas, status().availableReplicas], [2, 1]);
  world.clock.advance(6000);
  await world.idle();
  assert.equal(status().availableReplicas, 2, 'without any event');
  await scale(4);
  assert.equal(status().observedGeneration, 2);
});

test('a deleted, failed or terminating pod is replaced at once', async () => {
  await make(3);
  const [gone, failed, ending] = pods();
  world.remove('Pod', gone!.metadata.name);
  world.patchStatus('Pod', failed!.metadata.name, { phase: 'Failed' });
  world.remove('Pod', ending!.metadata.name, { graceful: true });
  await world.idle();
  assert.equal(pods().length, 3);
  assert.ok(world.get('Pod', failed!.metadata.name), 'a failed pod is kept for inspection');
  assert.ok(world.get('Pod', ending!.metadata.name), 'a terminating pod keeps its grace period');
});

test('a pod without an owner is adopted, one with another owner is not', async () => {
  const other = {
    apiVersion: 'example.com/v1',
    kind: 'Other',
    name: 'o',
    uid: 'u',
    controller: true,
  };
  world.create('Pod', pod('orphan'));
  world.create('Pod', pod('foreign', {}, { ownerReferences: [other] }));
  await make(1);
  const adopted = world.get('Pod', 'orphan')!.metadata.ownerReferences!;
  assert.equal(adopted[0]!.name, 'web');
  assert.equal(world.get('Pod', 'foreign')!.metadata.ownerReferences!.length, 1);
  assert.equal(pods().length, 2, 'no pod was created');
});

test('a pod without the labels is released and replaced; with them it is adopted again', async () => {
  await make(1);
  const [{ metadata }] = pods() as [KubeObject];
  world.patch('Pod', metadata.name, { metadata: { labels: { app: 'debug' } } });
  await world.idle();
  assert.deepEqual(world.get('Pod', metadata.name)!.metadata.ownerReferences ?? [], []);
  assert.equal(pods().length, 1);
  world.patch('Pod', metadata.name, { metadata: { labels: { app: 'web' } } });
  await world.idle();
  assert.equal(pods().length, 1, 'one of the two was surplus');
});

test('the order of deletion: no node, pending, not ready, low cost, related pods on the node, ready for a short time', async () => {
  const cost = (value: string) => ({ 'controller.kubernetes.io/pod-deletion-cost': value });
  const running = (name: string, on: string, readyS: number | null, annotations: object = {}) => {
    world.create('Pod', pod(name, { nodeName: on }, { annotations }));
    if (readyS === null) world.patchStatus('Pod', name, { phase: 'Running' });
    else setReady(world.get('Pod', name)!, readyS);
  };
  world.create('Pod', pod('a-nowhere', { nodeName: undefined, schedulerName: 'none' }));
  world.create('Pod', pod('b-pending'));
  running('c-unready', 'node1', null);
  running('d-cheap', 'node2', 1000, cost('-5'));
  running('e-doubled', 'node1', 500);
  running('f-fresh', 'node3', 10);
  running('g-old', 'node4', 900);
  running('h-dear', 'node1', 5, cost('7'));
  await make(8);
  const order: string[] = [];
  for (let left = 7; left > 0; left--) {
    const before = pods().map(({ metadata }) => metadata.name);
    await scale(left);
    const after = pods().map(({ metadata }) => metadata.name);
    order.push(...before.filter((name) => !after.includes(name)));
  }
  assert.deepEqual(order, [
    'a-nowhere',
    'b-pending',
    'c-unready',
    'd-cheap',
    'e-doubled',
    'f-fresh',
    'g-old',
  ]);
  const last = eventsOf(world, 'web').at(-1);
  assert.deepEqual(last, ['SuccessfulDelete', 'Deleted pod: g-old']);
});

test('failed creates set a condition, record an event and are retried', async () => {
  const reported = mock.method(console, 'error', () => {});
  const { create } = world.registry;
  const refusing = mock.method(
    world.registry,
    'create',
    function (this: unknown, ...args: unknown[]) {
      const [kind] = args as [{ kind: string }];
      if (kind.kind === 'Pod') throw new StatusError(403, 'Forbidden', 'exceeded quota');
      return create.apply(world.registry, args as Parameters<typeof create>);
    },
  );
  await make(2);
  const [condition] = status().conditions;
  assert.deepEqual(
    [condition.type, condition.status, condition.reason, condition.message],
    ['ReplicaFailure', 'True', 'FailedCreate', 'exceeded quota'],
  );
  assert.deepEqual(eventsOf(world, 'web')[0], ['FailedCreate', 'Error creating: exceeded quota']);
  refusing.mock.restore();
  assert.equal(pods().length, 0);
  world.clock.advance(60_000);
  await world.idle();
  assert.equal(pods().length, 2);
  assert.equal(status().conditions, undefined);
  assert.ok(reported.mock.callCount() > 0);
});

test('a repeated event increments the count', async () => {
  mock.method(console, 'error', () => {});
  const refused = new StatusError(403, 'Forbidden', 'not now');
  await make(1);
  mock.method(world.registry, 'remove', () => {
    throw refused;
  });
  await scale(0);
  world.clock.advance(50);
  await world.idle();
  const events = world.list('Event').filter(({ reason }) => reason === 'FailedDelete');
  assert.equal(events.length, 1);
  assert.equal(events[0]!.message, 'Error deleting: not now');
  assert.ok(Number(events[0]!.count) > 1);
});

test('a deleted set leaves no pods, and its namespace can end', async () => {
  await make(3);
  world.remove('ReplicaSet', 'web');
  await world.idle();
  assert.deepEqual(pods(), []);
  world.create('Namespace', { metadata: { name: 'short' } });
  world.create('ReplicaSet', workload('web', { replicas: 2 }), 'short');
  await world.idle();
  world.remove('Namespace', 'short');
  await world.idle();
  const left = () => world.list('Pod').filter(({ metadata }) => metadata.namespace === 'short');
  assert.equal(left().length, 2, 'no pod was created in their place');
  for (const { metadata } of left()) {
    const place = { namespace: 'short', name: metadata.name };
    world.registry.remove(kindOf('Pod'), place, { gracePeriodSeconds: 0 });
  }
  await world.idle();
  assert.equal(world.get('Namespace', 'short'), undefined);
});

test('a set without its ServiceAccount records one event, and creates its pods once it exists', async () => {
  world.create('ReplicaSet', workload('web', { replicas: 2 }, { serviceAccountName: 'clerk' }));
  await world.idle();
  const message =
    'pods "web-" is forbidden: error looking up service account default/clerk: ' +
    'serviceaccount "clerk" not found';
  assert.equal(pods().length, 0);
  assert.deepEqual(eventsOf(world, 'web'), [['FailedCreate', `Error creating: ${message}`]]);
  const [failure] = status().conditions;
  assert.deepEqual(
    [failure.type, failure.status, failure.reason, failure.message],
    ['ReplicaFailure', 'True', 'FailedCreate', message],
  );
  world.clock.advance(60);
  await world.idle();
  assert.equal(eventsOf(world, 'web').length, 1, 'the second attempt increments the count');
  world.create('ServiceAccount', { metadata: { name: 'clerk' } });
  world.clock.advance(200);
  await world.idle();
  assert.equal(pods().length, 2);
  assert.equal(status().conditions, undefined);
});
