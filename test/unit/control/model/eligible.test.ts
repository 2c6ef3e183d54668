import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eligibleCluster, eligibleLocal, endpointsOf } from '../../../../control/model/eligible.ts';
import type { ServicePortRow } from '../../../../control/model/rows.ts';
import { readSlice } from '../../../../control/model/slice.ts';
import { PROTO_TCP, PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';

import { type EndpointSpec, slice } from './objects.ts';

const HERE = { nodeName: 'here', zone: 'z1' };
const PORT: ServicePortRow = { name: '', number: 80, proto: PROTO_TCP, nodePort: 0 };

/**
 * `a1` is endpoint a on this node in zone z1, `b2` endpoint b elsewhere in zone z2. After it: `-`
 * not ready, `t` terminating and serving, `T` terminating and not serving; hints: `@z1,z2` zones,
 * `%here` nodes.
 */
function endpoint(text: string): EndpointSpec & { label: string } {
  const [, letter, place, state, zones, nodes] =
    /^([a-z])([12])([-tT]?)(?:@([\w,]*))?(?:%([\w,]*))?$/.exec(text)!;
  return {
    label: `${letter}${place}`,
    ip: `10.0.${place}.${letter!.charCodeAt(0)}`,
    node: place === '1' ? 'here' : 'there',
    ready: state === '',
    serving: state === '' || state === 't',
    terminating: state === 't' || state === 'T',
    zones: zones?.split(',').filter(Boolean),
    nodes: nodes?.split(',').filter(Boolean),
  };
}

function pick(endpoints: string[], local: boolean, place = HERE): string {
  const specs = endpoints.map(endpoint);
  const labels = new Map(specs.map((s) => [s.ip, s.label]));
  const rows = specs.map(({ label: _, ...spec }) => spec);
  const all = endpointsOf(PORT, [readSlice(slice('s-1', 's', rows))]);
  const chosen = local ? eligibleLocal(all, place) : eligibleCluster(all, place);
  return chosen
    .map(({ row }) => labels.get(`10.0.${(row.address >> 8) & 255}.${row.address & 255}`))
    .sort()
    .join(' ');
}

/** [what, endpoints, eligible for Cluster, eligible for Local] */
const TABLE: [string, string, string, string][] = [
  ['none', '', '', ''],
  ['all ready', 'a1 b1 c2', 'a1 b1 c2', 'a1 b1'],
  ['leaves out unready endpoints', 'a1- b1 c2', 'b1 c2', 'b1'],
  ['none ready, none terminating', 'a1- b2-', '', ''],
  ['ready endpoints come before terminating ones', 'a1t b2', 'b2', 'a1'],
  ['none ready: terminating and serving', 'a1t b2t', 'a1 b2', 'a1'],
  ['leaves out terminating endpoints that do not serve', 'a1T b2t', 'b2', ''],
  ['only remote ones', 'a2 b2', 'a2 b2', ''],
  ['Local is separate: fallback here, ready elsewhere', 'a1t b1- c2', 'c2', 'a1'],
  ['zone hints match', 'a1@z1 b2@z2 c2@z1', 'a1 c2', 'a1'],
  ['zone hints of several zones', 'a1@z2 b2@z1,z2', 'b2', 'a1'],
  ['one ready endpoint without hints: all', 'a1@z1 b2@z2 c2', 'a1 b2 c2', 'a1'],
  ['no hint matches: all', 'a1@z3 b2@z2', 'a1 b2', 'a1'],
  ['unready endpoints do not count for hints', 'a1@z1 b2@z2 c2-', 'a1', 'a1'],
  ['a hint of an unready endpoint does not count', 'a1-@z1 b2@z2', 'b2', ''],
  ['node hints go before zone hints', 'a1@z1%there b2@z1%here', 'b2', 'a1'],
  ['node hints for other nodes only: zones decide', 'a1@z1%there b2@z2%there', 'a1', 'a1'],
  ['node hints on some only: zones decide', 'a1@z2%here b2@z1', 'b2', 'a1'],
  ['hints do not matter for the fallback', 'a1t@z2 b2t@z1', 'a1 b2', 'a1'],
];

for (const [what, endpoints, cluster, local] of TABLE) {
  const list = endpoints.split(' ').filter(Boolean);
  test(`eligible, ${what}: [${endpoints}]`, () => {
    assert.equal(pick(list, false), cluster);
    assert.equal(pick(list, true), local);
  });
}

test('a node without a zone ignores zone hints', () => {
  const nowhere = { nodeName: 'here', zone: '' };
  assert.equal(pick(['a1@z1', 'b2@z2'], false, nowhere), 'a1 b2');
});

function union(port: Partial<ServicePortRow>, ...slices: Parameters<typeof slice>[]): string[] {
  const rows = slices.map((args) => readSlice(slice(...args)));
  return endpointsOf({ ...PORT, ...port }, rows).map(
    (e) => `${e.row.address & 255}:${e.port}${e.row.ready ? '' : '-'}`,
  );
}

test('several slices are a union in the order of addresses', () => {
  assert.deepEqual(
    union(
      {},
      ['x', 's', [{ ip: '10.0.0.9' }, { ip: '10.0.0.1' }]],
      ['y', 's', [{ ip: '10.0.0.5' }]],
    ),
    ['1:8080', '5:8080', '9:8080'],
  );
});

test('an endpoint is ready if it is ready in any slice, in any order', () => {
  const no: Parameters<typeof slice> = ['x', 's', [{ ip: '10.0.0.1', ready: false }]];
  const yes: Parameters<typeof slice> = ['y', 's', [{ ip: '10.0.0.1' }]];
  assert.deepEqual(union({}, no, yes), ['1:8080']);
  assert.deepEqual(union({}, yes, no), ['1:8080']);
});

test('ports are matched by name and protocol, and each slice has its own number', () => {
  const ports = [
    { name: 'web', port: 1 },
    { name: 'dns', port: 2 },
    { name: 'dns', port: 3, protocol: 'UDP' },
    { name: 'any' },
  ];
  const one: Parameters<typeof slice> = ['x', 's', [{ ip: '10.0.0.1' }], ports];
  const two: Parameters<typeof slice> = [
    'y',
    's',
    [{ ip: '10.0.0.2' }],
    [{ name: 'web', port: 7 }],
  ];
  assert.deepEqual(union({ name: 'web' }, one, two), ['1:1', '2:7']);
  assert.deepEqual(union({ name: 'dns', proto: PROTO_UDP }, one, two), ['1:3']);
  assert.deepEqual(union({ name: 'any' }, one, two), []);
  assert.deepEqual(union({ name: '' }, one, two), []);
});
