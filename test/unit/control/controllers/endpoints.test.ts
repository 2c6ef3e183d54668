import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { endpointsOf, node, pod, ready, service, slicesOf, startWorld } from './world.ts';

const ZONE = 'topology.kubernetes.io/zone';
let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld();
});
afterEach(() => world.controllers.stop());

/** A running pod with an address, ready by default. */
function run(name: string, ip: string, isReady = true, spec: object = {}, metadata: object = {}) {
  world.create('Pod', pod(name, spec, metadata));
  world.patchStatus('Pod', name, ready(isReady, { phase: 'Running', podIP: ip }));
}

async function endpoints(name = 'web') {
  await world.idle();
  return endpointsOf(slicesOf(world, name));
}

test('a ready pod becomes an endpoint with its node, zone and reference', async () => {
  world.create('Node', node('node1', { [ZONE]: 'a' }));
  world.create('Service', service('web'));
  run('p1', '10.1.0.1');
  const uid = world.get('Pod', 'p1')?.metadata.uid;
  assert.deepEqual(await endpoints(), [
    {
      addresses: ['10.1.0.1'],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: 'node1',
      zone: 'a',
      targetRef: { kind: 'Pod', namespace: 'default', name: 'p1', uid },
    },
  ]);
  assert.deepEqual(slicesOf(world, 'web')[0]?.ports, [{ name: '', port: 8080, protocol: 'TCP' }]);
});

test('slices are named and labelled after their Service and belong to it', async () => {
  // Only the controller sets the last label.
  const labels = { team: 'x', 'service.kubernetes.io/headless': '' };
  const { metadata } = world.create('Service', service('web', {}, { labels }));
  await world.idle();
  const [slice] = slicesOf(world, 'web');
  assert.match(slice?.metadata.name ?? '', /^web-[a-z0-9]{5}$/);
  assert.deepEqual(slice?.metadata.labels, {
    team: 'x',
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  });
  assert.equal(slice?.metadata.ownerReferences?.[0]?.uid, metadata.uid);
  world.patch('Service', 'web', { metadata: { labels: { team: 'y' } } });
  await world.idle();
  assert.equal(slicesOf(world, 'web')[0]?.metadata.labels?.team, 'y');
});

test('conditions follow readiness and the end of a pod', async () => {
  world.create('Service', service('web'));
  run('p1', '10.1.0.1', false);
  const conditions = async () => (await endpoints())[0]?.conditions;
  assert.deepEqual(await conditions(), { ready: false, serving: false, terminating: false });
  world.patchStatus('Pod', 'p1', ready(true));
  assert.deepEqual(await conditions(), { ready: true, serving: true, terminating: false });
  world.remove('Pod', 'p1', { graceful: true });
  assert.deepEqual(await conditions(), { ready: false, serving: true, terminating: true });
  world.remove('Pod', 'p1');
  assert.deepEqual(await endpoints(), []);
});

test('publishNotReadyAddresses makes every endpoint ready; serving follows the pod', async () => {
  world.create('Service', service('web', { publishNotReadyAddresses: true }));
  run('p1', '10.1.0.1', false);
  world.remove('Pod', 'p1', { graceful: true });
  const [endpoint] = await endpoints();
  assert.deepEqual(endpoint?.conditions, { ready: true, serving: false, terminating: true });
});

test('pods without an address and ended pods are no endpoints', async () => {
  world.create('Service', service('web'));
  world.create('Pod', pod('starting'));
  run('done', '10.1.0.1');
  world.patchStatus('Pod', 'done', { phase: 'Succeeded' });
  run('failed', '10.1.0.2');
  world.patchStatus('Pod', 'failed', { phase: 'Failed' });
  assert.deepEqual(await endpoints(), []);
});

test('a pod enters and leaves with its labels; other namespaces do not count', async () => {
  world.create('Namespace', { metadata: { name: 'other' } });
  world.create('Service', service('web', { selector: { app: 'web', tier: 'front' } }));
  world.create('Service', service('web'), 'other');
  run('p1', '10.1.0.1');
  assert.deepEqual(await endpoints(), []);
  world.patch('Pod', 'p1', { metadata: { labels: { tier: 'front' } } });
  assert.equal((await endpoints()).length, 1);
  world.patch('Pod', 'p1', { metadata: { labels: { app: 'api' } } });
  assert.deepEqual(await endpoints(), []);
});

