// Random Jobs under random ends of pods, deletions, changes and restarts of the server: no rule of
// a Job is broken on the way, and each Job ends as its pods say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startControllers } from '../../../../control/cluster/controllers.ts';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { parseIndexes } from '../../../../control/model/indexes.ts';
import { randomFrom } from './random.ts';
import { activePods, node, startWorld, type World, workload } from './world.ts';

const RUNS = 40;
const STEPS = 60;
const ENDS_MAX = 200;
const INDEX = 'batch.kubernetes.io/job-completion-index';
const OVER = ['Complete', 'Failed'];

const job = (world: World) => world.get('Job', 'work')!;
const pods = (world: World) => activePods(world, 'work');
const isTrue = (world: World, type: string) =>
  (job(world).status.conditions ?? []).some(
    (c: { type: string; status: string }) => c.type === type && c.status === 'True',
  );
const isOver = (world: World) => OVER.some((type) => isTrue(world, type));

/** What the test itself has counted. */
interface Tally {
  failed: number;
  succeeded: number;
  indexes: Set<number>;
  /** The most pods that were allowed since the last change of the parallelism. */
  most: number;
}

function end(world: World, pod: KubeObject, phase: string, tally: Tally): void {
  world.patchStatus('Pod', pod.metadata.name, { phase });
  if (phase === 'Failed') tally.failed++;
  else tally.succeeded++;
  const index = pod.metadata.annotations?.[INDEX];
  if (phase === 'Succeeded' && index !== undefined) tally.indexes.add(Number(index));
}

/** Pods in deletion end, as a kubelet does it. */
function endDeleted(world: World): void {
  for (const { metadata } of world.list('Pod')) {
    if (metadata.deletionTimestamp) world.remove('Pod', metadata.name);
  }
}

function act(world: World, random: (below: number) => number, tally: Tally): void {
  const all = pods(world);
  const victim = all[random(all.length || 1)];
  switch (random(9)) {
    case 0: {
      const parallelism = random(5);
      tally.most = Math.max(tally.most, parallelism);
      world.patch('Job', 'work', { spec: { parallelism } });
      return;
    }
    case 1:
      world.patch('Job', 'work', { spec: { suspend: random(2) === 0 } });
      return;
    case 2:
      world.controllers.stop();
      world.controllers = startControllers(world.registry, null, world.clock);
      return;
    case 3:
      endDeleted(world);
      return;
    case 4:
      if (victim) world.remove('Pod', victim.metadata.name, { graceful: true });
      // The pod counts as failed from its deletion on.
      if (victim) tally.failed++;
      return;
    case 5:
      if (victim) end(world, victim, 'Failed', tally);
      return;
    case 6:
      world.clock.advance(700_000);
      return;
    default:
      if (victim) end(world, victim, 'Succeeded', tally);
  }
}

function check(world: World, tally: Tally, where: string): void {
  const { spec, status } = job(world);
  const there = pods(world);
  assert.ok(there.length <= tally.most, `${where}: ${there.length} pods, at most ${tally.most}`);
  if (spec.suspend) assert.equal(there.length, 0, `${where}: suspended`);
  if (isOver(world)) assert.equal(there.length, 0, `${where}: over`);
  if (spec.completions !== undefined) {
    const succeeded = status.succeeded ?? 0;
    assert.ok(succeeded + there.length <= spec.completions, `${where}: too many for completions`);
  }
  if (spec.completionMode === 'Indexed') {
    const running = there.map((pod) => Number(pod.metadata.annotations![INDEX]));
    assert.equal(new Set(running).size, running.length, `${where}: an index runs twice`);
    const done = parseIndexes(status.completedIndexes, spec.completions);
    for (const index of running) assert.ok(!done.has(index), `${where}: ${index} runs again`);
    assert.deepEqual([...done].sort(), [...tally.indexes].sort(), `${where}: completedIndexes`);
  } else assert.equal(status.succeeded ?? 0, tally.succeeded, `${where}: succeeded`);
  // A Job that fails also counts the pods that it ends.
  if (!isTrue(world, 'FailureTarget')) {
    assert.equal(status.failed ?? 0, tally.failed, `${where}: failed`);
    assert.ok(tally.failed <= spec.backoffLimit, `${where}: beyond the backoffLimit`);
  } else assert.ok(status.failed > spec.backoffLimit, `${where}: failed too early`);
}

async function play(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const world = startWorld((bare) => bare.create('Node', node('node1')));
  try {
    const parallelism = 1 + random(4);
    const completions = random(4) === 0 ? undefined : 1 + random(6);
    const isIndexed = completions !== undefined && random(2) === 0;
    const { metadata, spec } = workload('work', {}, { restartPolicy: 'Never' }) as {
      metadata: object;
      spec: { template: object };
    };
    const numbers = { parallelism, completions, backoffLimit: random(5) };
    const mode = { completionMode: isIndexed ? 'Indexed' : 'NonIndexed' };
    world.create('Job', { metadata, spec: { template: spec.template, ...numbers, ...mode } });
    await world.idle();
    const tally: Tally = { failed: 0, succeeded: 0, indexes: new Set(), most: parallelism };
    for (let step = 0; step < STEPS && !isOver(world); step++) {
      act(world, random, tally);
      await world.idle();
      check(world, tally, `step ${step}`);
      tally.most = Math.max(pods(world).length, job(world).spec.parallelism);
    }
    // From now on all pods succeed.
    if (!isOver(world)) world.patch('Job', 'work', { spec: { suspend: false, parallelism: 2 } });
    tally.most = Math.max(tally.most, 2);
    for (let ends = 0; ends < ENDS_MAX && !isOver(world); ends++) {
      const [pod] = pods(world);
      if (pod) end(world, pod, 'Succeeded', tally);
      endDeleted(world);
      world.clock.advance(700_000);
      await world.idle();
      check(world, tally, `end ${ends}`);
    }
    assert.ok(isOver(world), 'it comes to its end');
    const { status } = job(world);
    assert.deepEqual(status.uncountedTerminatedPods, {});
    if (isTrue(world, 'Complete')) assert.ok(status.succeeded >= (completions ?? 1));
    for (const pod of world.list('Pod')) assert.equal(pod.metadata.finalizers, undefined);
  } finally {
    world.controllers.stop();
  }
}

for (let seed = 1; seed <= RUNS; seed++) {
  test(`a Job keeps its rules and comes to its end (seed ${seed})`, () => play(seed));
}
