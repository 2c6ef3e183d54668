import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeKinds } from '../../../../datapath/merge/kinds.ts';
import { MERGE_TCP, MERGE_UDP } from '../../../../datapath/merge/merge.ts';

const BOTH = MERGE_TCP | MERGE_UDP;

const RELEASES: [release: string, kinds: number][] = [
  ['6.1.0-30-amd64', BOTH],
  ['6.18.44-fc-v782', BOTH],
  ['6.19', BOTH],
  ['7.0', MERGE_TCP],
  ['7.0.0-rc1', MERGE_TCP],
  ['7.0.14-pve', MERGE_TCP],
  ['7.1.0-rc5', MERGE_TCP],
  ['7.1.4', MERGE_TCP],
  ['7.1.5', BOTH],
  ['7.2.0', BOTH],
  ['8.0.0', BOTH],
  ['unknown', BOTH],
];

for (const [release, kinds] of RELEASES) {
  const verb = kinds === BOTH ? 'merges' : 'does not merge';
  test(`${verb} datagrams on Linux ${release}`, () => {
    assert.equal(mergeKinds(true, true, release), kinds);
  });
}

test('merges only segments where the kernel takes no UDP trains, and nothing if switched off', () => {
  assert.equal(mergeKinds(true, false, '5.15.0'), MERGE_TCP);
  assert.equal(mergeKinds(false, true, '6.18.0'), 0);
});
