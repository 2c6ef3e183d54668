// Deletion of an owner: each propagation policy, and its effect on the dependents.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { DeleteOptions } from '../../../../control/apiserver/verbs/deletion.ts';
import { startTestApi } from '../../../support/api-server.ts';
import { settle } from './kubelet.ts';
import { activePods, kindOf, node, startWorld, workload } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => {
    bare.create('Node', node('node1'));
  });
});
afterEach(() => world.controllers.stop());

function remove(kind: string, name: string, options: DeleteOptions): void {
  world.registry.remove(kindOf(kind), { namespace: 'default', name }, options);
}

async function make(): Promise<void> {
  world.create('Deployment', workload('web', { replicas: 2 }));
  await settle(world);
}

const pods = () => activePods(world, 'web');

test('orphans stay without an owner', async () => {
  await make();
  const before = pods().map(({ metadata }) => metadata.name);
  const [set] = world.list('ReplicaSet');
  remove('Deployment', 'web', { propagationPolicy: 'Orphan' });
  await settle(world);
  assert.equal(world.get('Deployment', 'web'), undefined);
  assert.equal(world.list('ReplicaSet')[0]!.metadata.ownerReferences, undefined);
  remove('ReplicaSet', set!.metadata.name, { orphanDependents: true });
  await settle(world);
  assert.deepEqual(world.list('ReplicaSet'), []);
  assert.deepEqual(
    pods().map(({ metadata }) => metadata.name),
    before,
  );
  for (const { metadata } of pods()) assert.equal(metadata.ownerReferences, undefined);
});

test('the successor of an owner adopts its orphans', async () => {
  await make();
  const before = pods().map(({ metadata }) => metadata.name);
  remove('Deployment', 'web', { propagationPolicy: 'Orphan' });
  await settle(world);
  await make();
  assert.deepEqual(
    pods().map(({ metadata }) => metadata.name),
    before,
  );
});

test('in the foreground an owner ends after its dependents', async () => {
  await make();
  remove('Deployment', 'web', { propagationPolicy: 'Foreground' });
  await world.idle();
  const waiting = world.get('Deployment', 'web')!;
  assert.deepEqual(waiting.metadata.finalizers, ['foregroundDeletion']);
  assert.ok(waiting.metadata.deletionTimestamp);
  const [set] = world.list('ReplicaSet');
  assert.deepEqual(
    set!.metadata.finalizers,
    ['foregroundDeletion'],
    'the ReplicaSet has dependents too',
  );
  const ending = world.list('Pod');
  assert.equal(ending.length, 2, 'no pod is created in their place');
  for (const { metadata } of ending) {
    assert.ok(world.get('Deployment', 'web'));
    assert.ok(metadata.deletionTimestamp);
    world.remove('Pod', metadata.name);
    await world.idle();
  }
  assert.deepEqual(world.list('ReplicaSet'), []);
  assert.equal(world.get('Deployment', 'web'), undefined);
});

test('an owner does not wait for dependents without blockOwnerDeletion', async () => {
  const { uid } = world.create('ConfigMap', { metadata: { name: 'root' } }).metadata;
  const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'root', uid };
  const held = { name: 'leaf', ownerReferences: [owner], finalizers: ['example.com/hold'] };
  world.create('ConfigMap', { metadata: held });
  remove('ConfigMap', 'root', { propagationPolicy: 'Foreground' });
  await world.idle();
  assert.equal(world.get('ConfigMap', 'root'), undefined);
  assert.ok(world.get('ConfigMap', 'leaf')!.metadata.deletionTimestamp);
});

test('a dependent with another owner only loses this one', async () => {
  const [a, b] = ['a', 'b'].map(
    (name) => world.create('ConfigMap', { metadata: { name } }).metadata,
  );
  const ref = (name: string, uid: string | undefined) => ({
    ...{ apiVersion: 'v1', kind: 'ConfigMap', name, uid },
    blockOwnerDeletion: true,
  });
  const ownerReferences = [ref('a', a!.uid), ref('b', b!.uid)];
  world.create('ConfigMap', { metadata: { name: 'shared', ownerReferences } });
  remove('ConfigMap', 'a', { propagationPolicy: 'Foreground' });
  await world.idle();
  assert.equal(world.get('ConfigMap', 'a'), undefined);
  const left = world.get('ConfigMap', 'shared')!.metadata;
  assert.deepEqual([left.ownerReferences!.length, left.deletionTimestamp], [1, undefined]);
});

test('a second delete can change the policy of a waiting owner', async () => {
  const { uid } = world.create('ConfigMap', { metadata: { name: 'root' } }).metadata;
  const owner = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: 'root',
    uid,
    blockOwnerDeletion: true,
  };
  const held = { name: 'leaf', ownerReferences: [owner], finalizers: ['example.com/hold'] };
  world.create('ConfigMap', { metadata: held });
  remove('ConfigMap', 'root', { propagationPolicy: 'Foreground' });
  await world.idle();
  assert.ok(world.get('ConfigMap', 'root'));
  remove('ConfigMap', 'root', { propagationPolicy: 'Background' });
  await world.idle();
  assert.equal(world.get('ConfigMap', 'root'), undefined);
});

test('the policy comes from the body or the query and must be known', async () => {
  const api = await startTestApi();
  const maps = '/api/v1/namespaces/default/configmaps';
  try {
    await api.call('POST', maps, { metadata: { name: 'm', finalizers: ['example.com/hold'] } });
    const wrong = await api.call('DELETE', `${maps}/m`, { propagationPolicy: 'Sideways' });
    assert.equal(wrong.code, 422);
    assert.match(
      wrong.body.message,
      /propagationPolicy: Unsupported value: "Sideways": supported values: "Background", "Foreground", "Orphan"$/,
    );
    const { body } = await api.call('DELETE', `${maps}/m?propagationPolicy=Orphan`);
    assert.ok(body.metadata.finalizers.includes('orphan'));
  } finally {
    await api.close();
  }
});
