// Runs rows of YAML files through compile and pipeline; row.ts has the format.
// test/e2e/scenarios.test.ts sends the same rows as real packets.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { topologyKey } from './live/world.ts';
import { agrees, ownFiles, readRow, readScenario } from './row.ts';
import { walk } from './walk.ts';

for (const scenario of ownFiles().map(readScenario)) {
  describe(`${scenario.file}: ${scenario.about}`, () => {
    for (const row of scenario.rows) {
      test(`${row.rule}: ${row.what}: ${row.way}`, () => {
        const seen = walk(scenario, row);
        assert.ok(agrees(row, seen), `${row.outcome}, but ${seen.join(' ')}`);
      });
    }
  });
}

const way = '10.0.0.1 -> 10.0.0.2:80/tcp';
const CHECKED: [outcome: string, seen: string[], agree: boolean][] = [
  ['10.0.0.3:80 10.0.0.4:80*', ['10.0.0.4:80*', '10.0.0.3:80'], true],
  ['10.0.0.3:80 10.0.0.4:80*', ['10.0.0.3:80'], false],
  ['10.0.0.3:80', ['10.0.0.3:80', 'drop source-range'], false],
  ['10.0.0.3:80', ['10.0.0.3:80*'], false],
  ['one of 10.0.0.3:80 10.0.0.4:80', ['10.0.0.4:80'], true],
  ['one of 10.0.0.3:80 10.0.0.4:80', ['10.0.0.3:80', '10.0.0.4:80'], false],
  ['one of 10.0.0.3:80 10.0.0.4:80', ['drop'], false],
  ['drop source-range', ['drop source-range'], true],
  ['drop source-range', ['drop unallocated'], false],
  ['drop source-range', ['drop'], true],
  ['reject', ['drop'], false],
  ['reject', ['reject', 'drop'], false],
];

for (const [outcome, seen, agree] of CHECKED) {
  test(`a row with outcome ${outcome} ${agree ? 'matches' : 'does not match'} ${seen}`, () => {
    assert.equal(agrees(readRow('x', `r | w | ${way} | ${outcome}`), seen), agree);
  });
}

const UNREADABLE: [row: unknown, message: RegExp][] = [
  [`r | w | ${way}`, /x\.yaml: a row cannot be read: r \| w/],
  ['r | w | 10.0.0.1 -> 10.0.0.2/tcp | reject', /cannot be read/],
  ['r | w | 10.0.0.1 -> 10.0.0.2:8/icmp | reject', /cannot be read/],
  ['r | w | 10.0.0.1 -> 10.0.0.999:8/udp | reject', /cannot be read/],
  ['r | w | 10.0.0.1 -> 10.0.0.2:8/dccp | reject', /cannot be read/],
  [`r | w | ${way} | drop elsewhere`, /no outcome is called "drop elsewhere"/],
  [`r | w | ${way} | refused`, /no outcome is called/],
  [null, /cannot be read: null/],
];

for (const [row, message] of UNREADABLE) {
  test(`refuses the invalid row ${row}`, () => {
    assert.throws(() => readRow('x.yaml', row), { code: 'KT_SCENARIO', message });
  });
}

test('a lab takes Nodes whose ranges are in podCIDRs alone, and refuses those without', () => {
  const [scenario] = ownFiles().map(readScenario);
  const node = (spec: object) => ({
    ...{ kind: 'Node', metadata: { name: 'n1' }, spec },
    status: { addresses: [{ type: 'InternalIP', address: '172.18.0.11' }] },
  });
  const key = (spec: object) => topologyKey({ ...scenario!, objects: [node(spec)] });
  const [plural, single] = [
    { podCIDRs: ['fd00::/64', '10.244.1.0/24'] },
    { podCIDR: '10.244.1.0/24' },
  ];
  assert.equal(key(plural), key(single));
  assert.throws(() => key({}), { code: 'KT_LIVE', message: /Node n1 has no .* spec\.podCIDR/ });
});
