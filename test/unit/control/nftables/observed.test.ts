import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffTables, parseTable } from '../../../../control/nftables/observed.ts';

const family = { family: 'ip', table: 'kubetun' };
const rule = (handle: number, ...expr: object[]) => ({
  rule: { ...family, chain: 'nat', handle, expr },
});
const vmap = (...set: unknown[]) => ({ vmap: { key: 'numgen', data: { set } } });
const map = (handle: number, ...elem: unknown[]) => ({
  map: { ...family, name: 'frontends', handle, type: 'ipv4_addr', map: 'verdict', elem },
});
const clients = (...elem: unknown[]) => ({
  set: { ...family, name: 'clients', handle: 3, type: 'ipv4_addr', flags: ['dynamic'], elem },
});
const table = (...nftables: object[]) => parseTable(JSON.stringify({ nftables }));

const CHAIN = { chain: { ...family, name: 'nat', handle: 1 } };
const A = ['10.96.0.1', { goto: { target: 'a' } }];
const B = ['10.96.0.2', { goto: { target: 'b' } }];
const TABLE = table(map(2, A, B), clients(), CHAIN, rule(4, { accept: null }), rule(5, vmap(1, 2)));

test('ignores handles, the order of elements and remembered clients', () => {
  const same = table(
    ...[map(12, B, A), clients('10.244.1.2'), { chain: { ...family, name: 'nat', handle: 11 } }],
    ...[rule(14, { accept: null }), rule(15, vmap(2, 1))],
  );
  assert.deepEqual(diffTables(same, TABLE), []);
  assert.equal(TABLE.get('chain nat')?.count, 2);
  assert.equal(TABLE.get('map frontends')?.count, 2);
});

const CHANGES: [string, object[], string[]][] = [
  ['a replaced rule', [rule(4, { drop: null }), rule(5, vmap(1, 2))], ['chain nat']],
  ['rules in another order', [rule(5, vmap(1, 2)), rule(4, { accept: null })], ['chain nat']],
  ['another choice', [rule(4, { accept: null }), rule(5, vmap(1, 3))], ['chain nat']],
];
for (const [what, rules, names] of CHANGES) {
  test(`finds ${what} although the number of rules is equal`, () => {
    const changed = table(map(2, A, B), clients(), CHAIN, ...rules);
    assert.deepEqual(
      diffTables(changed, TABLE),
      names.map((name) => `${name} has other content`),
    );
  });
}

test('names a replaced element, a missing chain and a foreign chain', () => {
  const stray = { chain: { ...family, name: 'stray', handle: 9 } };
  const changed = table(map(2, A, ['10.96.0.2', { goto: { target: 'a' } }]), clients(), stray);
  assert.deepEqual(diffTables(changed, TABLE), [
    'map frontends has other content',
    'chain nat has other content',
    'chain stray does not belong to the table',
  ]);
});
