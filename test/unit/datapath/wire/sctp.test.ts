import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32cOfChange } from '../../../../datapath/wire/sctp.ts';
import { crc32c } from '../../../support/packets.ts';

const ascending = Array.from({ length: 32 }, (_, i) => i);

// RFC 3720, appendix B.4, and the check value, to check the oracle of the patch first.
for (const [what, bytes, crc] of [
  ['123456789', [...Buffer.from('123456789')], 0xe306_9283],
  ['32 zeros', new Array(32).fill(0), 0x8a91_36aa],
  ['32 ones', new Array(32).fill(0xff), 0x62a8_ab43],
  ['ascending', ascending, 0x46dd_794e],
  ['descending', [...ascending].reverse(), 0x113f_db5c],
] as const) {
  test(`the vector of RFC 3720: ${what}`, () => {
    assert.equal(crc32c(bytes), crc);
    // From other leading bytes to the vector's.
    const other = [1, 2, 3, 4, ...bytes.slice(4)];
    const change = Buffer.from(bytes.slice(0, 4)).readInt32BE() ^ 0x0102_0304;
    assert.equal((crc32c(other) ^ crc32cOfChange(change, bytes.length)) >>> 0, crc);
  });
}

test('crc32cOfChange gives the right CRC for any change of the first word', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 200 }), fc.integer(), (bytes, word) => {
      const before = Buffer.from(bytes);
      const after = Buffer.from(bytes);
      after.writeInt32BE(word);
      const change = crc32cOfChange(before.readInt32BE() ^ word, bytes.length);
      assert.equal((crc32c(before) ^ change) >>> 0, crc32c(after));
    }),
  );
});

test('an unchanged word does not change the checksum', () => {
  assert.equal(crc32cOfChange(0, 1500), 0);
});
