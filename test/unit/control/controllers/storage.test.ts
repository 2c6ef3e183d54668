// Claims, volumes and classes: binding, protection, and pods that wait for them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { DEFAULT_CLASS, PROVISIONER } from '../../../../control/model/storage.ts';
import { eventsOf, node, pod, startWorld } from './world.ts';

let world: ReturnType<typeof startWorld>;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubetun-claims-'));
  world = startWorld((bare) => {
    bare.create('Node', node('node1', { disk: 'fast' }));
    bare.create('StorageClass', storageClass('standard', {}, { [DEFAULT_CLASS]: 'true' }));
  }, folder);
});
afterEach(() => {
  world.controllers.stop();
  rmSync(folder, { recursive: true });
});

function storageClass(name: string, fields: object = {}, annotations: object = {}): object {
  return { metadata: { name, annotations }, provisioner: PROVISIONER, ...fields };
}

function claim(name: string, spec: object = {}): object {
  const resources = { requests: { storage: '1Gi' } };
  return { metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], resources, ...spec } };
}

function volume(name: string, spec: object = {}, metadata: object = {}): object {
  const capacity = { storage: '2Gi' };
  const base = { accessModes: ['ReadWriteOnce'], capacity, hostPath: { path: '/data' } };
  return { metadata: { name, ...metadata }, spec: { ...base, ...spec } };
}

const user = (name: string, claimName: string, spec: object = {}) =>
  pod(name, { volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }], ...spec });

const phase = (name: string, kind = 'PersistentVolumeClaim') => world.get(kind, name)?.status.phase;
const volumeOf = (name: string) => world.get('PersistentVolumeClaim', name)?.spec.volumeName;
const reasons = (name: string) => eventsOf(world, name).map(([reason]) => reason);

test('a claim without a class gets the default class and a volume of its provisioner', async () => {
  world.create('PersistentVolumeClaim', claim('data'));
  await world.idle();
  assert.deepEqual(reasons('data'), ['ProvisioningSucceeded']);
  const bound = world.get('PersistentVolumeClaim', 'data')!;
  const made = world.get('PersistentVolume', `pvc-${bound.metadata.uid}`)!;
  assert.equal(bound.spec.storageClassName, 'standard');
  assert.equal(bound.spec.volumeName, made.metadata.name);
  assert.deepEqual(bound.status, {
    phase: 'Bound',
    accessModes: ['ReadWriteOnce'],
    capacity: { storage: '1Gi' },
  });
  assert.equal(bound.metadata.annotations!['pv.kubernetes.io/bind-completed'], 'yes');
  assert.equal(made.status.phase, 'Bound');
  assert.equal(made.spec.claimRef.uid, bound.metadata.uid);
});

test('a class that becomes the default later serves claims that wait', async () => {
  world.remove('StorageClass', 'standard');
  world.create('PersistentVolumeClaim', claim('data'));
  await world.idle();
  assert.deepEqual(eventsOf(world, 'data'), [
    ['FailedBinding', 'no persistent volumes available for this claim and no storage class is set'],
  ]);
  world.create('StorageClass', storageClass('late', {}, { [DEFAULT_CLASS]: 'true' }));
  await world.idle();
  assert.equal(world.get('PersistentVolumeClaim', 'data')!.spec.storageClassName, 'late');
  assert.equal(phase('data'), 'Bound');
});

test('the newest default class is the default', async () => {
  world.store.update('storageclasses', {
    ...world.get('StorageClass', 'standard')!,
    metadata: {
      ...world.get('StorageClass', 'standard')!.metadata,
      creationTimestamp: '2001-01-01T00:00:00Z',
    },
  });
  world.create('StorageClass', storageClass('newer', {}, { [DEFAULT_CLASS]: 'true' }));
  world.create('PersistentVolumeClaim', claim('data'));
  assert.equal(world.get('PersistentVolumeClaim', 'data')!.spec.storageClassName, 'newer');
});

test('a claim of an unknown class waits, and says why', async () => {
  world.create('PersistentVolumeClaim', claim('data', { storageClassName: 'fast' }));
  await world.idle();
  assert.deepEqual(eventsOf(world, 'data'), [
    ['ProvisioningFailed', 'storageclass.storage.k8s.io "fast" not found'],
  ]);
  world.create('StorageClass', storageClass('fast'));
  await world.idle();
  assert.equal(phase('data'), 'Bound');
});

