import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatRange, parseRange } from '../../../../datapath/wire/address.ts';
import { coverRanges, joinRanges } from '../../../../datapath/wire/ranges.ts';

const ranges = (...texts: string[]) => texts.map((text) => parseRange(text)!);
const texts = (list: { address: number; mask: number }[]) => list.map(formatRange);

test('joins neighbours and removes nested ranges', () => {
  const list = ranges('10.244.2.0/24', '10.244.0.0/24', '10.244.1.0/24', '10.244.1.128/25');
  assert.deepEqual(texts(joinRanges(list)), ['10.244.0.0/23', '10.244.2.0/24']);
  assert.deepEqual(texts(joinRanges(ranges('0.0.0.0/1', '128.0.0.0/1'))), ['0.0.0.0/0']);
});

test('joins 101 neighbouring ranges of nodes to four', () => {
  const list = Array.from({ length: 101 }, (_, n) => parseRange(`10.244.${n}.0/24`)!);
  assert.equal(joinRanges(list).length, 4);
});

test('joined ranges have the same addresses, and a cover contains all of them', () => {
  const range = fc.tuple(fc.nat(255), fc.integer({ min: 24, max: 32 })).map(([low, length]) => {
    const mask = -1 << (32 - length);
    return { address: (0x0af4_0100 + low) & mask, mask };
  });
  const has = (list: { address: number; mask: number }[], address: number) =>
    list.some((r) => (address & r.mask) === r.address);
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), (list) => {
      const joined = joinRanges(list);
      const cover = coverRanges(list, 2);
      assert.ok(cover.length <= 2);
      assert.deepEqual(joinRanges(joined), joined);
      for (let low = 0; low < 256; low++) {
        const address = 0x0af4_0100 + low;
        assert.equal(has(joined, address), has(list, address));
        if (has(list, address)) assert.ok(has(cover, address));
      }
    }),
  );
});
