import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { eventsOf, node, pod, ready, startWorld } from './world.ts';

let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld();
});
afterEach(() => world.controllers.stop());

function addNode(name: string, allocatable: object): void {
  world.create('Node', node(name));
  world.patchStatus('Node', name, ready(true, { allocatable }));
}

const asking = (requests: object) => ({ name: 'main', image: 'pause', resources: { requests } });
const add = (name: string, spec: object) =>
  world.create('Pod', pod(name, { nodeName: undefined, ...spec }));
const ask = (name: string, requests: object) => add(name, { containers: [asking(requests)] });

async function nodeOf(name: string): Promise<string | undefined> {
  await world.idle();
  return world.get('Pod', name)?.spec.nodeName;
}

const messageOf = (name: string) => {
  const conditions: { type: string; message?: string }[] = world.get('Pod', name)!.status
    .conditions;
  return conditions.find(({ type }) => type === 'PodScheduled')?.message;
};

test('a pod that requests more than a node has stays Pending with the reason', async () => {
  addNode('node1', { cpu: '2', memory: '4Gi' });
  addNode('node2', { cpu: '2', memory: '4Gi' });
  ask('huge', { cpu: '100' });
  assert.equal(await nodeOf('huge'), undefined);
  assert.equal(messageOf('huge'), '0/2 nodes are available: 2 Insufficient cpu.');
  assert.deepEqual(eventsOf(world, 'huge'), [
    ['FailedScheduling', '0/2 nodes are available: 2 Insufficient cpu.'],
  ]);
});

test('every missing resource is named, also for limits without requests', async () => {
  addNode('node1', { cpu: '2', memory: '1Gi' });
  const limits = { cpu: '3', memory: '2Gi', 'example.com/gpu': '1' };
  add('all', { containers: [{ name: 'main', image: 'pause', resources: { limits } }] });
  await world.idle();
  assert.equal(
    messageOf('all'),
    '0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory.',
  );
});

test("requests of a node's pods add up, and an ended pod frees its share", async () => {
  addNode('node1', { cpu: '1', memory: '4Gi' });
  for (let n = 0; n < 10; n++) ask(`p${n}`, { cpu: '100m' });
  for (let n = 0; n < 10; n++) assert.equal(await nodeOf(`p${n}`), 'node1', `p${n}`);
  ask('late', { cpu: '100m' });
  assert.equal(await nodeOf('late'), undefined);
  ask('modest', { memory: '1Gi' });
  assert.equal(await nodeOf('modest'), 'node1', 'no cpu is asked for');
  world.remove('Pod', 'p0');
  assert.equal(await nodeOf('late'), 'node1');
  ask('later', { cpu: '100m' });
  assert.equal(await nodeOf('later'), undefined);
  world.patchStatus('Pod', 'p1', { phase: 'Succeeded' });
  assert.equal(await nodeOf('later'), 'node1');
});

test('earlier pods, and pods that name their node, use its resources', async () => {
  world.controllers.stop();
  world = startWorld((bare) => {
    bare.create('Node', node('node1'));
    bare.patchStatus('Node', 'node1', ready(true, { allocatable: { cpu: '1' } }));
    bare.create('Pod', pod('there', { containers: [asking({ cpu: '600m' })] }));
  });
  ask('second', { cpu: '500m' });
  assert.equal(await nodeOf('second'), undefined);
});

test('a larger node gets a pod that a smaller one cannot run', async () => {
  addNode('small', { cpu: '1' });
  addNode('tall', { cpu: '4' });
  ask('p', { cpu: '2' });
  assert.equal(await nodeOf('p'), 'tall');
});

const init = (name: string, cpu: string, over: object = {}) => ({
  ...{ name, image: 'pause', resources: { requests: { cpu } } },
  ...over,
});
const STAYS = { restartPolicy: 'Always' };

const SUMS: [what: string, spec: object, cpu: string][] = [
  ['containers add up', { containers: [init('a', '1'), init('b', '1')] }, '2'],
  [
    'init containers run one after the other, before the others',
    { initContainers: [init('a', '2'), init('b', '3')], containers: [init('c', '1')] },
    '3',
  ],
  [
    'a sidecar runs beside the containers',
    { initContainers: [init('a', '1', STAYS)], containers: [init('c', '1')] },
    '2',
  ],
  [
    'a sidecar runs beside the init containers after it',
    { initContainers: [init('a', '1', STAYS), init('b', '2')], containers: [init('c', '1')] },
    '3',
  ],
  ['overhead is added', { overhead: { cpu: '1' }, containers: [init('c', '1')] }, '2'],
];

for (const [what, spec, cpu] of SUMS) {
  test(`requests of a pod: ${what}`, async () => {
    addNode('node1', { cpu });
    add('fits', spec);
    assert.equal(await nodeOf('fits'), 'node1');
    world.remove('Pod', 'fits');
    world.patchStatus('Node', 'node1', ready(true, { allocatable: { cpu: lessBy1m(cpu) } }));
    add('more', spec);
    assert.equal(await nodeOf('more'), undefined);
  });
}

/** A thousandth less. */
function lessBy1m(cpu: string): string {
  return `${Number(cpu) * 1000 - 1}m`;
}

test('a node without cpu and memory in its status accepts pods that request them', async () => {
  world.create('Node', node('node1'));
  ask('p', { cpu: '100', memory: '1Ti' });
  assert.equal(await nodeOf('p'), 'node1');
});
