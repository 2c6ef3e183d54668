import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ruleset } from '../../../../control/nftables/ruleset.ts';
import {
  FRONTEND_CLUSTER,
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  FRONTEND_NODEPORT,
  type ImageChange,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
} from '../../../../datapath/image/image.ts';
import { PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';
import {
  addr,
  change,
  frontend,
  NODE,
  NODE_ENTRY,
  pairs,
  service,
} from '../../../support/datapath.ts';

const A = '10.244.1.5';
const B = '10.244.2.7';
const NONE = new Int32Array(0);
const MARK = 'meta mark set meta mark | 0x4000';
const OUTSIDE = `ip saddr != @pods ${MARK}`;

/** The commands for a change after the first one, without the table's name. */
function commandsOf(ruleset: Ruleset, next: Partial<ImageChange>): string[] {
  ruleset.take(change(next));
  return ruleset.changes().map((line) => line.replace(' ip kubetun ', ' '));
}

function started(first: Partial<ImageChange> = {}): Ruleset {
  const ruleset = new Ruleset();
  ruleset.take(change({ node: NODE_ENTRY, ...first }));
  ruleset.whole();
  return ruleset;
}

/** Rules of one chain of a whole table. */
function chain(first: Partial<ImageChange>, name: string): string[] {
  const ruleset = new Ruleset();
  ruleset.take(change({ node: NODE_ENTRY, ...first }));
  const begin = `add rule ip kubetun ${name} `;
  return ruleset
    .whole()
    .filter((line) => line.startsWith(begin))
    .map((line) => line.slice(begin.length));
}

/** Elements of one set or map of a whole table. */
function elements(first: Partial<ImageChange>, name: string): string[] {
  const ruleset = new Ruleset();
  ruleset.take(change({ node: NODE_ENTRY, ...first }));
  const begin = `add element ip kubetun ${name} { `;
  const line = ruleset.whole().find((text) => text.startsWith(begin));
  return line ? line.slice(begin.length, -2).split(', ') : [];
}

test('a ClusterIP leads to its endpoint, masqueraded from outside the pod ranges', () => {
  const first = {
    upsert: [service(1, { cluster: pairs(`${A}:8080`) })],
    addFrontends: [frontend('10.96.0.1:80', 1)],
  };
  assert.deepEqual(chain(first, 'cluster/default/web1/80/tcp'), [
    OUTSIDE,
    'meta l4proto tcp dnat ip to 10.244.1.5:8080',
  ]);
  assert.deepEqual(elements(first, 'frontends'), [
    '10.96.0.1 . tcp . 80 : goto cluster/default/web1/80/tcp',
  ]);
  assert.deepEqual(elements(first, 'known'), ['10.96.0.1']);
  assert.deepEqual(elements(first, 'denials'), []);
  assert.deepEqual(chain(first, 'external/default/web1/80/tcp'), []);
});

test('several endpoints have consecutive keys of a map, from an offset given by the id', () => {
  const first = {
    upsert: [service(300, { cluster: pairs(`${A}:1`, `${B}:2`), proto: PROTO_UDP })],
    addFrontends: [frontend('10.96.0.1:80', 300, FRONTEND_EXTERNAL, PROTO_UDP)],
  };
  assert.deepEqual(chain(first, 'external/default/web300/80/udp'), [
    MARK,
    'meta l4proto udp dnat ip to numgen random mod 2 offset 9830400 map @udp-backends44',
  ]);
  assert.deepEqual(elements(first, 'udp-backends44'), [
    '9830400 : 10.244.1.5 . 1',
    '9830401 : 10.244.2.7 . 2',
  ]);
  assert.deepEqual(elements(first, 'hairpins'), [`${A} . ${A}`, `${B} . ${B}`]);
});

test('externalTrafficPolicy Local does not apply to pods and the node', () => {
  const first = {
    upsert: [
      service(1, {
        flags: SERVICE_FLAG_EXTERNAL_LOCAL,
        cluster: pairs(`${B}:80`),
        local: pairs(`${A}:80`),
      }),
    ],
    addFrontends: [frontend(`${NODE}:30080`, 1, FRONTEND_NODEPORT)],
  };
  assert.deepEqual(chain(first, 'external/default/web1/80/tcp'), [
    'ip saddr @pods goto inside/default/web1/80/tcp',
    'ip saddr @own goto inside/default/web1/80/tcp',
    `meta l4proto tcp dnat ip to ${A}:80`,
  ]);
  assert.deepEqual(chain(first, 'inside/default/web1/80/tcp'), [
    OUTSIDE,
    `meta l4proto tcp dnat ip to ${B}:80`,
  ]);
});

const DENIALS: [what: string, entry: object, kind: number, denial: string[]][] = [
  ['no endpoint at all: refused as a known address', { cluster: NONE }, FRONTEND_CLUSTER, []],
  [
    'internal Local with endpoints elsewhere',
    { flags: SERVICE_FLAG_INTERNAL_LOCAL },
    FRONTEND_CLUSTER,
    ['goto deny'],
  ],
  [
    'external Local with endpoints elsewhere',
    { flags: SERVICE_FLAG_EXTERNAL_LOCAL },
    FRONTEND_EXTERNAL,
    ['goto deny'],
  ],
  [
    'internal Local does not apply to external addresses',
    { flags: SERVICE_FLAG_INTERNAL_LOCAL },
    FRONTEND_EXTERNAL,
    [],
  ],
  [
    'source ranges of a load balancer address',
    { sourceRanges: Int32Array.of(addr('192.0.2.0'), -256) },
    FRONTEND_LOADBALANCER,
    ['goto deny'],
  ],
  [
    'source ranges without an endpoint: only clients in the ranges are refused',
    { sourceRanges: Int32Array.of(addr('192.0.2.0'), -256), cluster: NONE },
    FRONTEND_LOADBALANCER,
    ['goto denied/default/web1/80/tcp'],
  ],
  [
    'source ranges do not apply to external addresses',
    { sourceRanges: Int32Array.of(addr('192.0.2.0'), -256) },
    FRONTEND_EXTERNAL,
    [],
  ],
];
for (const [what, entry, kind, denial] of DENIALS) {
  test(`without an endpoint: ${what}`, () => {
    const first = {
      upsert: [service(1, entry)],
      addFrontends: [frontend('10.96.0.1:80', 1, kind)],
    };
    assert.deepEqual(
      elements(first, 'denials'),
      denial.map((verdict) => `10.96.0.1 . tcp . 80 : ${verdict}`),
    );
  });
}

test('a NodePort without an endpoint is refused, but not the other ports of the node', () => {
  const first = {
    upsert: [service(1, { cluster: NONE })],
    addFrontends: [frontend(`${NODE}:30080`, 1, FRONTEND_NODEPORT)],
  };
  assert.deepEqual(elements(first, 'denials'), [`${NODE} . tcp . 30080 : goto refuse`]);
  assert.deepEqual(elements(first, 'known'), []);
});

test('nested source ranges are left out, because nft refuses overlaps', () => {
  const sourceRanges = Int32Array.of(addr('10.0.0.0'), -(2 ** 24), addr('10.1.0.0'), -65_536);
  const first = {
    upsert: [service(1, { sourceRanges })],
    addFrontends: [frontend('198.51.100.9:80', 1, FRONTEND_LOADBALANCER)],
  };
  assert.deepEqual(chain(first, 'ranged/default/web1/80/tcp'), [
    'ip saddr != { 10.0.0.0/8 } accept',
    'goto external/default/web1/80/tcp',
  ]);
});

test('affinity: the endpoint that remembers the client, else any, which then remembers it', () => {
  const first = {
    upsert: [service(1, { affinityS: 60, cluster: pairs(`${A}:80`, `${B}:80`) })],
    addFrontends: [frontend('10.96.0.1:80', 1)],
  };
  const [a, b] = [A, B].map((address) => `default/web1/80/tcp/${address}/80`);
  assert.deepEqual(chain(first, 'cluster/default/web1/80/tcp'), [
    OUTSIDE,
    `ip saddr @clients/${a} goto endpoint/${a}`,
    `ip saddr @clients/${b} goto endpoint/${b}`,
    `numgen random mod 2 vmap { 0 : goto endpoint/${a}, 1 : goto endpoint/${b} }`,
  ]);
  assert.deepEqual(chain(first, `endpoint/${a}`), [
    `update @clients/${a} { ip saddr timeout 60s }`,
    `meta l4proto tcp dnat ip to ${A}:80`,
  ]);
});

test('a change of endpoints rewrites the chain and the elements of its Service, and nothing else', () => {
  const two = [service(1, { cluster: pairs(`${A}:80`, `${B}:80`) }), service(2)];
  const ruleset = started({
    upsert: two,
    addFrontends: [frontend('10.96.0.1:80', 1), frontend('10.96.0.2:80', 2)],
  });
  const upsert = [service(1, { cluster: pairs(`${A}:80`, '10.244.2.8:80') })];
  assert.deepEqual(commandsOf(ruleset, { upsert }), [
    'delete element tcp-backends1 { 32769 : 10.244.2.7 . 80 }',
    'add element tcp-backends1 { 32769 : 10.244.2.8 . 80 }',
    'add element hairpins { 10.244.2.8 . 10.244.2.8 }',
  ]);
  assert.deepEqual(commandsOf(ruleset, { upsert }), []);
});

test('removing a Service deletes its elements, then its chains, then its sets', () => {
  const ruleset = started({
    upsert: [service(1, { affinityS: 60 })],
    addFrontends: [frontend('10.96.0.1:80', 1)],
  });
  const gone = commandsOf(ruleset, {
    remove: [1],
    removeFrontends: [frontend('10.96.0.1:80', 1)],
  });
  const verbs = gone.map((line) => line.split(' ').slice(0, 2).join(' '));
  assert.deepEqual(
    [...new Set(verbs)],
    ['delete element', 'flush chain', 'delete chain', 'delete set'],
  );
  assert.equal(verbs.filter((verb) => verb === 'delete chain').length, 2);
  assert.deepEqual(commandsOf(ruleset, {}), []);
});

test('a frontend moves to another Service in one transaction', () => {
  const ruleset = started({
    upsert: [service(1), service(2)],
    addFrontends: [frontend('10.96.0.1:80', 1), frontend('10.96.0.2:80', 2)],
  });
  const lines = commandsOf(ruleset, {
    removeFrontends: [frontend('10.96.0.1:80', 1)],
    addFrontends: [frontend('10.96.0.1:80', 2)],
  });
  assert.deepEqual(
    lines.filter((line) => line.includes('element')),
    [
      'delete element frontends { 10.96.0.1 . tcp . 80 : goto cluster/default/web1/80/tcp }',
      'add element frontends { 10.96.0.1 . tcp . 80 : goto cluster/default/web2/80/tcp }',
    ],
  );
});

test('a new node of the cluster changes one set', () => {
  const ruleset = started({
    upsert: [service(1)],
    addFrontends: [frontend('10.96.0.1:80', 1)],
  });
  const nodeAddresses = [...NODE_ENTRY.nodeAddresses, addr('172.18.0.13')];
  assert.deepEqual(commandsOf(ruleset, { node: { ...NODE_ENTRY, nodeAddresses } }), [
    'add element nodes { 172.18.0.13 }',
  ]);
});
