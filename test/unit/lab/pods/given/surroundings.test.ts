import assert from 'node:assert/strict';
import { test } from 'node:test';
import { candidatesOf, resolverOf, resolverText } from '../../../../../control/dns/resolver.ts';
import type { Pod } from '../../../../../control/kube/kinds.ts';
import { surroundingsOf } from '../../../../../lab/pods/given/surroundings.ts';

type Spec = Partial<NonNullable<Pod['spec']>>;

const MACHINE = 'nameserver 192.0.2.1\n# no\nsearch example.com\noptions edns0\n';

function pod(spec: Spec, name = 'web'): Pod {
  return { metadata: { name, namespace: 'shop' }, spec: { containers: [], ...spec } };
}

function surroundings(spec: Spec, name?: string) {
  const node = { name: 'node1', namespace: 'lab-node1' };
  const place = { lab: 'lab', dnsAddress: '10.96.0.10', address: '10.244.1.2', node };
  return surroundingsOf(pod(spec, name), place);
}

const CLUSTER = [
  'nameserver 10.96.0.10',
  'search shop.svc.cluster.local svc.cluster.local cluster.local',
  'options ndots:5',
];
const OF_MACHINE = ['nameserver 192.0.2.1', 'search example.com', 'options edns0'];
const CONFIG = {
  nameservers: ['192.0.2.9'],
  searches: ['own.example'],
  options: [{ name: 'ndots', value: '2' }, { name: 'rotate' }],
};

const ROWS: [what: string, spec: Spec, lines: string[]][] = [
  ['looks names up in its own namespace first', {}, CLUSTER],
  ['has the resolver of its node with dnsPolicy Default', { dnsPolicy: 'Default' }, OF_MACHINE],
  ['has the resolver of its node on the host network', { hostNetwork: true }, OF_MACHINE],
  [
    'with hostNetwork uses the cluster with ClusterFirstWithHostNet',
    { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' },
    CLUSTER,
  ],
  [
    'has only its own settings with dnsPolicy None',
    { dnsPolicy: 'None', dnsConfig: CONFIG },
    ['nameserver 192.0.2.9', 'search own.example', 'options ndots:2 rotate'],
  ],
  [
    'has the cluster settings and its own, which take precedence',
    { dnsConfig: CONFIG },
    [
      'nameserver 10.96.0.10',
      'nameserver 192.0.2.9',
      'search shop.svc.cluster.local svc.cluster.local cluster.local own.example',
      'options ndots:2 rotate',
    ],
  ],
];
for (const [what, spec, lines] of ROWS) {
  test(`a pod ${what}`, () => {
    const text = resolverText(resolverOf(pod(spec), '10.96.0.10', MACHINE));
    assert.equal(text, `${lines.join('\n')}\n`);
  });
}

const SEARCHED: [what: string, spec: Spec, name: string, asked: string][] = [
  [
    'searches first for a name with few dots',
    {},
    'web.db',
    'web.db.shop.svc.cluster.local. web.db.svc.cluster.local. web.db.cluster.local. web.db.',
  ],
  [
    'asks a name with ndots dots as it is first',
    { dnsConfig: { options: [{ name: 'ndots', value: '1' }] } },
    'web.db',
    'web.db. web.db.shop.svc.cluster.local. web.db.svc.cluster.local. web.db.cluster.local.',
  ],
  ['asks a name with a dot at its end alone', {}, 'web.db.', 'web.db.'],
  [
    'has one dot as its limit without an option',
    { dnsPolicy: 'None', dnsConfig: { nameservers: ['192.0.2.9'], searches: ['own.example.'] } },
    'web',
    'web.own.example. web.',
  ],
];
for (const [what, spec, name, asked] of SEARCHED) {
  test(`the resolver of a pod ${what}`, () => {
    assert.equal(candidatesOf(resolverOf(pod(spec), '10.96.0.10', MACHINE), name).join(' '), asked);
  });
}

test('a pod has its own name, network and address', () => {
  const { hostname, netns, hosts, hostNetwork } = surroundings({});
  assert.deepEqual([hostname, netns, hostNetwork], ['web', 'lab-pod-shop-web', false]);
  assert.match(hosts, /^127\.0\.0\.1\tlocalhost\n10\.244\.1\.2\tweb\n$/m);
});

test('a pod with a subdomain has a full name', () => {
  const spec = { hostname: 'a', subdomain: 'db' };
  assert.match(surroundings(spec).hosts, /^10\.244\.1\.2\ta\.db\.shop\.svc\.cluster\.local\ta$/m);
  assert.equal(surroundings(spec).hostname, 'a');
  const full = surroundings({ ...spec, setHostnameAsFQDN: true });
  assert.equal(full.hostname, 'a.db.shop.svc.cluster.local');
});

test('aliases follow in order', () => {
  const hostAliases = [{ ip: '192.0.2.5', hostnames: ['x', 'y'] }, { ip: '192.0.2.6' }];
  const { hosts } = surroundings({ hostAliases });
  assert.match(hosts, /\n# Entries added by HostAliases\.\n192\.0\.2\.5\tx\ty\n192\.0\.2\.6\n$/);
});

test("a pod in its node's network has the node's name", () => {
  const { hostname, netns, hostNetwork } = surroundings({ hostNetwork: true, hostname: 'a' });
  assert.deepEqual([hostname, netns, hostNetwork], ['node1', 'lab-node1', true]);
});

test('cuts a long host name without a trailing separator', () => {
  assert.equal(surroundings({}, `${'a'.repeat(62)}-bcd`).hostname, 'a'.repeat(62));
});
