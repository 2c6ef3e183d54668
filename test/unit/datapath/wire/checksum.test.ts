import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addSums,
  deltaOfWord,
  fold,
  patchFull,
  sumBytes,
  sumPseudoHeader,
} from '../../../../datapath/wire/checksum.ts';
import { sum16 } from '../../../support/packets.ts';

const viewOf = (bytes: ArrayLike<number>) => new DataView(Uint8Array.from(bytes).buffer);

test('the example of RFC 1071, section 3', () => {
  const bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
  assert.equal(sumBytes(viewOf(bytes), 0, 8), 0xddf2);
});

test('the example of RFC 1624, section 4: the patched field is 0x0000 and not 0xffff', () => {
  // A field of 0xdd2f, a word that goes from 0x5555 to 0x3285.
  assert.equal(patchFull(0xdd2f, deltaOfWord(0x5555, 0x3285)), 0x0000);
});

test('any range has the sum of the simple algorithm, odd lengths included, and no other byte is read', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 99 }), fc.nat(8), fc.nat(8), (bytes, before, behind) => {
      const all = [...new Array(before).fill(0xff), ...bytes, ...new Array(behind).fill(0xff)];
      assert.equal(sumBytes(viewOf(all), before, before + bytes.length), sum16(bytes));
    }),
  );
});

test('64 KiB of ones do not overflow', () => {
  const bytes = new Uint8Array(65_535).fill(0xff);
  assert.equal(sumBytes(viewOf(bytes), 0, bytes.length), sum16(bytes));
});

test('folding ends, also for the largest sum allowed', () => {
  assert.equal(fold(0), 0);
  assert.equal(fold(0xffff), 0xffff);
  assert.equal(fold(0x1_0000), 1);
  assert.equal(fold(65_536 * 0xffff), 0xffff);
});

test('sums add up without leaving 16 bits', () => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.nat(0xffff), (a, b) => {
      const sum = addSums(a, b);
      assert.ok(sum >= 0 && sum <= 0xffff);
      assert.equal(sum % 0xffff, (a + b) % 0xffff);
    }),
  );
});

test('an unchanged word changes nothing, and a change and its reverse cancel out', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer(), fc.nat(0xffff), (from, to, field) => {
      assert.equal(deltaOfWord(from, from) % 0xffff, 0);
      const there = patchFull(field, deltaOfWord(from, to));
      assert.equal(patchFull(there, deltaOfWord(to, from)) % 0xffff, field % 0xffff);
    }),
  );
});

test('the pseudo-header is addresses, protocol and length', () => {
  const bytes = [255, 254, 253, 252, 10, 0, 0, 1, 0, 17, 0x12, 0x34];
  assert.equal(sumPseudoHeader(0xfffefdfc | 0, 0x0a000001, 17, 0x1234), sum16(bytes));
});
