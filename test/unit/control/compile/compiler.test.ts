import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import fc from 'fast-check';
import {
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
} from '../../../../datapath/image/image.ts';
import { formatAddress, parseAddress } from '../../../../datapath/wire/address.ts';
import { node, service, slice } from '../model/objects.ts';
import { pairs } from './mirror.ts';
import { World } from './world.ts';

let world: World;

beforeEach(() => {
  world = new World();
  world.put({ node: node('n1', '172.18.0.11', '10.244.1.0/24', 'z1') });
  world.put({ node: node('n2', '172.18.0.12', '10.244.2.0/24', 'z2') });
});

function entryOf(name: string) {
  return [...world.mirror.services.values()].find((s) => s.name === name);
}

function created(name: string, day: number, spec: object) {
  const creationTimestamp = `2026-01-0${day}T00:00:00Z`;
  return service(name, spec, { metadata: { namespace: 'ns', name, creationTimestamp } });
}

test('a Service becomes its frontends and its endpoints', () => {
  world.put({
    service: service('web', {
      type: 'NodePort',
      externalIPs: ['192.0.2.1'],
      ports: [{ name: 'http', port: 80, nodePort: 30080 }],
    }),
    slice: slice(
      'web-1',
      'web',
      [
        { ip: '10.244.1.2', node: 'n1' },
        { ip: '10.244.2.2', node: 'n2' },
      ],
      [{ name: 'http', port: 8080 }],
    ),
  });
  world.publish();
  assert.deepEqual(world.mirror.frontendNames(), [
    '10.96.0.5:80/6 cluster ns/web:http',
    '172.18.0.11:30080/6 nodeport ns/web:http',
    '192.0.2.1:80/6 external ns/web:http',
  ]);
  const entry = entryOf('ns/web:http')!;
  assert.deepEqual(pairs(entry.cluster), ['10.244.1.2:8080', '10.244.2.2:8080']);
  assert.deepEqual(pairs(entry.local), []);
  assert.equal(entry.flags, 0);
});

test("traffic policies Local set a flag and list this node's endpoints", () => {
  const endpoints = [
    { ip: '10.244.1.2', node: 'n1' },
    { ip: '10.244.2.2', node: 'n2' },
  ];
  world.put({
    service: service('a', { internalTrafficPolicy: 'Local' }),
    slice: slice('a-1', 'a', endpoints),
  });
  world.put({
    service: service('b', { clusterIP: '10.96.0.6', externalTrafficPolicy: 'Local' }),
    slice: slice('b-1', 'b', endpoints),
  });
  world.publish();
  assert.equal(entryOf('ns/a:80')?.flags, SERVICE_FLAG_INTERNAL_LOCAL);
  assert.equal(entryOf('ns/b:80')?.flags, SERVICE_FLAG_EXTERNAL_LOCAL);
  assert.deepEqual(pairs(entryOf('ns/a:80')!.local), ['10.244.1.2:8080']);
  assert.deepEqual(pairs(entryOf('ns/a:80')!.cluster), ['10.244.1.2:8080', '10.244.2.2:8080']);
});

test('lists serving endpoints that are not eligible separately, for UDP only', () => {
  const ending = { ready: false, serving: true, terminating: true };
  for (const protocol of ['UDP', 'TCP']) {
    const name = protocol.toLowerCase();
    world.put({
      service: service(name, { ports: [{ port: 53, protocol }] }),
      slice: {
        ...slice(`${name}-1`, name, []),
        ports: [{ port: 5353, protocol }],
        endpoints: [
          { addresses: ['10.244.1.2'] },
          { addresses: ['10.244.1.3'], conditions: ending },
          { addresses: ['10.244.1.4'], conditions: { ...ending, serving: false } },
          { addresses: ['10.244.1.5'], conditions: { ready: false } },
        ],
      },
    });
  }
  world.publish();
  assert.deepEqual(pairs(entryOf('ns/udp:53')!.cluster), ['10.244.1.2:5353']);
  // The last one has no `serving` condition, which means true.
  assert.deepEqual(pairs(entryOf('ns/udp:53')!.serving), ['10.244.1.3:5353', '10.244.1.5:5353']);
  assert.deepEqual(pairs(entryOf('ns/tcp:53')!.serving), []);
});

test('one changed endpoint updates one Service port, no frontend and no node entry', () => {
  for (let i = 0; i < 20; i++) {
    world.put({ service: service(`s${i}`, { clusterIP: `10.96.1.${i}` }) });
    world.put({ slice: slice(`s${i}-1`, `s${i}`, [{ ip: '10.244.1.2' }]) });
  }
  world.publish();
  world.put({ slice: slice('s7-1', 's7', [{ ip: '10.244.1.3' }]) });
  const change = world.publish()?.change;
  assert.deepEqual(
    change?.upsert.map((s) => s.name),
    ['ns/s7:80'],
  );
  assert.deepEqual(
    [change.node, change.remove, change.addFrontends, change.removeFrontends],
    [null, [], [], []],
  );
});

