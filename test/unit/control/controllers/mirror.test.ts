import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { endpointsOf, eventsOf, service, slicesOf, startWorld } from './world.ts';

const MIRRORED_BY = 'endpointslicemirroring-controller.k8s.io';
const PORTS = [{ name: 'http', port: 9090, protocol: 'TCP' }];
let world: ReturnType<typeof startWorld>;
beforeEach(() => {
  world = startWorld();
});
afterEach(() => world.controllers.stop());

const subset = (ips: string[], over: object = {}) => ({
  addresses: ips.map((ip) => ({ ip })),
  ports: [{ name: 'http', port: 9090 }],
  ...over,
});
const bare = () => world.create('Service', service('db', { selector: undefined }));
const endpoints = (subsets: object[], metadata: object = {}) =>
  world.create('Endpoints', { metadata: { name: 'db', ...metadata }, subsets });

async function mirrors(): Promise<KubeObject[]> {
  await world.idle();
  return slicesOf(world, 'db').filter(
    ({ metadata }) => metadata.labels?.['endpointslice.kubernetes.io/managed-by'] === MIRRORED_BY,
  );
}

const addresses = async () => endpointsOf(await mirrors()).flatMap((row) => row.addresses);

test('manual Endpoints get a slice that they own, created before or after the Service', async () => {
  const owner = endpoints([subset(['203.0.113.10'])], {
    labels: { team: 'x' },
    annotations: { note: 'y', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
  });
  assert.deepEqual(await mirrors(), [], 'there is no Service yet');
  bare();
  const [slice, ...more] = await mirrors();
  assert.equal(more.length, 0);
  assert.equal(slice?.addressType, 'IPv4');
  assert.deepEqual(slice.ports, PORTS);
  assert.deepEqual(slice.endpoints, [{ addresses: ['203.0.113.10'], conditions: { ready: true } }]);
  const { labels, annotations, ownerReferences, name } = slice.metadata;
  assert.equal(labels?.team, 'x');
  assert.deepEqual(annotations, { note: 'y' });
  assert.match(name, /^db-/);
  const [reference] = ownerReferences ?? [];
  assert.equal(reference?.kind, 'Endpoints');
  assert.equal(reference.uid, owner.metadata.uid);
  assert.equal(reference.controller, true);
});

test('the slice follows the Endpoints, keeps its name, and is deleted with them', async () => {
  bare();
  endpoints([subset(['203.0.113.10'])]);
  const [before] = await mirrors();
  const row = { ip: '203.0.113.12', hostname: 'a', nodeName: 'node1' };
  world.patch('Endpoints', 'db', {
    subsets: [subset(['203.0.113.11'], { notReadyAddresses: [row] })],
  });
  const [after] = await mirrors();
  assert.equal(after?.metadata.name, before?.metadata.name);
  assert.deepEqual(after?.endpoints, [
    { addresses: ['203.0.113.11'], conditions: { ready: true } },
    {
      addresses: ['203.0.113.12'],
      conditions: { ready: false },
      ...{ hostname: 'a', nodeName: 'node1' },
    },
  ]);
  world.patch('Endpoints', 'db', { metadata: { labels: { team: 'z' } } });
  assert.equal((await mirrors())[0]?.metadata.labels?.team, 'z');
  world.remove('Endpoints', 'db');
  assert.deepEqual(await mirrors(), []);
});

test('subsets with other ports or IPv6 addresses have separate slices without duplicates', async () => {
  bare();
  endpoints([
    subset(['203.0.113.10', '2001:db8::1']),
    subset(['203.0.113.10', '203.0.113.11']),
    subset(['203.0.113.10'], { ports: [{ name: 'http', port: 9091 }] }),
  ]);
  const found = (await mirrors()).map(({ addressType, ports, endpoints: rows }) => [
    addressType,
    (ports as { port: number }[])[0]?.port,
    (rows as { addresses: string[] }[]).flatMap((row) => row.addresses),
  ]);
  assert.deepEqual(found.sort(), [
    ['IPv4', 9090, ['203.0.113.10', '203.0.113.11']],
    ['IPv4', 9091, ['203.0.113.10']],
    ['IPv6', 9090, ['2001:db8::1']],
  ]);
});

for (const [what, metadata] of [
  ['the label skip-mirror', { labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } }],
  ['a leader', { annotations: { 'control-plane.alpha.kubernetes.io/leader': '{}' } }],
] as const) {
  test(`Endpoints with ${what} are not mirrored, and lose their earlier slices`, async () => {
    bare();
    endpoints([subset(['203.0.113.10'])]);
    assert.equal((await mirrors()).length, 1);
    world.patch('Endpoints', 'db', { metadata });
    assert.deepEqual(await mirrors(), []);
  });
}

test('Endpoints of a Service with a selector are not mirrored', async () => {
  bare();
  endpoints([subset(['203.0.113.10'])]);
  assert.equal((await mirrors()).length, 1);
  world.patch('Service', 'db', { spec: { selector: { app: 'web' } } });
  assert.deepEqual(await mirrors(), []);
});

test('a thousand addresses of a subset are mirrored, and an event counts the others', async () => {
  bare();
  const ips = Array.from({ length: 1003 }, (_, i) => `10.9.${i >> 8}.${i & 255}`);
  endpoints([subset(ips)]);
  assert.deepEqual(await addresses(), ips.slice(0, 1000));
  assert.deepEqual(eventsOf(world, 'db'), [
    [
      'TooManyAddressesToMirror',
      'A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped',
    ],
  ]);
});

test('a change of a mirrored slice is undone, and a manual slice stays', async () => {
  bare();
  endpoints([subset(['203.0.113.10'])]);
  const labels = { 'kubernetes.io/service-name': 'db' };
  const endpoint = { addresses: ['203.0.113.99'] };
  world.create('EndpointSlice', {
    ...{ metadata: { name: 'by-hand', labels }, addressType: 'IPv4', endpoints: [endpoint] },
  });
  const [slice] = await mirrors();
  world.patch('EndpointSlice', slice!.metadata.name, { endpoints: [endpoint] });
  assert.deepEqual(await addresses(), ['203.0.113.10']);
  assert.deepEqual(world.get('EndpointSlice', 'by-hand')?.endpoints, [endpoint]);
});

test('a port without a name is mirrored once', async () => {
  bare();
  endpoints([subset(['203.0.113.10'], { ports: [{ port: 9090 }] })]);
  const [slice] = await mirrors();
  world.patch('Endpoints', 'db', { metadata: { labels: { team: 'x' } } });
  const [after, ...more] = await mirrors();
  assert.equal(more.length, 0);
  assert.equal(after?.metadata.name, slice?.metadata.name);
  assert.deepEqual(after?.ports, [{ name: '', port: 9090, protocol: 'TCP' }]);
});
