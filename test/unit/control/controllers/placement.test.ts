// Writes of slices: a change of one pod writes one slice, and no write is without a change.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { endpointsOf, node, pod, ready, service, slicesOf, startWorld } from './world.ts';

const ZONE = 'topology.kubernetes.io/zone';
let world: ReturnType<typeof startWorld>;
let written: string[];

beforeEach(() => {
  world = startWorld();
  written = [];
  world.store.subscribe('endpointslices', ({ type }) => written.push(type));
});
afterEach(() => world.controllers.stop());

function run(name: string, ip: string, spec: object = {}) {
  world.create('Pod', pod(name, spec));
  world.patchStatus('Pod', name, ready(true, { phase: 'Running', podIP: ip }));
}

/** A settled Service with that many pods, p0 and on. */
async function fill(count: number) {
  world.create('Service', service('web'));
  for (let i = 0; i < count; i++) run(`p${i}`, `10.1.${i >> 8}.${i & 255}`);
  await world.idle();
  written.length = 0;
}

const sizes = () =>
  slicesOf(world, 'web')
    .map((slice) => endpointsOf([slice]).length)
    .sort((a, b) => a - b);

test('a slice has at most 100 endpoints', async () => {
  await fill(250);
  assert.deepEqual(sizes(), [50, 100, 100]);
  const names = new Set(endpointsOf(slicesOf(world, 'web')).map((e) => e.targetRef.name));
  assert.equal(names.size, 250);
});

test('a pod that is changed, deleted or created causes one write of a slice', async () => {
  await fill(250);
  for (const change of [
    () => world.patchStatus('Pod', 'p7', ready(false)),
    () => world.remove('Pod', 'p7'),
    () => run('late', '10.1.9.9'),
  ]) {
    written.length = 0;
    change();
    await world.idle();
    assert.deepEqual(written, ['MODIFIED']);
  }
  assert.deepEqual(sizes(), [50, 100, 100]);
});

test('a new pod fills a gap before a new slice is made; an empty slice is deleted', async () => {
  await fill(101);
  assert.deepEqual(sizes(), [1, 100]);
  run('late', '10.1.9.9');
  await world.idle();
  assert.deepEqual(sizes(), [2, 100]);
  world.remove('Pod', 'p100');
  world.remove('Pod', 'late');
  await world.idle();
  assert.deepEqual(sizes(), [100]);
});

test('many simultaneous changes cause one write', async () => {
  await fill(10);
  for (let i = 0; i < 10; i++) world.patchStatus('Pod', `p${i}`, ready(false));
  await world.idle();
  assert.deepEqual(written, ['MODIFIED']);
});

test('changes that do not affect endpoints write nothing', async () => {
  await fill(3);
  world.patch('Pod', 'p0', { metadata: { annotations: { note: 'x' } } });
  world.patch('Service', 'web', { metadata: { annotations: { note: 'x' } } });
  world.create('Pod', pod('other', {}, { labels: { app: 'api' } }));
  world.create('Node', node('node9'));
  await world.idle();
  assert.deepEqual(written, []);
});

test('a change of ports creates the new slice before it deletes the old one', async () => {
  await fill(3);
  world.patch('Service', 'web', { spec: { ports: [{ port: 80, targetPort: 9090 }] } });
  await world.idle();
  assert.deepEqual(written, ['ADDED', 'DELETED']);
  assert.deepEqual(sizes(), [3]);
});

test('a foreign change of a slice is undone', async () => {
  await fill(2);
  const wanted = endpointsOf(slicesOf(world, 'web'));
  const name = slicesOf(world, 'web')[0]!.metadata.name;
  const stranger = { addresses: ['10.9.9.9'], conditions: { ready: true } };
  world.patch('EndpointSlice', name, { endpoints: [stranger, wanted[0]] });
  await world.idle();
  assert.deepEqual(
    endpointsOf(slicesOf(world, 'web'))
      .map((e) => e.addresses[0])
      .sort(),
    ['10.1.0.0', '10.1.0.1'],
  );
  world.remove('EndpointSlice', name);
  await world.idle();
  assert.deepEqual(sizes(), [2]);
});

test('a slice that was moved to another Service is removed and created again for its own', async () => {
  await fill(2);
  world.create('Service', service('other', { selector: { app: 'none' } }));
  await world.idle();
  const name = slicesOf(world, 'web')[0]!.metadata.name;
  world.patch('EndpointSlice', name, {
    metadata: { labels: { 'kubernetes.io/service-name': 'other' } },
  });
  await world.idle();
  assert.deepEqual(sizes(), [2]);
  assert.deepEqual(endpointsOf(slicesOf(world, 'other')), []);
});

test("a node's zone changes the slices with its endpoints only", async () => {
  await fill(1);
  world.create('Service', service('other', { selector: { app: 'other' } }));
  await world.idle();
  written.length = 0;
  world.create('Node', node('node1', { [ZONE]: 'a' }));
  await world.idle();
  assert.equal(endpointsOf(slicesOf(world, 'web'))[0]?.zone, 'a');
  world.patch('Node', 'node1', { metadata: { labels: { [ZONE]: 'b' } } });
  await world.idle();
  assert.equal(endpointsOf(slicesOf(world, 'web'))[0]?.zone, 'b');
  world.remove('Node', 'node1');
  await world.idle();
  assert.equal(endpointsOf(slicesOf(world, 'web'))[0]?.zone, undefined);
  assert.deepEqual(written, ['MODIFIED', 'MODIFIED', 'MODIFIED']);
});

test('hints follow trafficDistribution, for ready endpoints only', async () => {
  world.create('Node', node('node1', { [ZONE]: 'a' }));
  world.create('Service', service('web', { trafficDistribution: 'PreferClose' }));
  run('p1', '10.1.0.1');
  const hints = async () => {
    await world.idle();
    return endpointsOf(slicesOf(world, 'web'))[0]?.hints;
  };
  const forZones = [{ name: 'a' }];
  const forNodes = [{ name: 'node1' }];
  assert.deepEqual(await hints(), { forZones });
  world.patch('Service', 'web', { spec: { trafficDistribution: 'PreferSameNode' } });
  assert.deepEqual(await hints(), { forZones, forNodes });
  world.patch('Node', 'node1', { metadata: { labels: { [ZONE]: null } } });
  assert.deepEqual(await hints(), { forNodes });
  world.patchStatus('Pod', 'p1', ready(false));
  assert.equal(await hints(), undefined);
});

test('correct slices stay unchanged at the start of the controllers', async () => {
  await fill(150);
  world.controllers.stop();
  const before = slicesOf(world, 'web');
  const again = startWorld(({ store }) => {
    for (const kind of ['nodes', 'pods', 'services', 'endpointslices']) {
      for (const object of world.store.list(kind)) store.create(kind, object);
    }
  });
  await again.idle();
  again.controllers.stop();
  const bare = (slices: typeof before) =>
    slices.map(({ metadata: { uid }, endpoints }) => ({ uid, endpoints }));
  assert.deepEqual(bare(slicesOf(again, 'web')), bare(before));
});
