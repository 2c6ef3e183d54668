import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BlockPeerRow } from '../../../../control/model/policy-rows.ts';
import { blockKey, classifyPrefixes } from '../../../../control/policy/prefixes.ts';

const prefix = fc
  .record({
    length: fc.integer({ min: 0, max: 32 }),
    bits: fc.constantFrom(0, -1, 0x0af40102, 0x0af40103),
  })
  .map(({ length, bits }) => ({
    length,
    address: length === 0 ? 0 : bits & (-1 << (32 - length)),
  }));
const block = fc.record({ cidr: prefix, except: fc.array(prefix, { maxLength: 2 }) });
const address = fc.constantFrom(0, -1, 0x0af40102, 0x0af40103, 0x0af40200, 0x7f000001);

const inside = (at: number, { address, length }: { address: number; length: number }) =>
  length === 0 || (at ^ address) >>> (32 - length) === 0;

test('the class of the longest prefix stands for exactly the blocks that an address is in', () => {
  fc.assert(
    fc.property(fc.array(block, { maxLength: 5 }), address, (list, at) => {
      const blocks = new Map<string, BlockPeerRow>(list.map((each) => [blockKey(each), each]));
      let next = 3;
      const { prefixes, classesOf } = classifyPrefixes(blocks, () => next++);
      const [longest] = prefixes.filter((p) => inside(at, p)).sort((a, b) => b.length - a.length);
      for (const [key, { cidr, except }] of blocks) {
        const expected = inside(at, cidr) && !except.some((p) => inside(at, p));
        assert.equal(longest ? classesOf.get(key)!.includes(longest.peer) : false, expected);
      }
    }),
    { numRuns: 2000 },
  );
});
