import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeObject } from '../../../../control/kube/decode.ts';
import { readNode, requirePodRanges } from '../../../../control/model/node.ts';
import type { ServiceRow } from '../../../../control/model/rows.ts';
import { readService } from '../../../../control/model/service.ts';
import { readSlice } from '../../../../control/model/slice.ts';
import { formatAddress } from '../../../../datapath/wire/address.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';
import { node, service, slice } from './objects.ts';

const NOT_CAPTURED: [string, object, object?][] = [
  ['headless', { clusterIP: 'None' }],
  ['not allocated yet', { clusterIP: '' }],
  ['ExternalName', { type: 'ExternalName', externalName: 'a.example' }],
  [
    'another proxy',
    {},
    { metadata: { name: 's', labels: { 'service.kubernetes.io/service-proxy-name': 'x' } } },
  ],
  [
    'the headless label',
    {},
    { metadata: { name: 's', labels: { 'service.kubernetes.io/headless': '' } } },
  ],
];

for (const [name, spec, rest] of NOT_CAPTURED) {
  test(`captures nothing of a Service: ${name}`, () => {
    assert.deepEqual(readService(service('s', spec, rest)).ports, []);
  });
}

test('ports keep name, number, protocol and, where the type has them, NodePorts', () => {
  const ports = [
    { name: 'web', port: 80, nodePort: 30080 },
    { name: 'dns', port: 53, protocol: 'UDP', nodePort: 30053 },
    { name: 's', port: 7, protocol: 'SCTP' },
    { name: 'odd', port: 9, protocol: 'DCCP' },
  ];
  assert.deepEqual(readService(service('s', { type: 'NodePort', ports })).ports, [
    { name: 'web', number: 80, proto: PROTO_TCP, nodePort: 30080 },
    { name: 'dns', number: 53, proto: PROTO_UDP, nodePort: 30053 },
    { name: 's', number: 7, proto: PROTO_SCTP, nodePort: 0 },
  ]);
  const plain = readService(service('s', { type: 'ClusterIP', ports }));
  assert.deepEqual(
    plain.ports.map((p) => p.nodePort),
    [0, 0, 0],
  );
});

function addressesOf(row: ServiceRow): Record<string, string[]> {
  return {
    cluster: row.clusterAddresses.map(formatAddress),
    external: row.externalAddresses.map(formatAddress),
    loadBalancer: row.loadBalancerAddresses.map(formatAddress),
  };
}

test('captured addresses: ClusterIPs, externalIPs, load balancer IPs unless ipMode is Proxy; IPv4 only', () => {
  const row = readService(
    service(
      's',
      {
        type: 'LoadBalancer',
        clusterIP: '10.96.0.5',
        clusterIPs: ['10.96.0.5', 'fd00::5'],
        externalIPs: ['192.0.2.1', 'not an address', '2001:db8::1'],
      },
      {
        status: {
          loadBalancer: {
            ingress: [
              { ip: '198.51.100.1' },
              { ip: '198.51.100.2', ipMode: 'VIP' },
              { ip: '198.51.100.3', ipMode: 'Proxy' },
              { ip: '198.51.100.4', ipMode: 'Else' },
              { hostname: 'lb.example' },
            ],
          },
        },
      },
    ),
  );
  assert.deepEqual(addressesOf(row), {
    cluster: ['10.96.0.5'],
    external: ['192.0.2.1'],
    loadBalancer: ['198.51.100.1', '198.51.100.2'],
  });
});

test('policies and affinity', () => {
  const plain = readService(service('s'));
  assert.deepEqual([plain.internalLocal, plain.externalLocal, plain.affinityS], [false, false, 0]);
  const local = readService(
    service('s', {
      internalTrafficPolicy: 'Local',
      externalTrafficPolicy: 'Local',
      sessionAffinity: 'ClientIP',
    }),
  );
  assert.deepEqual(
    [local.internalLocal, local.externalLocal, local.affinityS],
    [true, true, 10_800],
  );
  const sessionAffinityConfig = { clientIP: { timeoutSeconds: 60 } };
  const short = readService(service('s', { sessionAffinity: 'ClientIP', sessionAffinityConfig }));
  assert.equal(short.affinityS, 60);
});

const SOURCE_RANGES: [string[], string[]][] = [
  [[], []],
  [
    [' 10.1.2.3/8 ', '192.0.2.0/24'],
    ['10.0.0.0/255.0.0.0', '192.0.2.0/255.255.255.0'],
  ],
  [['0.0.0.0/0'], ['0.0.0.0/0.0.0.0']],
  [['2001:db8::/32'], []],
  [['10.0.0.0/33'], ['255.255.255.255/255.255.255.255']],
  [['nonsense', '10.0.0.0/8'], ['10.0.0.0/255.0.0.0']],
];

