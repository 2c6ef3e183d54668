import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPair, isInRanges, sortPairs } from '../../../../datapath/image/pairs.ts';
import { joinRanges } from '../../../../datapath/wire/ranges.ts';

/** Numbers that are the same in every run. */
function numbers(seed: number): () => number {
  let x = seed;
  return () => {
    x = (Math.imul(x, 1_103_515_245) + 12_345) | 0;
    return x;
  };
}

test('finds every pair at its index, and no other pair', () => {
  const next = numbers(1);
  for (const count of [0, 1, 2, 3, 10, 1000]) {
    const pairs = Array.from({ length: count }, () => [next(), (next() >>> 16) & 0xff]);
    const sorted = sortPairs(Int32Array.from(pairs.flat()));
    assert.deepEqual(sorted, sortPairs(sorted), 'sorting again changes nothing');
    const words = Int32Array.of(7, 7, ...sorted, 7);
    for (const [a, b] of pairs) {
      const at = 2 + findPair(words, 2, count, a!, b!) * 2;
      assert.deepEqual([words[at], words[at + 1]], [a, b]);
      assert.equal(findPair(words, 2, count, a!, b! + 1000), -1);
    }
    assert.equal(findPair(words, 2, count, 7, 7), -1);
  }
});

test('finds pairs of one address by their ports', () => {
  const sorted = sortPairs(Int32Array.of(-5, 443, 9, 80, -5, 80, -5, 65_535));
  assert.deepEqual([...sorted], [-5, 80, -5, 443, -5, 65_535, 9, 80]);
  assert.equal(findPair(sorted, 0, 4, -5, 65_535), 2);
  assert.equal(findPair(sorted, 0, 4, -5, 81), -1);
});

test('an address is in ranges if a walk over all of them finds it', () => {
  const next = numbers(2);
  for (let round = 0; round < 200; round++) {
    const ranges = joinRanges(
      Array.from({ length: round % 20 }, () => {
        const mask = (-1 << (next() >>> 28)) | 0;
        return { address: next() & 0x8000_001f & mask, mask };
      }),
    );
    const sorted = sortPairs(Int32Array.from(ranges.flatMap((r) => [r.address, r.mask])));
    for (let n = -40; n < 40; n++) {
      for (const address of [n, (n + 0x8000_0000) | 0]) {
        const expected = ranges.some((r) => (address & r.mask) === r.address);
        assert.equal(isInRanges(sorted, 0, ranges.length, address), expected, `${address}`);
      }
    }
  }
});
