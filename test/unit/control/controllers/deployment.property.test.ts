// Random changes of a Deployment and failures of its pods. It ends in the last requested state, and
// keeps maxSurge and maxUnavailable on the way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startControllers } from '../../../../control/cluster/controllers.ts';
import {
  maxSurge,
  maxUnavailable,
} from '../../../../control/controllers/deployment/proportions.ts';
import { isReady, type KubeObject } from '../../../../control/kube/object.ts';
import { settle, stepPod } from './kubelet.ts';
import { randomFrom } from './random.ts';
import { activePods, node, startWorld, type World, workload } from './world.ts';

const RUNS = 40;
const STEPS = 40;
const IMAGES = ['a', 'b', 'c'];
const SHARES = [0, 1, 2, 3, '0%', '10%', '25%', '50%', '100%'];

const web = (world: World) => world.get('Deployment', 'web')!;
const imageOf = ({ spec }: KubeObject): string => spec.containers[0].image;
const ready = (world: World) => activePods(world, 'web').filter(isReady).length;

/** A random change by a user, or a failure. */
function act(world: World, random: (below: number) => number): 'scale' | 'template' | 'pods' {
  const pods = activePods(world, 'web');
  const change = (spec: object) => world.patch('Deployment', 'web', { spec });
  switch (random(10)) {
    case 0:
      change({ replicas: random(9) });
      return 'scale';
    case 1: {
      const image = IMAGES[random(IMAGES.length)];
      change({ template: { spec: { containers: [{ name: 'main', image }] } } });
      return 'template';
    }
    case 2: {
      const victim = pods[random(pods.length || 1)];
      if (victim) world.patchStatus('Pod', victim.metadata.name, { phase: 'Failed' });
      return 'pods';
    }
    case 3: {
      const victim = pods[random(pods.length || 1)];
      if (victim) world.remove('Pod', victim.metadata.name);
      return 'pods';
    }
    case 4:
      // The server is killed and started again.
      world.controllers.stop();
      world.controllers = startControllers(world.registry, null, world.clock);
      return 'pods';
    default:
      stepPod(world, (open) => open[random(open.length)]!);
      return 'pods';
  }
}

async function play(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const world = startWorld((bare) => {
    for (const name of ['node1', 'node2']) bare.create('Node', node(name));
  });
  try {
    const pick = () => SHARES[random(SHARES.length)]!;
    const rollingUpdate = { maxSurge: pick(), maxUnavailable: pick() };
    if (Object.values(rollingUpdate).every((share) => Number.parseInt(String(share), 10) === 0)) {
      rollingUpdate.maxSurge = 1;
    }
    world.create('Deployment', workload('web', { replicas: 4, strategy: { rollingUpdate } }));
    await settle(world);
    let most = limitOf(world);
    for (let step = 0; step < STEPS; step++) {
      const before = ready(world);
      const what = act(world, random);
      const lost = before - ready(world);
      await world.idle();
      // After scaling down, surplus pods end only in the next step.
      most = what === 'scale' ? Math.max(most, limitOf(world)) : most;
      const { replicas } = web(world).spec;
      const count = activePods(world, 'web').length;
      assert.ok(count <= most, `step ${step}, ${what}: ${count} pods, at most ${most}`);
      most = Math.max(count, limitOf(world));
      // As upstream, scaling during a rollout considers sizes and not which pods are available.
      if (what === 'scale') continue;
      const least = Math.min(before - lost, replicas - maxUnavailable(web(world)));
      assert.ok(
        ready(world) >= least,
        `step ${step}, ${what}: ${ready(world)} ready, at least ${least}`,
      );
    }
    await settle(world);
    const { replicas, template } = web(world).spec;
    const pods = activePods(world, 'web');
    assert.equal(pods.length, replicas);
    assert.equal(ready(world), replicas);
    for (const pod of pods) assert.equal(imageOf(pod), template.spec.containers[0].image);
    assert.equal(web(world).status.availableReplicas ?? 0, replicas);
    assert.equal(web(world).status.observedGeneration, web(world).metadata.generation);
  } finally {
    world.controllers.stop();
  }
}

function limitOf(world: World): number {
  return web(world).spec.replicas + maxSurge(web(world));
}

for (let seed = 1; seed <= RUNS; seed++) {
  test(`a Deployment reaches its last requested state (seed ${seed})`, () => play(seed));
}
