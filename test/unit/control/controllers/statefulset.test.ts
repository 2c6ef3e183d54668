// StatefulSets: stable names, order, partitions, revisions, claims.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { DEFAULT_CLASS, PROVISIONER } from '../../../../control/model/storage.ts';
import { makeReady, settle, stepPod } from './kubelet.ts';
import { eventsOf, kindOf, node, pod, startWorld, workload } from './world.ts';

let world: ReturnType<typeof startWorld>;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubetun-claims-'));
  world = startWorld((bare) => {
    for (const name of ['node1', 'node2']) bare.create('Node', node(name));
    const annotations = { [DEFAULT_CLASS]: 'true' };
    const metadata = { name: 'standard', annotations };
    bare.create('StorageClass', { metadata, provisioner: PROVISIONER });
  }, folder);
});
afterEach(() => {
  world.controllers.stop();
  rmSync(folder, { recursive: true });
});

const CLAIMS = {
  volumeClaimTemplates: [
    {
      metadata: { name: 'www' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    },
  ],
};
const PARALLEL = { podManagementPolicy: 'Parallel' };

const web = () => world.get('StatefulSet', 'web')!;
const pods = () =>
  world
    .list('Pod')
    .filter(({ metadata }) => metadata.labels?.app === 'web')
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
const names = (all = pods()) => all.map(({ metadata }) => metadata.name);
const images = () => pods().map(({ spec }) => spec.containers[0].image);
const claims = () => names(world.list('PersistentVolumeClaim')).sort();
const revisions = () => world.list('ControllerRevision').length;
const one = (name: string) => world.get('Pod', name)!;

async function make(replicas: number, spec: object = {}): Promise<void> {
  const set = workload('web', { replicas, serviceName: 'nginx', ...spec });
  world.create('StatefulSet', set);
  await world.idle();
}

async function change(spec: object): Promise<void> {
  world.patch('StatefulSet', 'web', { spec });
  await world.idle();
}

const image = (name: string) => ({
  template: { spec: { containers: [{ name: 'main', image: name }] } },
});
const update = (name: string) => change(image(name));
const partition = (from: number) => ({ updateStrategy: { rollingUpdate: { partition: from } } });

/** Lets pods come and go until nothing moves, and provisions claims. */
async function settled(look?: () => void): Promise<void> {
  await world.idle();
  await settle(world, look);
  await world.idle();
}

test('pods start in order, each when the one before is ready', async () => {
  await make(3);
  assert.deepEqual(names(), ['web-0']);
  makeReady(world, one('web-0'));
  await world.idle();
  assert.deepEqual(names(), ['web-0', 'web-1']);
  await world.idle();
  assert.deepEqual(names(), ['web-0', 'web-1'], 'web-1 is not ready');
  await settled();
  assert.deepEqual(names(), ['web-0', 'web-1', 'web-2']);
});

test('a pod has the name, host name, subdomain and labels of its ordinal', async () => {
  await make(1);
  const { metadata, spec } = one('web-0');
  const revision = web().status.updateRevision;
  assert.match(revision, /^web-[a-z0-9]{10}$/);
  assert.deepEqual(metadata.labels, {
    app: 'web',
    'statefulset.kubernetes.io/pod-name': 'web-0',
    'apps.kubernetes.io/pod-index': '0',
    'controller-revision-hash': revision,
  });
  assert.equal(spec.hostname, 'web-0');
  assert.equal(spec.subdomain, 'nginx');
  assert.equal(metadata.ownerReferences![0]!.uid, web().metadata.uid);
  assert.equal(metadata.ownerReferences![0]!.controller, true);
  assert.deepEqual(eventsOf(world, 'web'), [
    ['SuccessfulCreate', 'create Pod web-0 in StatefulSet web successful'],
  ]);
});

test('labels of the identity that were removed come back', async () => {
  await make(1);
  makeReady(world, one('web-0'));
  world.patch('Pod', 'web-0', { metadata: { labels: { 'apps.kubernetes.io/pod-index': null } } });
  await world.idle();
  assert.equal(one('web-0').metadata.labels!['apps.kubernetes.io/pod-index'], '0');
});

test('with Parallel all pods start at once', async () => {
  await make(3, PARALLEL);
  assert.deepEqual(names(), ['web-0', 'web-1', 'web-2']);
  await settled();
  await change({ replicas: 0 });
  assert.ok(pods().every(({ metadata }) => metadata.deletionTimestamp));
});

test('Parallel starts all of 60 pods, more than one turn creates', async () => {
  await make(60, PARALLEL);
  assert.equal(pods().length, 60);
});

test('a scale down takes the highest pod first and waits until it is gone', async () => {
  await make(3);
  await settled();
  await change({ replicas: 1 });
  const ending = () => names(pods().filter(({ metadata }) => metadata.deletionTimestamp));
  assert.deepEqual(ending(), ['web-2']);
  stepPod(world);
  await world.idle();
  assert.deepEqual(ending(), ['web-1']);
  await settled();
  assert.deepEqual(names(), ['web-0']);
  const said = eventsOf(world, 'web').filter(([reason]) => reason === 'SuccessfulDelete');
  assert.deepEqual(said, [
    ['SuccessfulDelete', 'delete Pod web-2 in StatefulSet web successful'],
    ['SuccessfulDelete', 'delete Pod web-1 in StatefulSet web successful'],
  ]);
});

test('a scale down waits while a lower pod is not ready', async () => {
  await make(3);
  await settled();
  world.patchStatus('Pod', 'web-0', { conditions: [{ type: 'Ready', status: 'False' }] });
  await change({ replicas: 1 });
  assert.ok(pods().every(({ metadata }) => !metadata.deletionTimestamp));
  makeReady(world, one('web-0'));
  await settled();
  assert.deepEqual(names(), ['web-0']);
});

test('a scale down does not wait for pods that have ended', async () => {
  await make(4);
  await settled();
  for (const name of ['web-1', 'web-3']) world.patchStatus('Pod', name, { phase: 'Failed' });
  await change({ replicas: 1, ordinals: { start: 2 } });
  await settled();
  assert.deepEqual(names(), ['web-2']);
});

test('an ended or deleted pod is replaced by one with the same name', async () => {
  await make(2);
  await settled();
  const before = pods().map(({ metadata }) => metadata.uid);
  world.patchStatus('Pod', 'web-0', { phase: 'Failed' });
  await settled();
  world.patchStatus('Pod', 'web-1', { phase: 'Succeeded' });
  await settled();
  assert.deepEqual(names(), ['web-0', 'web-1']);
  for (const { metadata } of pods()) assert.ok(!before.includes(metadata.uid));
});

test('a rolling update goes from the highest ordinal to the lowest, one pod at a time', async () => {
  await make(3);
  await settled();
  const order: string[] = [];
  await update('two');
  await settled(() => {
    const open = pods().filter(
      ({ metadata, status }) => metadata.deletionTimestamp || status.phase !== 'Running',
    );
    assert.ok(open.length + (3 - pods().length) <= 1);
    for (const { metadata, spec } of pods()) {
      if (spec.containers[0].image === 'two' && !order.includes(metadata.name)) {
        order.push(metadata.name);
      }
    }
  });
  assert.deepEqual(order, ['web-2', 'web-1', 'web-0']);
  const { currentRevision, updateRevision } = web().status;
  assert.equal(currentRevision, updateRevision);
  assert.equal(revisions(), 2);
});

test('an update to a broken template stops at its first pod', async () => {
  await make(3);
  await settled();
  await update('broken');
  stepPod(world, (open) => open.find(({ metadata }) => metadata.deletionTimestamp)!);
  await world.idle();
  await world.idle();
  assert.deepEqual(images(), ['pause', 'pause', 'broken']);
});

test('a partition keeps lower ordinals at their revision, even after they die', async () => {
  await make(4, partition(2));
  await settled();
  await update('two');
  await settled();
  assert.deepEqual(images(), ['pause', 'pause', 'two', 'two']);
  const { currentRevision, updateRevision, currentReplicas, updatedReplicas } = web().status;
  assert.notEqual(currentRevision, updateRevision);
  assert.deepEqual([currentReplicas, updatedReplicas], [2, 2]);
  world.remove('Pod', 'web-0');
  world.remove('Pod', 'web-3');
  await settled();
  assert.deepEqual(images(), ['pause', 'pause', 'two', 'two']);
  await change(partition(1));
  await settled();
  assert.deepEqual(images(), ['pause', 'two', 'two', 'two']);
  await change(partition(0));
  await settled();
  assert.deepEqual(images(), ['two', 'two', 'two', 'two']);
  assert.equal(web().status.currentRevision, web().status.updateRevision);
});

test('with OnDelete a pod is updated when it is deleted', async () => {
  await make(3, { updateStrategy: { type: 'OnDelete' } });
  await settled();
  await update('two');
  await settled();
  assert.deepEqual(images(), ['pause', 'pause', 'pause']);
  world.remove('Pod', 'web-1');
  await settled();
  assert.deepEqual(images(), ['pause', 'two', 'pause']);
  assert.equal(web().status.updatedReplicas, 1);
});

test('maxUnavailable updates several pods at a time', async () => {
  const updateStrategy = { rollingUpdate: { maxUnavailable: '50%' } };
  await make(4, { ...PARALLEL, updateStrategy });
  await settled();
  await update('two');
  const ending = pods().filter(({ metadata }) => metadata.deletionTimestamp);
  assert.deepEqual(names(ending), ['web-2', 'web-3']);
  await settled();
  assert.deepEqual(images(), ['two', 'two', 'two', 'two']);
});

test('the first ordinal can be another than 0', async () => {
  await make(2, { ordinals: { start: 5 } });
  await settled();
  assert.deepEqual(names(), ['web-5', 'web-6']);
  await change({ ordinals: { start: 6 } });
  await settled();
  assert.deepEqual(names(), ['web-6', 'web-7']);
  await change({ ordinals: null, replicas: 1 });
  await settled();
  assert.deepEqual(names(), ['web-0']);
});

test('a pod must stay ready for minReadySeconds before the next one starts', async () => {
  await make(2, { minReadySeconds: 10 });
  makeReady(world, one('web-0'));
  await world.idle();
  assert.deepEqual(names(), ['web-0']);
  assert.deepEqual([web().status.readyReplicas, web().status.availableReplicas], [1, 0]);
  world.clock.advance(11_000);
  await world.idle();
  assert.deepEqual(names(), ['web-0', 'web-1']);
  assert.equal(web().status.availableReplicas, 1);
});

test('the status counts pods by state and revision', async () => {
  await make(2);
  await settled();
  const { currentRevision, updateRevision, ...numbers } = web().status;
  assert.equal(currentRevision, updateRevision);
  assert.deepEqual(numbers, {
    observedGeneration: 1,
    replicas: 2,
    availableReplicas: 2,
    readyReplicas: 2,
    currentReplicas: 2,
    updatedReplicas: 2,
    collisionCount: 0,
  });
});

test('a rollback uses the earlier revision again', async () => {
  await make(1);
  await settled();
  const first = web().status.updateRevision;
  await update('two');
  await settled();
  await update('pause');
  await settled();
  assert.equal(web().status.updateRevision, first);
  assert.deepEqual(images(), ['pause']);
  assert.equal(revisions(), 2);
});

test('revisionHistoryLimit bounds the revisions that no pod has', async () => {
  await make(1, { revisionHistoryLimit: 1 });
  await settled();
  for (const name of ['two', 'three', 'four']) {
    await update(name);
    await settled();
  }
  assert.equal(revisions(), 2, 'the live one and one more');
});

test('each pod has its own claim, which outlives the pod and comes back to it', async () => {
  await make(2, CLAIMS);
  await settled();
  assert.deepEqual(claims(), ['www-web-0', 'www-web-1']);
  const { labels } = world.get('PersistentVolumeClaim', 'www-web-0')!.metadata;
  assert.deepEqual(labels, { app: 'web' });
  const uid = world.get('PersistentVolumeClaim', 'www-web-1')!.metadata.uid;
  const [volume] = one('web-1').spec.volumes;
  assert.deepEqual(volume, { name: 'www', persistentVolumeClaim: { claimName: 'www-web-1' } });
  await change({ replicas: 1 });
  await settled();
  world.remove('Pod', 'web-0');
  await settled();
  assert.deepEqual(claims(), ['www-web-0', 'www-web-1']);
  await change({ replicas: 2 });
  await settled();
  assert.equal(world.get('PersistentVolumeClaim', 'www-web-1')!.metadata.uid, uid);
  world.remove('StatefulSet', 'web');
  await settled();
  assert.deepEqual(names(), []);
  assert.deepEqual(claims(), ['www-web-0', 'www-web-1']);
  const said = eventsOf(world, 'web').map(([, message]) => message);
  assert.ok(said.includes('create Claim www-web-0 Pod web-0 in StatefulSet web success'));
});

test('a claim that is missing for a pending pod is created again', async () => {
  await make(1, CLAIMS);
  world.store.remove('persistentvolumeclaims', 'default', 'www-web-0');
  await world.idle();
  assert.deepEqual(claims(), ['www-web-0']);
});

const policy = (whenDeleted: string, whenScaled: string) => ({
  ...CLAIMS,
  persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled },
});
const RETENTION: [whenDeleted: string, whenScaled: string, scaled: string[], deleted: string[]][] =
  [
    ['Retain', 'Retain', ['www-web-0', 'www-web-1'], ['www-web-0', 'www-web-1']],
    ['Retain', 'Delete', ['www-web-0'], ['www-web-0']],
    ['Delete', 'Retain', ['www-web-0', 'www-web-1'], []],
    ['Delete', 'Delete', ['www-web-0'], []],
  ];

