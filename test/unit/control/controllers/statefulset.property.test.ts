// Random StatefulSets under random deaths, scales and updates. Each ends as it was last asked to
// be. On the way the controller never breaks the order of its pods, a partition, or a claim.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startControllers } from '../../../../control/cluster/controllers.ts';
import { isOver } from '../../../../control/controllers/pods.ts';
import { isReady, type KubeObject } from '../../../../control/kube/object.ts';
import { DEFAULT_CLASS, PROVISIONER } from '../../../../control/model/storage.ts';
import { stepPod } from './kubelet.ts';
import { randomFrom } from './random.ts';
import { node, startWorld, type World, workload } from './world.ts';

/** State of the current run. */
let folder: string;

const RUNS = 35;
const STEPS = 50;
const IMAGES = ['a', 'b', 'c'];

/** Null stands for no maxUnavailable. */
const SHARES = [null, null, 1, 2, '40%'];

type Random = (below: number) => number;

const web = (world: World) => world.get('StatefulSet', 'web')!;
const ordinalOf = ({ metadata }: KubeObject) => Number(metadata.name.slice('web-'.length));
const revisionOf = ({ metadata }: KubeObject) => metadata.labels!['controller-revision-hash'];
const isEnding = ({ metadata }: KubeObject) => metadata.deletionTimestamp !== undefined;
const podsOf = (world: World) => world.list('Pod').sort((a, b) => ordinalOf(a) - ordinalOf(b));
const isAvailable = (pod: KubeObject) =>
  pod.status.phase === 'Running' && isReady(pod) && !isEnding(pod);

function strategyOf(random: Random): object {
  if (random(4) === 0) return { type: 'OnDelete', rollingUpdate: null };
  const maxUnavailable = SHARES[random(SHARES.length)]!;
  return { type: 'RollingUpdate', rollingUpdate: { partition: random(4), maxUnavailable } };
}

/** A random change by a user, or a failure. */
function act(world: World, random: Random): void {
  const pods = podsOf(world);
  const change = (spec: object) => world.patch('StatefulSet', 'web', { spec });
  const victim = pods[random(pods.length || 1)];
  switch (random(14)) {
    case 0:
      change({ replicas: random(6) });
      return;
    case 1: {
      const image = IMAGES[random(IMAGES.length)];
      change({ template: { spec: { containers: [{ name: 'main', image }] } } });
      return;
    }
    case 2:
      change({ updateStrategy: strategyOf(random) });
      return;
    case 3:
      change({ ordinals: { start: random(3) } });
      return;
    case 4:
      if (victim) world.patchStatus('Pod', victim.metadata.name, { phase: 'Failed' });
      return;
    case 5:
      if (victim) world.remove('Pod', victim.metadata.name);
      return;
    case 6:
      if (victim) world.remove('Pod', victim.metadata.name, { graceful: true });
      return;
    case 7: {
      const conditions = [{ type: 'Ready', status: 'False' }];
      if (victim) world.patchStatus('Pod', victim.metadata.name, { conditions });
      return;
    }
    case 8:
      // The server is killed and started again.
      world.controllers.stop();
      world.controllers = startControllers(world.registry, null, world.clock, folder);
      return;
    default:
      stepPod(world, (open) => open[random(open.length)]!);
  }
}

/** maxUnavailable as a number of pods; 0 if the spec has none. */
function limitOf({ replicas, updateStrategy }: KubeObject['spec']): number {
  const share = updateStrategy.rollingUpdate?.maxUnavailable ?? 0;
  if (typeof share === 'number') return share;
  return Math.max(1, Math.ceil((Number.parseInt(share, 10) * replicas) / 100));
}

