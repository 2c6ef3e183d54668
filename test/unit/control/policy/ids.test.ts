import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyIds } from '../../../../control/policy/compiler.ts';
import { POLICY_ID_MAX } from '../../../../datapath/policy/policy.ts';

test('an id stays as long as its policy, and is not reused at once', () => {
  const ids = new PolicyIds(new Map());
  ids.assign(['a', 'b']);
  assert.deepEqual([ids.idOf('a'), ids.idOf('b')], [1, 2]);
  ids.assign(['b', 'c']);
  assert.deepEqual([ids.idOf('a'), ids.idOf('b'), ids.idOf('c')], [0, 2, 3]);
  ids.assign(['b', 'c', 'd']);
  assert.equal(ids.idOf('d'), 1);
});

test('keeps the ids of an image, and uses the gaps between them', () => {
  const ids = new PolicyIds(
    new Map([
      [2, 'b'],
      [4, 'd'],
    ]),
  );
  ids.assign(['b', 'd', 'x', 'y', 'z']);
  assert.deepEqual(
    ['b', 'd', 'x', 'y', 'z'].map((key) => ids.idOf(key)),
    [2, 4, 1, 3, 5],
  );
});

test('a policy beyond the limit has no id until another one is deleted', () => {
  const ids = new PolicyIds(new Map());
  const keys = Array.from({ length: POLICY_ID_MAX + 1 }, (_, i) => `p${i}`);
  ids.assign(keys);
  assert.equal(ids.idOf(keys.at(-1)!), 0);
  ids.assign(keys.slice(1));
  ids.assign(keys.slice(1));
  assert.equal(ids.idOf(keys.at(-1)!), 1);
});
