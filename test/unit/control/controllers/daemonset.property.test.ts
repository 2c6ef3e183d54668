// Random changes of a DaemonSet, its nodes and its pods: it ends with one pod of its template on
// each node that fits, and on the way it breaks neither maxUnavailable nor maxSurge.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startControllers } from '../../../../control/cluster/controllers.ts';
import { isReady } from '../../../../control/kube/object.ts';
import { settle, stepPod } from './kubelet.ts';
import { randomFrom } from './random.ts';
import { activePods, node, startWorld, type World, workload } from './world.ts';

const RUNS = 40;
const STEPS = 40;
const IMAGES = ['a', 'b', 'c'];
const SHARES = [1, 2, 3, '10%', '50%', '100%'];
const LABEL = { role: 'edge' };

const web = (world: World) => world.get('DaemonSet', 'web')!;
const pods = (world: World) => activePods(world, 'web');
const ready = (world: World) => pods(world).filter(isReady).length;
/** Nodes with a ready pod. */
const served = (world: World) =>
  new Set(
    pods(world)
      .filter(isReady)
      .map(({ spec }) => spec.nodeName),
  );
const wanted = (world: World) =>
  world
    .list('Node')
    .filter(({ metadata }) => metadata.labels?.role === 'edge')
    .map(({ metadata }) => metadata.name)
    .sort();

/** What changed: the template alone is rolled out within the limits. */
function act(world: World, random: (below: number) => number): 'template' | 'other' | 'kubelet' {
  const all = pods(world);
  const victim = all[random(all.length || 1)];
  const names = world.list('Node').map(({ metadata }) => metadata.name);
  const name = names[random(names.length)]!;
  switch (random(12)) {
    case 0:
    case 1: {
      const image = IMAGES[random(IMAGES.length)];
      const template = { spec: { containers: [{ name: 'main', image }] } };
      world.patch('DaemonSet', 'web', { spec: { template } });
      return 'template';
    }
    case 2: {
      const role = world.get('Node', name)!.metadata.labels?.role ? null : LABEL.role;
      world.patch('Node', name, { metadata: { labels: { role } } });
      return 'other';
    }
    case 3:
      if (victim) world.patchStatus('Pod', victim.metadata.name, { phase: 'Failed' });
      return 'other';
    case 4:
      if (victim) world.remove('Pod', victim.metadata.name);
      return 'other';
    case 5:
      world.controllers.stop();
      world.controllers = startControllers(world.registry, null, world.clock);
      return 'other';
    case 6:
      if (names.length < 8)
        world.create('Node', node(`extra${random(1000)}-${names.length}`, LABEL));
      return 'other';
    default:
      stepPod(world, (open) => open[random(open.length)]!);
      return 'kubelet';
  }
}

async function play(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const world = startWorld((bare) => {
    for (let i = 1; i <= 5; i++) bare.create('Node', node(`node${i}`, i < 5 ? LABEL : {}));
  });
  try {
    const share = SHARES[random(SHARES.length)]!;
    const isSurge = random(2) === 0;
    const rollingUpdate = isSurge
      ? { maxSurge: share, maxUnavailable: 0 }
      : { maxSurge: 0, maxUnavailable: share };
    const spec = { updateStrategy: { rollingUpdate } };
    world.create('DaemonSet', workload('web', spec, { nodeSelector: LABEL }));
    await settle(world);
    const limitOf = () => {
      const count = wanted(world).length;
      return typeof share === 'number'
        ? share
        : Math.ceil((Number.parseInt(share, 10) * count) / 100);
    };
    for (let step = 0; step < STEPS; step++) {
      const before = served(world).size;
      const what = act(world, random);
      await world.idle();
      const where = `step ${step}, ${what}`;
      const onNodes = Map.groupBy(pods(world), ({ spec: s }) => s.nodeName);
      const pairs = [...onNodes.values()].filter((group) => group.length > 1);
      for (const group of pairs) assert.ok(group.length === 2 && isSurge, `${where}: two pods`);
      if (what === 'other') continue;
      const count = wanted(world).length;
      if (isSurge) {
        assert.ok(served(world).size >= before, `${where}: a surge leaves no node unserved`);
      } else {
        const least = Math.min(before, count - limitOf());
        assert.ok(ready(world) >= least, `${where}: ${ready(world)} ready, at least ${least}`);
      }
    }
    do {
      world.clock.advance(1_000_000);
      await settle(world);
    } while (world.list('Pod').some(({ status }) => status.phase === 'Failed'));
    const { template } = web(world).spec;
    const places = pods(world).map(({ spec: s }) => s.nodeName);
    assert.deepEqual(places.sort(), wanted(world));
    for (const pod of pods(world)) {
      assert.equal(pod.spec.containers[0].image, template.spec.containers[0].image);
    }
    const { status } = web(world);
    assert.equal(status.desiredNumberScheduled, places.length);
    assert.equal(status.numberAvailable ?? 0, places.length);
    assert.equal(status.updatedNumberScheduled ?? 0, places.length);
  } finally {
    world.controllers.stop();
  }
}

for (let seed = 1; seed <= RUNS; seed++) {
  test(`a DaemonSet reaches its last requested state (seed ${seed})`, () => play(seed));
}