const SNAPSHOT = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'monday' };
const SOURCES: [field: string, source: typeof SNAPSHOT | { kind: string; name: string }][] = [
  ['dataSource', SNAPSHOT],
  ['dataSource', { kind: 'PersistentVolumeClaim', name: 'absent' }],
  ['dataSourceRef', { apiGroup: 'example.com', kind: 'Dump', name: 'monday' }],
];
for (const [field, source] of SOURCES) {
  test(`a claim with a ${source.kind} as ${field} gets no empty volume, and says why`, async () => {
    world.create('PersistentVolumeClaim', claim('data', { [field]: source }));
    await world.idle();
    assert.equal(phase('data'), 'Pending');
    assert.equal(world.list('PersistentVolume').length, 0);
    const [[reason, message]] = eventsOf(world, 'data') as [[string, string]];
    assert.equal(reason, 'ProvisioningFailed');
    assert.ok(message.includes(`dataSource ${source.kind} "${source.name}": expected none`));
  });
}

test('a class that waits for its first consumer gives a volume when a pod names the claim', async () => {
  world.create('StorageClass', storageClass('late', { volumeBindingMode: 'WaitForFirstConsumer' }));
  world.create('PersistentVolumeClaim', claim('data', { storageClassName: 'late' }));
  await world.idle();
  assert.equal(phase('data'), 'Pending');
  assert.deepEqual(reasons('data'), ['WaitForFirstConsumer']);
  world.create('Pod', user('web', 'data', { nodeName: undefined }));
  await world.idle();
  assert.equal(phase('data'), 'Bound');
  assert.equal(world.get('Pod', 'web')!.spec.nodeName, 'node1');
});

test('a claim gets the smallest volume that fits it', async () => {
  const manual = { storageClassName: 'manual' };
  const big = { ...manual, capacity: { storage: '10Gi' } };
  const other = { ...manual, accessModes: ['ReadOnlyMany'] };
  const small = { ...manual, capacity: { storage: '500Mi' } };
  world.create('PersistentVolume', volume('big', big));
  world.create('PersistentVolume', volume('fits', manual));
  world.create('PersistentVolume', volume('other-mode', other));
  world.create('PersistentVolume', volume('small', small));
  world.create('PersistentVolume', volume('other-class', { storageClassName: 'x' }));
  await world.idle();
  world.create('PersistentVolumeClaim', claim('data', manual));
  await world.idle();
  assert.equal(volumeOf('data'), 'fits');
  assert.equal(phase('fits', 'PersistentVolume'), 'Bound');
  assert.equal(phase('big', 'PersistentVolume'), 'Available');
  const capacity = world.get('PersistentVolumeClaim', 'data')!.status.capacity;
  assert.deepEqual(capacity, { storage: '2Gi' });
});

test('a selector chooses among volumes', async () => {
  const none = { storageClassName: '' };
  world.create('PersistentVolume', volume('a', none, { labels: { disk: 'slow' } }));
  world.create('PersistentVolume', volume('b', none, { labels: { disk: 'fast' } }));
  const selector = { matchLabels: { disk: 'fast' } };
  world.create('PersistentVolumeClaim', claim('data', { ...none, selector }));
  await world.idle();
  assert.equal(volumeOf('data'), 'b');
});

test('two claims never share a volume', async () => {
  const none = { storageClassName: '' };
  world.create('PersistentVolumeClaim', claim('one', none));
  world.create('PersistentVolumeClaim', claim('two', none));
  await world.idle();
  world.create('PersistentVolume', volume('only', none));
  await world.idle();
  assert.deepEqual(['one', 'two'].map((name) => phase(name)).sort(), ['Bound', 'Pending']);
});

test('a volume that names a claim waits for it', async () => {
  const none = { storageClassName: '' };
  const claimRef = { namespace: 'default', name: 'later' };
  world.create('PersistentVolume', volume('kept', { ...none, claimRef }));
  world.create('PersistentVolumeClaim', claim('early', none));
  await world.idle();
  assert.equal(phase('early'), 'Pending');
  world.create('PersistentVolumeClaim', claim('later', none));
  await world.idle();
  assert.equal(volumeOf('later'), 'kept');
});