test('a change and its reversal within one burst give no update', () => {
  world.put({ service: service('web'), slice: slice('x', 'web', [{ ip: '10.244.1.2' }]) });
  world.publish();
  world.put({ slice: slice('x', 'web', []) });
  world.put({ service: service('tmp', { clusterIP: '10.96.0.9' }) });
  world.put({ slice: slice('x', 'web', [{ ip: '10.244.1.2' }]) });
  world.deleteService('tmp');
  assert.equal(world.publish(), null);
});

test('handles a slice that precedes its Service, and one that moves to another Service', () => {
  world.put({ slice: slice('x', 'a', [{ ip: '10.244.1.2' }]) });
  world.publish();
  world.put({ service: service('a') });
  world.put({ service: service('b', { clusterIP: '10.96.0.6' }) });
  world.publish();
  assert.deepEqual(pairs(entryOf('ns/a:80')!.cluster), ['10.244.1.2:8080']);
  world.put({ slice: slice('x', 'b', [{ ip: '10.244.1.2' }]) });
  world.publish();
  assert.deepEqual(pairs(entryOf('ns/a:80')!.cluster), []);
  assert.deepEqual(pairs(entryOf('ns/b:80')!.cluster), ['10.244.1.2:8080']);
});

test('the node entry has addresses of all nodes and pod ranges, and ignores heartbeats', () => {
  world.publish();
  const entry = world.mirror.node!;
  assert.equal(formatAddress(entry.nodeAddress), '172.18.0.11');
  assert.deepEqual(entry.nodeAddresses.map(formatAddress), ['172.18.0.11', '172.18.0.12']);
  assert.deepEqual(
    entry.podRanges.map((r) => formatAddress(r.address)),
    ['10.244.1.0', '10.244.2.0'],
  );
  world.put({ node: node('n1', '172.18.0.11', '10.244.1.0/24', 'z1') });
  assert.equal(world.publish(), null);
});

test('the node entry has addresses of the node that its Node object lacks, and follows changes', () => {
  const local = ['172.18.0.11', '169.254.20.10', '169.254.1.1'].map((text) => parseAddress(text)!);
  world.tables.putLocalAddresses(local);
  assert.equal(world.tables.clean, false);
  world.publish();
  const { localAddresses } = world.mirror.node!;
  assert.deepEqual(localAddresses!.map(formatAddress), ['169.254.1.1', '169.254.20.10']);
  world.tables.putLocalAddresses(local.toReversed());
  assert.equal(world.tables.clean, true, 'another order of addresses is no change');
  world.tables.putLocalAddresses([]);
  world.publish();
  assert.deepEqual(world.mirror.node!.localAddresses, []);
});

test("NodePorts follow the node's address, and hints follow its zone", () => {
  const ports = [{ port: 80, nodePort: 30080 }];
  const endpoints = [
    { ip: '10.244.1.2', zones: ['z1'] },
    { ip: '10.244.2.2', zones: ['z2'] },
  ];
  world.put({ service: service('web', { type: 'NodePort', ports }) });
  world.put({ slice: slice('x', 'web', endpoints) });
  world.publish();
  assert.deepEqual(pairs(entryOf('ns/web:80')!.cluster), ['10.244.1.2:8080']);
  world.put({ node: node('n1', '172.18.0.99', '10.244.1.0/24', 'z2') });
  world.publish();
  assert.deepEqual(pairs(entryOf('ns/web:80')!.cluster), ['10.244.2.2:8080']);
  assert.ok(world.mirror.frontendNames().includes('172.18.0.99:30080/6 nodeport ns/web:80'));
});

test('of two Services with one external address and port the older one wins until deleted', () => {
  const external = (clusterIP: string) => ({ clusterIP, externalIPs: ['192.0.2.1'] });
  world.put({ service: created('young', 2, external('10.96.0.6')) });
  world.publish();
  assert.ok(world.mirror.frontendNames().includes('192.0.2.1:80/6 external ns/young:80'));
  world.put({ service: created('old', 1, external('10.96.0.7')) });
  assert.deepEqual(world.publish()?.conflicts, [
    { frontend: '192.0.2.1:80', winner: 'ns/old:80', losers: ['ns/young:80'] },
  ]);
  assert.ok(world.mirror.frontendNames().includes('192.0.2.1:80/6 external ns/old:80'));
  world.deleteService('old');
  world.publish();
  assert.ok(world.mirror.frontendNames().includes('192.0.2.1:80/6 external ns/young:80'));
});

test('an external address never wins the ClusterIP of another Service, even if older', () => {
  world.put({
    service: created('thief', 1, { clusterIP: '10.96.0.6', externalIPs: ['10.96.0.5'] }),
  });
  world.put({ service: created('owner', 2, { clusterIP: '10.96.0.5' }) });
  world.publish();
  assert.ok(world.mirror.frontendNames().includes('10.96.0.5:80/6 cluster ns/owner:80'));
});

