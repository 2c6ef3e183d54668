import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatAddress,
  maskOf,
  parseAddress,
  parseRange,
} from '../../../../datapath/wire/address.ts';

test('an address is printed and parsed back, whatever its sign', () => {
  fc.assert(
    fc.property(fc.integer(), (address) => {
      assert.equal(parseAddress(formatAddress(address)), address);
    }),
  );
  assert.equal(formatAddress(-1), '255.255.255.255');
  assert.equal(formatAddress(-0x8000_0000), '128.0.0.0');
  assert.equal(parseAddress('10.0.0.1'), 0x0a00_0001);
});

for (const text of [
  '',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.256',
  '1.2.3.-4',
  '1.2.3.04',
  '1.2.3.4 ',
  '1.2.3.0x4',
  '1..3.4',
  '1.2.3.4e0',
  '::1',
  '1.2.3.1000',
]) {
  test(`'${text}' is not an address`, () => assert.equal(parseAddress(text), null));
}

test('masks of every length', () => {
  assert.deepEqual(
    [0, 1, 8, 31, 32].map((n) => formatAddress(maskOf(n))),
    ['0.0.0.0', '128.0.0.0', '255.0.0.0', '255.255.255.254', '255.255.255.255'],
  );
});

test('a range loses its host bits', () => {
  const range = parseRange('10.244.1.77/24')!;
  assert.deepEqual(
    [formatAddress(range.address), formatAddress(range.mask)],
    ['10.244.1.0', '255.255.255.0'],
  );
  assert.deepEqual(parseRange('255.255.255.255/0'), { address: 0, mask: 0 });
  assert.deepEqual(parseRange('200.0.0.1/32'), { address: parseAddress('200.0.0.1'), mask: -1 });
});

for (const text of [
  '',
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/33',
  '10.0.0.0/8/8',
  '10.0/8',
  '10.0.0.0/-1',
  '10.0.0.0/ 8',
]) {
  test(`'${text}' is not a range`, () => assert.equal(parseRange(text), null));
}
