import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { eventsOf, node, pod, startWorld, workload } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => {
    for (const name of ['node1', 'node2']) bare.create('Node', node(name));
  });
});
afterEach(() => world.controllers.stop());

const OUT = { key: 'out', effect: 'NoExecute' };
const bears = (tolerationSeconds?: number) => ({
  tolerations: [{ key: 'out', operator: 'Exists', effect: 'NoExecute', tolerationSeconds }],
});
const names = () => world.list('Pod').map(({ metadata }) => metadata.name);

async function taint(...taints: object[]): Promise<void> {
  world.patch('Node', 'node1', { spec: { taints: taints.length > 0 ? taints : null } });
  await world.idle();
}

async function pass(seconds: number): Promise<void> {
  world.clock.advance(seconds * 1000);
  await world.idle();
}

/** Creates a pod without a grace period: it ends as soon as it is deleted. */
function add(name: string, spec: object = {}): void {
  world.create('Pod', pod(name, { terminationGracePeriodSeconds: 0, ...spec }));
}

test('pods that do not tolerate a taint leave the node, others stay', async () => {
  add('leaves');
  add('elsewhere', { nodeName: 'node2' });
  add('bears', bears());
  await taint({ ...OUT, effect: 'NoSchedule' });
  assert.deepEqual(names(), ['leaves', 'elsewhere', 'bears'], 'NoSchedule evicts no pod');
  await taint(OUT);
  assert.deepEqual(names(), ['elsewhere', 'bears']);
  assert.deepEqual(eventsOf(world, 'leaves'), [
    ['TaintManagerEviction', 'Marking for deletion Pod default/leaves'],
  ]);
  add('late');
  await world.idle();
  assert.deepEqual(names(), ['elsewhere', 'bears']);
});

test('a pod leaves after tolerationSeconds, and stays if the taint is removed before', async () => {
  add('p', bears(60));
  await taint(OUT);
  await pass(59);
  await taint();
  await pass(600);
  await taint(OUT);
  await pass(59);
  assert.deepEqual(names(), ['p']);
  await pass(2);
  assert.deepEqual(names(), []);
});

test('the shortest of several tolerations counts', async () => {
  const { tolerations } = bears(60);
  add('p', { tolerations: [...tolerations, { operator: 'Exists', tolerationSeconds: 10 }] });
  await taint(OUT);
  await pass(11);
  assert.deepEqual(names(), []);
});

test('pods leave an unreachable node after five minutes and are replaced elsewhere', async () => {
  const unreachable = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' };
  world.create(
    'ReplicaSet',
    workload('web', { replicas: 2 }, { terminationGracePeriodSeconds: 0 }),
  );
  await world.idle();
  const nodes = () => world.list('Pod').map(({ spec }) => spec.nodeName);
  assert.deepEqual(nodes().toSorted(), ['node1', 'node2']);
  await taint(unreachable, { ...unreachable, effect: 'NoSchedule' });
  await pass(299);
  assert.deepEqual(nodes().toSorted(), ['node1', 'node2']);
  await pass(2);
  assert.deepEqual(nodes(), ['node2', 'node2']);
});

test('tolerations that a pod has itself stay unchanged', () => {
  const own = { key: 'node.kubernetes.io/unreachable', operator: 'Exists', tolerationSeconds: 5 };
  add('own', { tolerations: [own] });
  add('all', { tolerations: [{ operator: 'Exists' }] });
  const keys = (name: string) =>
    world
      .get('Pod', name)!
      .spec.tolerations.map((t: { key?: string; tolerationSeconds?: number }) => [
        t.key,
        t.tolerationSeconds,
      ]);
  assert.deepEqual(keys('own'), [
    ['node.kubernetes.io/unreachable', 5],
    ['node.kubernetes.io/not-ready', 300],
  ]);
  assert.deepEqual(keys('all'), [[undefined, undefined]]);
});

test('a pod that is evicted has a condition that says so until it ends', async () => {
  world.create('Pod', pod('leaves', { terminationGracePeriodSeconds: 30 }));
  await taint(OUT);
  const { metadata, status } = world.get('Pod', 'leaves')!;
  assert.ok(metadata.deletionTimestamp);
  const { type, reason } = status.conditions.at(-1);
  assert.deepEqual([type, reason], ['DisruptionTarget', 'DeletionByTaintManager']);
});
