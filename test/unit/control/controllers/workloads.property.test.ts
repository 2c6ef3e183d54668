// Whatever happens to their pods and whatever is asked of them: DaemonSets and Jobs
// become what their spec says, and keep their own rules on the way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startControllers } from '../../../../control/cluster/controllers.ts';
import { isReady, type KubeObject } from '../../../../control/kube/object.ts';
import { settle, stepPod } from './kubelet.ts';
import { randomFrom } from './random.ts';
import { activePods, node, startWorld, type World, workload } from './world.ts';

const RUNS = 15;
const STEPS = 30;
const IMAGES = ['a', 'b', 'c'];

type Random = (below: number) => number;

const imageOf = ({ spec }: KubeObject): string => spec.containers[0].image;
const containers = (image: string) => [{ name: 'main', image }];
const pick = (random: Random, pods: KubeObject[]) => pods[random(pods.length || 1)];

/** What fate does to pods and to the server. */
function disturb(world: World, random: Random): void {
  const victim = pick(random, activePods(world, 'web'));
  switch (random(4)) {
    case 0:
      if (victim) world.patchStatus('Pod', victim.metadata.name, { phase: 'Failed' });
      return;
    case 1:
      if (victim) world.remove('Pod', victim.metadata.name);
      return;
    case 2:
      world.controllers.stop();
      world.controllers = startControllers(world.registry, null, world.clock);
      return;
    default:
      stepPod(world, (open) => open[random(open.length)]!);
  }
}

async function playDaemonSet(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const names = ['node1', 'node2', 'node3', 'node4'];
  const world = startWorld((bare) => {
    for (const name of names) bare.create('Node', node(name, { disk: 'ssd' }));
  });
  const wanted = () =>
    world
      .list('Node')
      .filter(({ metadata }) => metadata.labels?.disk === 'ssd')
      .map(({ metadata }) => metadata.name);
  const available = () => new Set(activePods(world, 'web').filter(isReady).map(nodeOf)).size;
  const nodeOf = ({ spec }: KubeObject): string => spec.nodeName;
  try {
    const maxUnavailable = 1 + random(2);
    const isSurge = random(2) === 0;
    const rollingUpdate = isSurge ? { maxSurge: 1, maxUnavailable: 0 } : { maxUnavailable };
    const template = { nodeSelector: { disk: 'ssd' } };
    world.create('DaemonSet', workload('web', { updateStrategy: { rollingUpdate } }, template));
    await settle(world);
    for (let step = 0; step < STEPS; step++) {
      const what = random(8);
      const before = available();
      const name = names[random(names.length)]!;
      if (what === 0) {
        const labels = { disk: random(2) === 0 ? 'ssd' : 'hdd' };
        world.patch('Node', name, { metadata: { labels } });
      } else if (what === 1) {
        const image = IMAGES[random(IMAGES.length)]!;
        const spec = { template: { spec: { containers: containers(image) } } };
        world.patch('DaemonSet', 'web', { spec });
      } else disturb(world, random);
      const lost = what === 0 ? names.length : before - available();
      world.clock.advance(2000);
      await world.idle();
      const allowed = isSurge ? 0 : maxUnavailable;
      const least = Math.min(before - lost, wanted().length - allowed);
      assert.ok(available() >= least, `step ${step}, ${what}: ${available()} of ${least}`);
    }
    do {
      world.clock.advance(2000);
      await settle(world);
    } while (world.list('Pod').some(({ status }) => status.phase === 'Failed'));
    assert.deepEqual(activePods(world, 'web').map(nodeOf).sort(), wanted().sort());
    const { spec } = world.get('DaemonSet', 'web')!;
    for (const pod of activePods(world, 'web')) {
      assert.equal(imageOf(pod), spec.template.spec.containers[0].image);
    }
  } finally {
    world.controllers.stop();
  }
}

async function playJob(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const world = startWorld((bare) => bare.create('Node', node('node1')));
  try {
    const completions = 1 + random(6);
    const shape = { completions, parallelism: 1 + random(4), backoffLimit: 1000 };
    const mode = random(2) === 0 ? 'Indexed' : 'NonIndexed';
    const template = { spec: { restartPolicy: 'Never', containers: containers('a') } };
    const labelled = { ...template, metadata: { labels: { app: 'web' } } };
    world.create('Job', {
      metadata: { name: 'web' },
      spec: { ...shape, completionMode: mode, template: labelled },
    });
    await world.idle();
    const job = () => world.get('Job', 'web')!;
    let [succeeded, failed] = [0, 0];
    const isOver = () => job().status.completionTime !== undefined;
    for (let step = 0; step < 300 && !isOver(); step++) {
      const victim = pick(random, activePods(world, 'web'));
      const what = random(6);
      if (what === 0) {
        world.controllers.stop();
        world.controllers = startControllers(world.registry, null, world.clock);
      } else if (what === 1) {
        world.patch('Job', 'web', { spec: { parallelism: 1 + random(4) } });
      } else if (victim) {
        const phase = what < 4 ? 'Succeeded' : 'Failed';
        if (phase === 'Succeeded') succeeded++;
        else failed++;
        world.patchStatus('Pod', victim.metadata.name, { phase });
      }
      await world.idle();
      for (const { metadata } of world.list('Pod')) {
        if (metadata.deletionTimestamp) world.remove('Pod', metadata.name);
      }
      world.clock.advance(600_000);
      await world.idle();
      const active = activePods(world, 'web').length;
      assert.ok(active <= job().spec.parallelism, `step ${step}: ${active} pods`);
    }
    assert.ok(isOver());
    assert.deepEqual([job().status.succeeded, job().status.failed ?? 0], [completions, failed]);
    assert.equal(succeeded, completions, 'no pod ran in vain');
    assert.deepEqual(activePods(world, 'web'), []);
  } finally {
    world.controllers.stop();
  }
}

for (let seed = 1; seed <= RUNS; seed++) {
  test(`a DaemonSet becomes what it is asked to be (seed ${seed})`, () => playDaemonSet(seed));
  test(`a Job counts every pod once (seed ${seed})`, () => playJob(seed));
}