for (const [whenDeleted, whenScaled, afterScale, afterDelete] of RETENTION) {
  test(`claims with whenDeleted ${whenDeleted} and whenScaled ${whenScaled}`, async () => {
    await make(2, policy(whenDeleted, whenScaled));
    await settled();
    world.remove('Pod', 'web-1');
    await settled();
    assert.deepEqual(claims(), ['www-web-0', 'www-web-1'], 'a death is no scale');
    await change({ replicas: 1 });
    await settled();
    assert.deepEqual(claims(), afterScale);
    world.remove('StatefulSet', 'web');
    await settled();
    assert.deepEqual(claims(), afterDelete);
  });
}

test('a change of the retention policy reaches the claims', async () => {
  await make(1, CLAIMS);
  await settled();
  const owners = () => world.get('PersistentVolumeClaim', 'www-web-0')!.metadata.ownerReferences;
  assert.equal(owners(), undefined);
  await change({ persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete' } });
  assert.equal(owners()![0]!.kind, 'StatefulSet');
  await change({ persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain' } });
  assert.equal(owners(), undefined);
});

test('a pod keeps its claim when its scale down is reverted', async () => {
  await make(2, policy('Retain', 'Delete'));
  await settled();
  const uid = world.get('PersistentVolumeClaim', 'www-web-1')!.metadata.uid;
  await change({ replicas: 1 });
  assert.ok(one('web-1').metadata.deletionTimestamp);
  await change({ replicas: 2 });
  await settled();
  assert.equal(world.get('PersistentVolumeClaim', 'www-web-1')!.metadata.uid, uid);
});

test('a pod with the name of an ordinal and the right labels is adopted', async () => {
  world.create('Pod', pod('web-0'));
  world.create('Pod', pod('web-00'));
  await make(1);
  await settled();
  assert.equal(one('web-0').metadata.ownerReferences![0]!.name, 'web');
  assert.equal(one('web-00').metadata.ownerReferences, undefined);
});

test('a foreign pod with the name of an ordinal causes an event, and delays the own pod', async () => {
  world.create('Pod', pod('web-0', {}, { labels: {} }));
  await make(1);
  const [[reason, message]] = eventsOf(world, 'web') as [[string, string]];
  assert.equal(reason, 'FailedCreate');
  assert.equal(
    message,
    'create Pod web-0 in StatefulSet web failed error: pods "web-0" already exists',
  );
  world.remove('Pod', 'web-0');
  world.clock.advance(60_000);
  await settled();
  assert.equal(one('web-0').metadata.ownerReferences![0]!.name, 'web');
});

test('pods of a set deleted with policy Orphan stay, and the next set adopts them', async () => {
  await make(2);
  await settled();
  const uids = () => pods().map(({ metadata }: KubeObject) => metadata.uid);
  const before = uids();
  const place = { namespace: 'default', name: 'web' };
  world.registry.remove(kindOf('StatefulSet'), place, { propagationPolicy: 'Orphan' });
  await world.idle();
  assert.equal(world.get('StatefulSet', 'web'), undefined);
  assert.deepEqual(uids(), before);
  await make(2);
  await settled();
  assert.deepEqual(uids(), before);
});
