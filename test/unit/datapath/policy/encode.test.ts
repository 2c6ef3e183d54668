import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findEntry, NO_ENTRY } from '../../../../datapath/map.ts';
import { encodeRules } from '../../../../datapath/policy/encode.ts';
import { PREFIX_PEER, RULES_PREFIXES } from '../../../../datapath/policy/layout.ts';
import type { PolicyPorts, PolicyRules } from '../../../../datapath/policy/policy.ts';
import { finish } from '../../../../datapath/steps.ts';
import { collidingAddresses, publicHash } from '../../../support/colliding.ts';

const SEED = 99;
const rulesOf = (o: Partial<PolicyRules>): PolicyRules => ({
  ...{ subjects: [], pairs: [], portSets: [], prefixes: [], names: [] },
  ...o,
});

test('66 blocks that collide in 25 bits of the public hash take as much room as others', () => {
  const addresses = collidingAddresses(66, 32);
  const low = new Set(addresses.map((a) => publicHash(a, 32) & 0x1ff_ffff));
  assert.deepEqual([new Set(addresses).size, low.size], [66, 1], 'they do collide');
  const prefixes = addresses.map((address, n) => ({ address, length: 32, peer: 3 + n }));
  const plain = addresses.map((_, n) => ({ address: 0x0b00_0000 + n, length: 32, peer: 3 + n }));
  const words = finish(encodeRules(rulesOf({ prefixes }), SEED));
  assert.ok(words.length <= 2 * finish(encodeRules(rulesOf({ prefixes: plain }), SEED)).length);
  for (const { address, peer } of prefixes) {
    const at = findEntry(words, words[RULES_PREFIXES]!, address, 33);
    assert.notEqual(at, NO_ENTRY);
    assert.equal(words[at + PREFIX_PEER], peer);
  }
});

test('overlapping port ranges cost n log n reads, not n squared', () => {
  let reads = 0;
  const readsFor = (count: number) => {
    const ports = Array.from({ length: count }, (_, n) => ({
      ...{ proto: 6, policy: 1, rule: 0, audited: false },
      get first() {
        reads++;
        return n;
      },
      get last() {
        reads++;
        return n + count;
      },
    }));
    reads = 0;
    finish(encodeRules(rulesOf({ portSets: [ports as PolicyPorts[]] }), SEED));
    return reads;
  };
  const [small, large] = [readsFor(500), readsFor(2000)];
  assert.ok(large < small * 6, `${small} reads, then ${large}`);
});