test('a claim that names a volume of another claim stays pending', async () => {
  const none = { storageClassName: '' };
  world.create('PersistentVolume', volume('only', none));
  world.create('PersistentVolumeClaim', claim('one', none));
  await world.idle();
  world.create('PersistentVolumeClaim', claim('two', { ...none, volumeName: 'only' }));
  await world.idle();
  assert.equal(phase('two'), 'Pending');
  assert.deepEqual(eventsOf(world, 'two'), [
    ['FailedBinding', 'volume "only" already bound to a different claim.'],
  ]);
});

test('a volume with policy Delete goes with its claim, one with Retain is released', async () => {
  world.create('PersistentVolumeClaim', claim('gone'));
  world.create('PersistentVolumeClaim', claim('kept', { storageClassName: '' }));
  world.create('PersistentVolume', volume('manual'));
  await world.idle();
  world.remove('PersistentVolumeClaim', 'gone');
  world.remove('PersistentVolumeClaim', 'kept');
  await world.idle();
  assert.deepEqual(
    world.list('PersistentVolume').map(({ metadata, status }) => [metadata.name, status.phase]),
    [['manual', 'Released']],
  );
  world.create('PersistentVolumeClaim', claim('kept', { storageClassName: '' }));
  await world.idle();
  assert.equal(phase('kept'), 'Pending', 'a released volume is given to no other claim');
});

test('a volume that no provisioner made cannot be deleted by policy', async () => {
  const policy = { persistentVolumeReclaimPolicy: 'Delete', storageClassName: '' };
  world.create('PersistentVolume', volume('manual', policy));
  world.create('PersistentVolumeClaim', claim('data', { storageClassName: '' }));
  await world.idle();
  world.remove('PersistentVolumeClaim', 'data');
  await world.idle();
  assert.equal(phase('manual', 'PersistentVolume'), 'Failed');
  assert.deepEqual(reasons('manual'), ['VolumeFailedDelete']);
});

test('a claim in use stays until its last pod is gone', async () => {
  world.create('PersistentVolumeClaim', claim('data'));
  world.create('Pod', user('web', 'data'));
  await world.idle();
  world.remove('PersistentVolumeClaim', 'data');
  await world.idle();
  assert.ok(world.get('PersistentVolumeClaim', 'data')!.metadata.deletionTimestamp);
  assert.equal(phase('data'), 'Bound');
  world.remove('Pod', 'web');
  await world.idle();
  assert.equal(world.get('PersistentVolumeClaim', 'data'), undefined);
  assert.deepEqual(world.list('PersistentVolume'), []);
});

test('a volume in use stays until its claim is gone', async () => {
  world.create('PersistentVolumeClaim', claim('data'));
  await world.idle();
  const name = volumeOf('data');
  world.remove('PersistentVolume', name);
  await world.idle();
  assert.equal(phase(name, 'PersistentVolume'), 'Bound');
  world.remove('PersistentVolumeClaim', 'data');
  await world.idle();
  assert.equal(world.get('PersistentVolume', name), undefined);
});

test('a bound claim whose volume vanishes is lost', async () => {
  world.create('PersistentVolumeClaim', claim('data'));
  await world.idle();
  world.store.remove('persistentvolumes', '', volumeOf('data'));
  await world.idle();
  assert.equal(phase('data'), 'Lost');
  assert.ok(reasons('data').includes('ClaimLost'));
});

const UNSCHEDULED: [what: string, prepare: () => void, message: string][] = [
  ['that does not exist', () => {}, 'persistentvolumeclaim "data" not found'],
  [
    'that is not bound',
    () => world.create('PersistentVolumeClaim', claim('data', { storageClassName: '' })),
    'pod has unbound immediate PersistentVolumeClaims',
  ],
];

for (const [what, prepare, message] of UNSCHEDULED) {
  test(`a pod waits for a claim ${what}, and is scheduled once it is bound`, async () => {
    prepare();
    world.create('Pod', user('web', 'data', { nodeName: undefined }));
    await world.idle();
    const [condition] = world.get('Pod', 'web')!.status.conditions;
    assert.equal(condition.message, `0/1 nodes are available: ${message}.`);
    if (world.get('PersistentVolumeClaim', 'data')) world.create('PersistentVolume', volume('v'));
    else world.create('PersistentVolumeClaim', claim('data'));
    await world.idle();
    assert.equal(world.get('Pod', 'web')!.spec.nodeName, 'node1');
  });
}

