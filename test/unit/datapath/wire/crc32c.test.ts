import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32c } from '../../../../datapath/wire/crc32c.ts';

const NOWHERE = -4;
const of = (bytes: ArrayLike<number>) =>
  crc32c(new DataView(Uint8Array.from(bytes).buffer), 0, bytes.length, NOWHERE) >>> 0;

test('the check value of CRC-32C', () => {
  assert.equal(of(Buffer.from('123456789')), 0xe3069283);
});

// RFC 3720, appendix B.4.
const ascending = Array.from({ length: 32 }, (_, i) => i);
for (const [what, bytes, crc] of [
  ['32 zeros', new Array(32).fill(0), 0x8a9136aa],
  ['32 ones', new Array(32).fill(0xff), 0x62a8ab43],
  ['ascending', ascending, 0x46dd794e],
  ['descending', [...ascending].reverse(), 0x113fdb5c],
] as const) {
  test(`the vector of RFC 3720: ${what}`, () => assert.equal(of(bytes), crc));
}

test('the four bytes of the field count as zero, those around it do not', () => {
  const bytes = ascending.slice();
  const view = () => new DataView(Uint8Array.from(bytes).buffer);
  const whole = crc32c(view(), 0, 32, 8);
  for (const at of [8, 9, 10, 11]) bytes[at] = 0xee;
  assert.equal(crc32c(view(), 0, 32, 8), whole);
  bytes[12] = 0xee;
  assert.notEqual(crc32c(view(), 0, 32, 8), whole);
});