test('pods that differ in a named port are in different slices', async () => {
  const named = (containerPort: number) => ({
    containers: [
      { name: 'a', image: 'i', ports: [{ name: 'http', containerPort: 1, protocol: 'UDP' }] },
      { name: 'b', image: 'i', ports: [{ name: 'http', containerPort, protocol: 'TCP' }] },
    ],
  });
  world.create('Service', service('web', { ports: [{ port: 80, targetPort: 'http' }] }));
  run('p1', '10.1.0.1', true, named(8080));
  run('p2', '10.1.0.2', true, named(9090));
  run('p3', '10.1.0.3', true, named(8080));
  run('p4', '10.1.0.4');
  await world.idle();
  const found = slicesOf(world, 'web').map((slice) => ({
    ports: (slice.ports as { port: number }[] | undefined)?.map(({ port }) => port) ?? [],
    pods: endpointsOf([slice]).map(({ targetRef }) => targetRef.name),
  }));
  found.sort((a, b) => (a.pods[0]! < b.pods[0]! ? -1 : 1));
  assert.deepEqual(found, [
    { ports: [8080], pods: ['p1', 'p3'] },
    { ports: [9090], pods: ['p2'] },
    { ports: [], pods: ['p4'] },
  ]);
});

test('slices of a headless Service have its label and hostnames of its pods', async () => {
  world.create('Service', service('web', { clusterIP: 'None', ports: undefined }));
  run('p1', '10.1.0.1', true, { hostname: 'one', subdomain: 'web' });
  run('p2', '10.1.0.2', true, { hostname: 'two', subdomain: 'db' });
  const found = (await endpoints()).map(({ hostname }) => hostname ?? null).sort();
  assert.deepEqual(found, [null, 'one'].sort());
  const labels = slicesOf(world, 'web')[0]?.metadata.labels;
  assert.equal(labels?.['service.kubernetes.io/headless'], '');
});

test('a Service without pods has one empty slice', async () => {
  world.create('Service', service('web'));
  run('p1', '10.1.0.1');
  await world.idle();
  world.remove('Pod', 'p1');
  await world.idle();
  assert.deepEqual(
    slicesOf(world, 'web').map(({ endpoints }) => endpoints),
    [[]],
  );
});

test('slices are deleted with the selector or the Service; those of others stay', async () => {
  world.create('EndpointSlice', {
    metadata: { name: 'by-hand', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.9.9.9'] }],
  });
  world.create('Service', service('web'));
  await world.idle();
  assert.equal(slicesOf(world, 'web').length, 2);
  world.patch('Service', 'web', { spec: { selector: null } });
  await world.idle();
  assert.deepEqual(
    slicesOf(world, 'web').map(({ metadata }) => metadata.name),
    ['by-hand'],
  );
  world.patch('Service', 'web', { spec: { selector: { app: 'web' } } });
  await world.idle();
  assert.equal(slicesOf(world, 'web').length, 2);
  world.remove('Service', 'web');
  await world.idle();
  assert.deepEqual(
    slicesOf(world, 'web').map(({ metadata }) => metadata.name),
    ['by-hand'],
  );
});

test('a new Service with an old name has new slices', async () => {
  world.create('Service', service('web'));
  run('p1', '10.1.0.1');
  await world.idle();
  const before = slicesOf(world, 'web')[0]?.metadata.uid;
  const written: string[] = [];
  world.store.subscribe('endpointslices', ({ type }) => written.push(type));
  world.remove('Service', 'web');
  const { metadata } = world.create('Service', service('web'));
  await world.idle();
  const slices = slicesOf(world, 'web');
  assert.equal(endpointsOf(slices).length, 1);
  assert.notEqual(slices[0]?.metadata.uid, before);
  assert.deepEqual(written, ['ADDED', 'DELETED'], 'never without endpoints');
  assert.equal(slices[0]?.metadata.ownerReferences?.[0]?.uid, metadata.uid);
});

test('a targetPort can name a port of a sidecar, but not of another init container', async () => {
  const init = (name: string, containerPort: number, rest: object = {}) => ({
    ...{ name, image: 'pause', ports: [{ name: 'web', containerPort }] },
    ...rest,
  });
  world.create('Service', service('web', { ports: [{ port: 80, targetPort: 'web' }] }));
  const initContainers = [init('setup', 1), init('proxy', 8443, { restartPolicy: 'Always' })];
  world.create('Pod', pod('a', { initContainers }));
  world.patchStatus('Pod', 'a', ready(true, { phase: 'Running', podIP: '10.1.0.1' }));
  await world.idle();
  const [slice] = slicesOf(world, 'web');
  assert.deepEqual(slice?.ports, [{ name: '', port: 8443, protocol: 'TCP' }]);
});
