// Garbage collection: the content of deleted namespaces, and the dependents of deleted owners.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { endpointsOf, pod, ready, service, slicesOf, startWorld } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld();
});
afterEach(() => world.controllers.stop());

const owner = (uid: string, kind = 'ConfigMap') => ({
  apiVersion: kind === 'ConfigMap' ? 'v1' : 'example.com/v1',
  kind,
  name: 'any',
  uid,
});

const configMap = (name: string, ...owners: object[]) =>
  world.create('ConfigMap', { metadata: { name, ownerReferences: owners } }).metadata.uid!;

const names = () => world.list('ConfigMap').map(({ metadata }) => metadata.name);

test('dependents are deleted with their owner, recursively', async () => {
  const root = configMap('root');
  const middle = configMap('middle', owner(root));
  configMap('leaf', owner(middle));
  configMap('other');
  world.remove('ConfigMap', 'root');
  await world.idle();
  assert.deepEqual(names(), ['other']);
});

test('an object with several owners is deleted with the last of them', async () => {
  const [a, b] = [configMap('a'), configMap('b')];
  configMap('shared', owner(a), owner(b));
  world.remove('ConfigMap', 'a');
  await world.idle();
  const left = world.get('ConfigMap', 'shared')?.metadata.ownerReferences;
  assert.deepEqual(
    left?.map(({ uid }) => uid),
    [b],
  );
  world.remove('ConfigMap', 'b');
  await world.idle();
  assert.deepEqual(names(), []);
});

test('an object without its owner reference is not deleted with the owner', async () => {
  const root = configMap('root');
  configMap('free', owner(root));
  world.patch('ConfigMap', 'free', { metadata: { ownerReferences: null } });
  world.remove('ConfigMap', 'root');
  await world.idle();
  assert.deepEqual(names(), ['free']);
});

test('an object is deleted for a missing owner, not for an owner of an unknown kind', async () => {
  configMap('orphan', owner('nobody'));
  configMap('foreign', owner('nobody-else', 'Widget'));
  await world.idle();
  assert.deepEqual(names(), ['foreign']);
});

test('the controllers find orphans at their start', async () => {
  world.controllers.stop();
  world = startWorld((bare) => {
    const { uid } = bare.create('Service', service('web')).metadata;
    const about = (name: string, uid: string) => ({
      metadata: {
        name,
        ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: 'web', uid }],
      },
    });
    bare.create('ConfigMap', about('kept', uid!));
    bare.create('ConfigMap', about('orphan', 'an earlier one'));
  });
  await world.idle();
  assert.deepEqual(names(), ['kept']);
});

test('a pod that is deleted with its owner gets its grace period', async () => {
  const root = configMap('root');
  world.create('Pod', pod('p', {}, { ownerReferences: [owner(root)] }));
  world.remove('ConfigMap', 'root');
  await world.idle();
  assert.ok(world.get('Pod', 'p')?.metadata.deletionTimestamp);
});

test('a namespace is deleted after the last of its content', async () => {
  world.create('Namespace', { metadata: { name: 'other' } });
  world.create('Service', service('web'), 'other');
  world.create('Service', service('web'));
  world.create('Pod', pod('p'), 'other');
  await world.idle();
  world.remove('Namespace', 'other');
  await world.idle();
  assert.equal(world.get('Namespace', 'other')?.status.phase, 'Terminating');
  assert.deepEqual(world.store.list('services', 'other'), []);
  assert.deepEqual(world.store.list('endpointslices', 'other'), []);
  assert.ok(world.store.get('pods', 'other', 'p')?.metadata.deletionTimestamp);
  world.store.remove('pods', 'other', 'p');
  await world.idle();
  assert.equal(world.get('Namespace', 'other'), undefined);
  assert.equal(world.list('Service').length, 1);
});

test('a namespace waits for its finalizers', async () => {
  world.create('Namespace', { metadata: { name: 'other', finalizers: ['example.com/hold'] } });
  world.remove('Namespace', 'other');
  await world.idle();
  assert.ok(world.get('Namespace', 'other'));
  world.patch('Namespace', 'other', { metadata: { finalizers: null } });
  await world.idle();
  assert.equal(world.get('Namespace', 'other'), undefined);
});

test('a namespace waits for finalizers of its content', async () => {
  world.create('Namespace', { metadata: { name: 'other' } });
  const metadata = { name: 'c', finalizers: ['example.com/hold'] };
  world.create('ConfigMap', { metadata }, 'other');
  world.remove('Namespace', 'other');
  await world.idle();
  assert.ok(world.store.get('configmaps', 'other', 'c')?.metadata.deletionTimestamp);
  assert.ok(world.get('Namespace', 'other'));
  world.store.remove('configmaps', 'other', 'c');
  await world.idle();
  assert.equal(world.get('Namespace', 'other'), undefined);
});

test('idle waits for work that one controller makes for another', async () => {
  const root = configMap('root');
  world.create('Service', service('web'));
  world.create('Pod', pod('p', {}, { ownerReferences: [owner(root)] }));
  world.patchStatus('Pod', 'p', ready(true, { podIP: '10.1.0.1' }));
  await world.idle();
  world.remove('ConfigMap', 'root');
  await world.idle();
  const [endpoint] = endpointsOf(slicesOf(world, 'web'));
  assert.equal(endpoint?.conditions.terminating, true);
});

test('a namespace that was in deletion before the start is deleted too', async () => {
  world.controllers.stop();
  world = startWorld((bare) => {
    bare.create('Namespace', { metadata: { name: 'other' } });
    bare.create('ConfigMap', { metadata: { name: 'c' } }, 'other');
    bare.remove('Namespace', 'other');
  });
  assert.ok(world.get('Namespace', 'other'));
  await world.idle();
  assert.equal(world.get('Namespace', 'other'), undefined);
});
