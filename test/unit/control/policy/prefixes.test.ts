import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { classifyPrefixes } from '../../../../control/policy/prefixes.ts';
import { finish } from '../../../../datapath/steps.ts';

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

const rule = fc.record({ blocks: fc.array(block, { maxLength: 4 }) });

test('the class of the longest prefix has exactly the rules that contain the address', () => {
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 4 }), address, (rules, at) => {
      const { prefixes, classesOf, sizeOf } = finish(classifyPrefixes(rules, 3));
      const [longest] = prefixes.filter((p) => inside(at, p)).sort((a, b) => b.length - a.length);
      for (const one of rules) {
        const expected = one.blocks.some(
          ({ cidr, except }) => inside(at, cidr) && !except.some((p) => inside(at, p)),
        );
        const classes = classesOf(one);
        assert.equal(longest ? classes.includes(longest.peer) : false, expected);
        assert.equal(classes.length, sizeOf(one));
        assert.ok(classes.every((id) => id >= 3));
      }
    }),
    { numRuns: 2000 },
  );
});

test('30,000 blocks of one rule form one class, with n log n comparisons', () => {
  let reads = 0;
  /** Counts reads of an address: a cost that does not depend on the machine's load. */
  const counted = (n: number, length: number) => ({
    length,
    get address() {
      reads++;
      return ((0x0b00_0000 + n * 4) & (-1 << (32 - length))) | 0;
    },
  });
  const readsFor = (count: number) => {
    const blocks = Array.from({ length: count }, (_, n) => ({
      cidr: counted(n, 30),
      except: [counted(n, 32)],
    }));
    reads = 0;
    const { classesOf, prefixes } = finish(classifyPrefixes([{ blocks }], 3));
    assert.equal(prefixes.length, count * 2);
    assert.deepEqual([...new Set(prefixes.map(({ peer }) => peer))].sort(), [3, 4]);
    assert.equal(classesOf({ blocks }).length, 0);
    return reads;
  };
  const [small, large] = [readsFor(7500), readsFor(30_000)];
  assert.ok(large < small * 6, `${small} reads, then ${large}`);
});