for (const [texts, expected] of SOURCE_RANGES) {
  test(`loadBalancerSourceRanges ${JSON.stringify(texts)}`, () => {
    const pairs = readService(service('s', { loadBalancerSourceRanges: texts })).sourceRanges;
    const seen: string[] = [];
    for (let i = 0; i < pairs.length; i += 2) {
      seen.push(`${formatAddress(pairs[i]!)}/${formatAddress(pairs[i + 1]!)}`);
    }
    assert.deepEqual(seen, expected);
  });
}

test('a slice: absent conditions mean ready, serving, not terminating; the label names the Service', () => {
  const row = readSlice(slice('x-1', 'web', [{ ip: '10.244.1.2', node: 'n1', zones: ['a'] }]));
  assert.equal(row.serviceKey, 'ns/web');
  assert.deepEqual(row.ports, [{ name: '', number: 8080, proto: PROTO_TCP }]);
  const [endpoint] = row.endpoints;
  assert.deepEqual(
    { ...endpoint, address: formatAddress(endpoint?.address ?? 0) },
    {
      address: '10.244.1.2',
      nodeName: 'n1',
      ready: true,
      serving: true,
      terminating: false,
      hintZones: ['a'],
      hintNodes: [],
    },
  );
});

test('a slice without a Service or of IPv6 has no endpoints', () => {
  const orphan = slice('x', 'web', [{ ip: '10.244.1.2' }]);
  orphan.metadata = { namespace: 'ns', name: 'x' };
  assert.equal(readSlice(orphan).serviceKey, '');
  const six = slice('x', 'web', [{ ip: 'fd00::1' }]);
  six.addressType = 'IPv6';
  assert.deepEqual(readSlice(six).endpoints, []);
});

test('a node: InternalIPs, pod ranges without duplicates, zone', () => {
  const row = readNode(node('n1', '172.18.0.11', '10.244.1.0/24', 'z1'));
  assert.deepEqual(row.addresses.map(formatAddress), ['172.18.0.11']);
  assert.deepEqual(
    row.podRanges.map((r) => `${formatAddress(r.address)}/${r.mask}`),
    ['10.244.1.0/-256'],
  );
  assert.equal(row.zone, 'z1');
  assert.deepEqual(readNode({ metadata: { name: 'bare' } } as never).addresses, []);
});

test('a pod range wider than /8 is refused by name, and readers leave it out', () => {
  for (const cidr of ['0.0.0.0/0', '10.0.0.0/7', '128.0.0.0/1']) {
    const wide = node('n1', '172.18.0.11', cidr);
    assert.throws(() => requirePodRanges(wide), new RegExp(`podCIDR: ${cidr} is too wide`));
    assert.deepEqual(readNode(wide).podRanges, []);
  }
  const narrow = node('n1', '172.18.0.11', '10.0.0.0/8');
  requirePodRanges(narrow);
  assert.equal(readNode(narrow).podRanges.length, 1);
});

test('the steered address of a node comes before the addresses in its Node object', () => {
  const rowOf = (steered: string, address = '172.18.0.99') => {
    const object = node('n1', address);
    object.metadata!.annotations = { 'kubetun.dev/steered-address': steered };
    return readNode(object).addresses.map(formatAddress);
  };
  assert.deepEqual(rowOf('172.18.0.11'), ['172.18.0.11', '172.18.0.99']);
  assert.deepEqual(rowOf('172.18.0.11', ''), ['172.18.0.11']);
  assert.deepEqual(rowOf('172.18.0.99'), ['172.18.0.99']);
  assert.deepEqual(rowOf('no address'), ['172.18.0.99']);
});

test('conditions that are absent, or a null that is decoded, mean ready, serving and not terminating', () => {
  const object = slice('a', 'web', [{ ip: '10.244.1.2' }]);
  for (const conditions of [undefined, {}, { ready: null, serving: null, terminating: null }]) {
    Object.assign(object.endpoints![0]!, { conditions });
    decodeObject('EndpointSlice', object);
    const { ready, serving, terminating } = readSlice(object).endpoints[0]!;
    assert.deepEqual(
      { ready, serving, terminating },
      { ready: true, serving: true, terminating: false },
    );
  }
});

test('a slice of another address family has no endpoints, whatever its addresses', () => {
  const object = slice('a', 'web', [{ ip: '10.244.1.2' }]);
  for (const addressType of ['IPv6', 'FQDN']) {
    const { endpoints, ports } = readSlice({ ...object, addressType });
    assert.deepEqual([endpoints, ports], [[], []]);
  }
});