test('the affinity of a volume decides where its pods run', async () => {
  world.create('Node', node('node2', { disk: 'slow' }));
  const matchExpressions = [{ key: 'disk', operator: 'In', values: ['slow'] }];
  const nodeAffinity = { required: { nodeSelectorTerms: [{ matchExpressions }] } };
  const local = { hostPath: undefined, local: { path: '/disk' }, nodeAffinity };
  world.create('PersistentVolume', volume('near', local));
  world.create('PersistentVolumeClaim', claim('data', { storageClassName: '' }));
  await world.idle();
  world.create('Pod', user('web', 'data', { nodeName: undefined }));
  world.create('Pod', user('far', 'data', { nodeName: undefined, nodeSelector: { disk: 'fast' } }));
  await world.idle();
  assert.equal(world.get('Pod', 'web')!.spec.nodeName, 'node2');
  const [condition] = world.get('Pod', 'far')!.status.conditions;
  assert.match(condition.message, /1 node\(s\) had volume node affinity conflict/);
});

const LATE = { storageClassName: 'late' };
const lateClass = (provisioner: string) =>
  storageClass('late', { provisioner, volumeBindingMode: 'WaitForFirstConsumer' });
/** A volume that only pods on a node reach. */
function localTo(nodeName: string): object {
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [nodeName] }];
  const nodeAffinity = { required: { nodeSelectorTerms: [{ matchFields }] } };
  return { ...LATE, hostPath: undefined, local: { path: '/disk' }, nodeAffinity };
}

test('volumes made by hand are chosen for the node of the first pod, one for each claim', async () => {
  world.create('Node', node('node2'));
  world.create('StorageClass', lateClass('kubernetes.io/no-provisioner'));
  for (const name of ['a', 'b']) world.create('PersistentVolume', volume(name, localTo('node2')));
  for (const name of ['one', 'two']) world.create('PersistentVolumeClaim', claim(name, LATE));
  await world.idle();
  assert.deepEqual([phase('one'), phase('two')], ['Pending', 'Pending']);
  const volumes = ['one', 'two'].map((claimName) => {
    return { name: claimName, persistentVolumeClaim: { claimName } };
  });
  world.create('Pod', pod('web', { nodeName: undefined, volumes }));
  await world.idle();
  assert.equal(world.get('Pod', 'web')!.spec.nodeName, 'node2');
  assert.deepEqual([volumeOf('one'), volumeOf('two')].sort(), ['a', 'b']);
});

test('a pod waits for a volume made by hand on a node that it may use', async () => {
  world.create('Node', node('node2'));
  world.create('StorageClass', lateClass('kubernetes.io/no-provisioner'));
  world.create('PersistentVolumeClaim', claim('data', LATE));
  world.create('Pod', user('web', 'data', { nodeName: undefined }));
  await world.idle();
  const why = "2 node(s) didn't find available persistent volumes to bind";
  const [condition] = world.get('Pod', 'web')!.status.conditions;
  assert.equal(condition.message, `0/2 nodes are available: ${why}.`);
  assert.deepEqual(eventsOf(world, 'data').at(-1), [
    'WaitForPodScheduled',
    'waiting for pod web to be scheduled',
  ]);
  world.create('PersistentVolume', volume('late', localTo('node1')));
  await world.idle();
  assert.equal(world.get('Pod', 'web')!.spec.nodeName, 'node1');
});

test('two pods with one claim run on the node that was chosen for the first one', async () => {
  world.create('Node', node('node2', { disk: 'slow' }));
  world.create('StorageClass', lateClass('example.test/disk'));
  world.create('PersistentVolumeClaim', claim('data', LATE));
  world.create(
    'Pod',
    user('first', 'data', { nodeName: undefined, nodeSelector: { disk: 'slow' } }),
  );
  world.create(
    'Pod',
    user('other', 'data', { nodeName: undefined, nodeSelector: { disk: 'fast' } }),
  );
  await world.idle();
  const { annotations } = world.get('PersistentVolumeClaim', 'data')!.metadata;
  assert.equal(annotations!['volume.kubernetes.io/selected-node'], 'node2');
  const { resources: _, ...spec } = { ...(claim('x', LATE) as { spec: object }).spec } as {
    resources: object;
  };
  const claimRef = { namespace: 'default', name: 'data' };
  world.create('PersistentVolume', volume('made', { ...spec, claimRef }));
  await world.idle();
  assert.equal(world.get('Pod', 'first')!.spec.nodeName, 'node2');
  assert.equal(world.get('Pod', 'other')!.spec.nodeName, 'node1', 'its volume is everywhere');
});
