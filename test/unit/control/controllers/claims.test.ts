// Claims: binding, a folder for each claim, and claims of StatefulSets.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { DEFAULT_CLASS, PROVISIONER } from '../../../../control/model/storage.ts';
import { settle } from './kubelet.ts';
import { activePods, node, startWorld, workload } from './world.ts';

let world: ReturnType<typeof startWorld>;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubetun-claims-'));
  world = startWorld((bare) => {
    bare.create('Node', node('node1'));
    const annotations = { [DEFAULT_CLASS]: 'true' };
    const metadata = { name: 'standard', annotations };
    bare.create('StorageClass', { metadata, provisioner: PROVISIONER });
  }, folder);
});
afterEach(() => {
  world.controllers.stop();
  rmSync(folder, { recursive: true });
});

const claimSpec = (storage = '1Gi', spec: object = {}) => ({
  accessModes: ['ReadWriteOnce'],
  resources: { requests: { storage } },
  ...spec,
});

async function claim(name: string, storage?: string, spec?: object): Promise<void> {
  world.create('PersistentVolumeClaim', { metadata: { name }, spec: claimSpec(storage, spec) });
  await world.idle();
}

const pathOf = (name: string) => {
  const { volumeName } = world.get('PersistentVolumeClaim', name)!.spec;
  return world.get('PersistentVolume', volumeName)!.spec.hostPath.path as string;
};

test('a claim without a class gets the default class and a separate folder', async () => {
  await claim('a');
  await claim('b', '5Mi');
  const { spec, status } = world.get('PersistentVolumeClaim', 'a')!;
  assert.equal(spec.storageClassName, 'standard');
  assert.deepEqual([status.phase, status.capacity.storage], ['Bound', '1Gi']);
  assert.notEqual(pathOf('a'), pathOf('b'));
  assert.ok(existsSync(pathOf('a')));
  const volume = world.get('PersistentVolume', spec.volumeName)!;
  assert.equal(volume.status.phase, 'Bound');
  assert.equal(volume.spec.claimRef.name, 'a');
});

test('the folder is deleted with the claim, and kept with Retain', async () => {
  await claim('a');
  const [path, { volumeName }] = [pathOf('a'), world.get('PersistentVolumeClaim', 'a')!.spec];
  writeFileSync(join(path, 'x'), '');
  world.remove('PersistentVolumeClaim', 'a');
  await world.idle();
  assert.equal(existsSync(path), false);
  assert.equal(world.get('PersistentVolume', volumeName), undefined);
  const provisioner = PROVISIONER;
  world.create('StorageClass', {
    metadata: { name: 'kept' },
    provisioner,
    reclaimPolicy: 'Retain',
  });
  await claim('b', '1Gi', { storageClassName: 'kept' });
  const kept = pathOf('b');
  world.remove('PersistentVolumeClaim', 'b');
  await world.idle();
  assert.ok(existsSync(kept));
  const [left] = world.list('PersistentVolume');
  assert.equal(left!.status.phase, 'Released');
});

test('removes only its own folders', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'kubetun-outside-'));
  for (const [name, path] of [
    ['a', outside],
    ['b', join(folder, '..')],
    ['c', folder],
  ] as const) {
    // Says that the provisioner made it.
    const annotations = { 'pv.kubernetes.io/provisioned-by': PROVISIONER };
    const spec = claimSpec('1Gi', { storageClassName: name });
    const { resources: _, ...own } = spec as typeof spec & { resources: object };
    world.create('PersistentVolume', {
      metadata: { name, annotations },
      spec: {
        ...{ ...own, capacity: { storage: '1Gi' }, hostPath: { path } },
        persistentVolumeReclaimPolicy: 'Delete',
      },
    });
    await claim(name, '1Gi', { storageClassName: name });
    assert.equal(pathOf(name), path);
    world.remove('PersistentVolumeClaim', name);
    await world.idle();
    assert.equal(world.get('PersistentVolume', name), undefined);
    assert.ok(existsSync(outside), path);
    assert.ok(existsSync(folder), path);
  }
  rmSync(outside, { recursive: true });
});

const templates = [{ metadata: { name: 'data' }, spec: claimSpec() }];
const claims = () =>
  world
    .list('PersistentVolumeClaim')
    .map(({ metadata }) => metadata.name)
    .sort();

async function makeSet(spec: object = {}): Promise<void> {
  const shape = { serviceName: 'web', replicas: 2, volumeClaimTemplates: templates, ...spec };
  world.create('StatefulSet', workload('web', shape));
  await settle(world);
}

test('each pod of a StatefulSet has claims, which outlive it', async () => {
  await makeSet();
  assert.deepEqual(claims(), ['data-web-0', 'data-web-1']);
  const [pod] = activePods(world, 'web');
  assert.deepEqual(pod!.spec.volumes, [
    { name: 'data', persistentVolumeClaim: { claimName: 'data-web-0' } },
  ]);
  const path = pathOf('data-web-1');
  world.patch('StatefulSet', 'web', { spec: { replicas: 1 } });
  await settle(world);
  world.remove('StatefulSet', 'web');
  await settle(world);
  assert.deepEqual(claims(), ['data-web-0', 'data-web-1']);
  await makeSet();
  assert.equal(pathOf('data-web-1'), path, 'the same folder again');
});

const policies: [whenDeleted: string, whenScaled: string, scaled: number, deleted: number][] = [
  ['Retain', 'Retain', 2, 2],
  ['Retain', 'Delete', 1, 1],
  ['Delete', 'Retain', 2, 0],
  ['Delete', 'Delete', 1, 0],
];
for (const [whenDeleted, whenScaled, scaled, deleted] of policies) {
  test(`whenDeleted ${whenDeleted}, whenScaled ${whenScaled}`, async () => {
    await makeSet({ persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled } });
    world.patch('StatefulSet', 'web', { spec: { replicas: 1 } });
    await settle(world);
    assert.equal(claims().length, scaled, 'after the scale');
    world.patch('StatefulSet', 'web', { spec: { replicas: 1 } });
    world.remove('StatefulSet', 'web');
    await settle(world);
    // A claim of an ordinal beyond the set keeps the owner that it has.
    assert.equal(claims().length, deleted, 'after the deletion');
  });
}