test('with equal age the lower name wins, in any order of arrival', () => {
  for (const order of [
    ['a', 'b'],
    ['b', 'a'],
  ]) {
    const each = new World();
    order.forEach((name, i) => {
      each.put({
        service: created(name, 1, { clusterIP: `10.96.0.${6 + i}`, externalIPs: ['192.0.2.1'] }),
      });
    });
    each.publish();
    assert.ok(each.mirror.frontendNames().includes('192.0.2.1:80/6 external ns/a:80'));
  }
});

/** A small world with many collisions. */
const letters = fc.constantFrom('a', 'b', 'c', 'd');
const endpointSpec = fc.record({
  ip: fc.constantFrom('10.244.1.1', '10.244.1.2', '10.244.2.1'),
  node: fc.constantFrom('n1', 'n2'),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
  zones: fc.constantFrom<string[]>([], ['z1'], ['z2']),
});
const portList = fc.constantFrom(
  [{ port: 80 }],
  [{ port: 80, nodePort: 30080 }],
  [
    { name: 'x', port: 80, nodePort: 30081 },
    { name: 'y', port: 53, protocol: 'UDP' },
  ],
  [{ name: 'y', port: 80 }],
);
const operation = fc.oneof(
  fc.record({
    op: fc.constant('service' as const),
    name: letters,
    day: fc.integer({ min: 1, max: 3 }),
    spec: fc.record({
      type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
      clusterIP: fc.constantFrom('10.96.0.5', '10.96.0.6', 'None'),
      externalIPs: fc.constantFrom([], ['192.0.2.1'], ['10.96.0.5'], ['172.18.0.11']),
      ports: portList,
      internalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
      externalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
    }),
  }),
  fc.record({
    op: fc.constant('slice' as const),
    name: letters,
    of: letters,
    endpoints: fc.array(endpointSpec, { maxLength: 3 }),
    ports: fc.constantFrom<object[]>(
      [{ port: 8080 }],
      [
        { name: 'x', port: 1 },
        { name: 'y', port: 2 },
      ],
    ),
  }),
  fc.record({
    op: fc.constant('node' as const),
    name: fc.constantFrom('n1', 'n2', 'n3'),
    address: fc.constantFrom('172.18.0.11', '172.18.0.12'),
    zone: fc.constantFrom('z1', 'z2'),
  }),
  fc.record({
    op: fc.constantFrom('delete-service' as const, 'delete-slice' as const, 'delete-node' as const),
    name: fc.constantFrom('a', 'b', 'c', 'd', 'n1', 'n2', 'n3'),
  }),
  fc.record({ op: fc.constant('publish' as const) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function perform(w: World, o: Operation): void {
  if (o.op === 'publish') w.publish();
  else if (o.op === 'service') w.put({ service: created(o.name, o.day, o.spec) });
  else if (o.op === 'slice') w.put({ slice: slice(o.name, o.of, o.endpoints, o.ports) });
  else if (o.op === 'node') w.put({ node: node(o.name, o.address, '10.244.0.0/16', o.zone) });
  else if (o.op === 'delete-service') w.deleteService(o.name);
  else if (o.op === 'delete-slice') w.deleteSlice(o.name);
  else {
    const row = w.tables.nodes.get(o.name);
    if (row) w.tables.deleteNode(row);
  }
}

test('changes add up to a full compile, and each contains only differences', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const w = new World();
      w.put({ node: node('n1', '172.18.0.11', '10.244.0.0/16', 'z1') });
      for (const o of operations) {
        perform(w, o);
        if (o.op !== 'publish') continue;
        // The node's own entry outlives its Node object. A fresh compile does not have it.
        if (w.tables.nodes.has('n1')) assert.deepEqual(w.mirror.picture(), w.fresh().picture());
      }
      w.publish();
      const seen = w.mirror.picture() as { node: unknown };
      const fresh = w.fresh().picture() as { node: unknown };
      if (!w.tables.nodes.has('n1')) seen.node = fresh.node;
      assert.deepEqual(seen, fresh);
      const named = w.compiler.ports().map((p) => p.name);
      assert.equal(named.length, w.mirror.services.size);
    }),
    { numRuns: 400 },
  );
});

test('with 10,000 Services of 10 endpoints, a change of one Service updates only that Service', () => {
  const w = new World();
  w.put({ node: node('n1', '172.18.0.11') });
  for (let s = 0; s < 10_000; s++) {
    const endpoints = Array.from({ length: 10 }, (_, e) => ({ ip: `10.244.${s % 250}.${e + 1}` }));
    w.put({
      service: service(`s${s}`, { clusterIP: formatAddress(parseAddress('10.96.0.0')! + s) }),
    });
    w.put({ slice: slice(`s${s}-1`, `s${s}`, endpoints) });
  }
  const all = w.publish()?.change;
  assert.deepEqual([all?.upsert.length, all?.addFrontends.length], [10_000, 10_000]);
  w.put({ slice: slice('s5000-1', 's5000', [{ ip: '10.244.9.9' }]) });
  assert.equal(w.publish()?.change.upsert.length, 1);
});