/** Checks what the controller did between two states, while no other writer acts. */
function check(world: World, before: KubeObject[], currentBefore: string | undefined): void {
  const { spec, status } = web(world);
  const start: number = spec.ordinals?.start ?? 0;
  const { type, rollingUpdate } = spec.updateStrategy;
  const floor = start + (type === 'RollingUpdate' ? rollingUpdate.partition : 0);
  const isOrdered = spec.podManagementPolicy === 'OrderedReady';
  const after = podsOf(world);
  const isInRange = (ordinal: number) => ordinal >= start && ordinal < start + spec.replicas;
  const inRange = after.filter((pod) => isInRange(ordinalOf(pod)));
  const missing = (pods: KubeObject[]) => spec.replicas - pods.filter(isAvailable).length;
  const allowed = limitOf(spec);
  const areAvailable = (from: number, to: number) => {
    const wanted = Math.max(0, Math.min(to, start + spec.replicas) - Math.max(from, start));
    const found = inRange.filter((pod) => ordinalOf(pod) >= from && ordinalOf(pod) < to);
    return found.length === wanted && found.every(isAvailable);
  };
  assert.equal(new Set(after.map(ordinalOf)).size, after.length, 'one pod for each ordinal');
  for (const pod of after) {
    if (before.some(({ metadata }) => metadata.uid === pod.metadata.uid)) continue;
    const ordinal = ordinalOf(pod);
    const what = `${pod.metadata.name} was created`;
    assert.ok(isInRange(ordinal), `${what} outside the range`);
    if (isOrdered) assert.ok(areAvailable(start, ordinal), `${what} before its predecessors`);
    const current = [currentBefore ?? status.updateRevision, status.currentRevision];
    const right = type === 'RollingUpdate' && ordinal < floor ? current : [status.updateRevision];
    assert.ok(right.includes(revisionOf(pod)!), `${what} at the wrong revision`);
  }
  for (const old of before) {
    const now = after.find(({ metadata }) => metadata.uid === old.metadata.uid);
    const wasDeleted = !isEnding(old) && (!now || isEnding(now));
    if (!wasDeleted || isOver(old)) continue;
    const ordinal = ordinalOf(old);
    const what = `${old.metadata.name} was deleted`;
    if (!isInRange(ordinal)) {
      if (!isOrdered) continue;
      assert.ok(
        areAvailable(start, start + spec.replicas),
        `${what} before the rest was available`,
      );
      const higher = after.filter((pod) => ordinalOf(pod) > ordinal && !isEnding(pod));
      assert.ok(!higher.some((pod) => !isInRange(ordinalOf(pod))), `${what} before higher ones`);
      continue;
    }
    assert.equal(type, 'RollingUpdate', `${what} by an update with OnDelete`);
    assert.ok(ordinal >= floor, `${what} below the partition`);
    assert.notEqual(revisionOf(old), status.updateRevision, `${what} without need`);
    const higher = inRange.filter((pod) => ordinalOf(pod) > ordinal);
    const isDone = (pod: KubeObject) =>
      revisionOf(pod) === status.updateRevision || (allowed > 0 && isEnding(pod));
    assert.ok(higher.every(isDone), `${what} before higher ones`);
    if (allowed > 0) {
      const most = Math.max(allowed, missing(before.filter((pod) => isInRange(ordinalOf(pod)))));
      assert.ok(missing(inRange) <= most, `${what} beyond maxUnavailable`);
    } else assert.ok(areAvailable(ordinal + 1, start + spec.replicas), `${what} too early`);
  }
}

async function play(seed: number): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), 'kubetun-claims-'));
  const random = randomFrom(seed);
  const world = startWorld((bare) => {
    for (const name of ['node1', 'node2']) bare.create('Node', node(name));
    const metadata = { name: 'standard', annotations: { [DEFAULT_CLASS]: 'true' } };
    bare.create('StorageClass', { metadata, provisioner: PROVISIONER });
  }, folder);
  try {
    const resources = { requests: { storage: '1Gi' } };
    const claim = {
      metadata: { name: 'data' },
      spec: { accessModes: ['ReadWriteOnce'], resources },
    };
    const podManagementPolicy = random(3) === 0 ? 'Parallel' : 'OrderedReady';
    const own = { podManagementPolicy, volumeClaimTemplates: [claim] };
    world.create('StatefulSet', workload('web', { replicas: 3, ...own }));
    await world.idle();
    /** Name of every claim that was ever there -> uid. */
    const claims = new Map<string, string>();
    for (let step = 0; step < STEPS; step++) {
      const current = web(world).status.currentRevision;
      act(world, random);
      const before = podsOf(world);
      await world.idle();
      try {
        check(world, before, current);
      } catch (error) {
        (error as Error).message += ` (step ${step})`;
        throw error;
      }
      for (const { metadata } of world.list('PersistentVolumeClaim')) {
        const uid = claims.get(metadata.name) ?? metadata.uid!;
        assert.equal(metadata.uid, uid, `step ${step}: ${metadata.name} was replaced`);
        claims.set(metadata.name, uid);
      }
      assert.equal(world.list('PersistentVolumeClaim').length, claims.size);
    }
    await finish(world);
    checkEnd(world);
  } finally {
    world.controllers.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Lets pods come and go, and makes unready ones ready, until nothing moves. */
async function finish(world: World): Promise<void> {
  do {
    await world.idle();
    for (const pod of podsOf(world)) {
      if (pod.status.phase !== 'Running' || isReady(pod)) continue;
      world.patchStatus('Pod', pod.metadata.name, { phase: 'Pending' });
    }
  } while (stepPod(world));
}

function checkEnd(world: World): void {
  const { spec, status, metadata } = web(world);
  const start: number = spec.ordinals?.start ?? 0;
  const pods = podsOf(world);
  assert.deepEqual(
    pods.map(ordinalOf),
    Array.from({ length: spec.replicas }, (_, index) => start + index),
  );
  assert.ok(pods.every(isAvailable));
  const { type, rollingUpdate } = spec.updateStrategy;
  if (type === 'RollingUpdate') {
    for (const pod of pods.slice(rollingUpdate.partition)) {
      assert.equal(pod.spec.containers[0].image, spec.template.spec.containers[0].image);
      assert.equal(revisionOf(pod), status.updateRevision);
    }
  }
  for (const { metadata, spec } of pods) {
    const [volume] = spec.volumes;
    assert.equal(volume.persistentVolumeClaim.claimName, `data-${metadata.name}`);
    const claim = world.get('PersistentVolumeClaim', `data-${metadata.name}`)!;
    assert.equal(claim.status.phase, 'Bound');
  }
  assert.equal(status.observedGeneration, metadata.generation);
  assert.equal(status.replicas, spec.replicas);
  assert.equal(status.availableReplicas, spec.replicas);
}

for (let seed = 1; seed <= RUNS; seed++) {
  test(`a StatefulSet reaches its last requested state (seed ${seed})`, () => play(seed));
}
