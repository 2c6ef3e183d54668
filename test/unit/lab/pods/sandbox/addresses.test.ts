import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PodAddresses } from '../../../../../lab/pods/sandbox/addresses.ts';

function takeAll(addresses: PodAddresses): string[] {
  const taken: string[] = [];
  for (let next = addresses.take(); next !== null; next = addresses.take()) taken.push(next);
  return taken;
}

test('gives each address of a range once, without the first two and the last', () => {
  const taken = takeAll(new PodAddresses('10.244.1.0/24'));
  assert.equal(taken.length, 253);
  assert.equal(new Set(taken).size, 253);
  assert.equal(taken[0], '10.244.1.2');
  assert.equal(taken.at(-1), '10.244.1.254');
});

test('works in the upper half of the address space', () => {
  assert.deepEqual(takeAll(new PodAddresses('192.168.255.248/29')), [
    '192.168.255.250',
    '192.168.255.251',
    '192.168.255.252',
    '192.168.255.253',
    '192.168.255.254',
  ]);
});

test('gives unused addresses first, then returned ones, oldest first', () => {
  const addresses = new PodAddresses('10.0.0.0/29');
  const [a, b, c] = [addresses.take()!, addresses.take()!, addresses.take()!];
  for (const address of [b, a, c]) addresses.giveBack(address);
  assert.deepEqual(takeAll(addresses), ['10.0.0.5', '10.0.0.6', b, a, c]);
});

test('gives an address once that was returned twice', () => {
  const addresses = new PodAddresses('10.0.0.0/30');
  const only = addresses.take()!;
  addresses.giveBack(only);
  addresses.giveBack(only);
  assert.deepEqual(takeAll(addresses), [only]);
});

test('does not allocate a claimed address', () => {
  const addresses = new PodAddresses('10.0.0.0/29');
  assert.equal(addresses.claim('10.0.0.4'), true);
  assert.equal(addresses.claim('10.0.0.4'), false);
  assert.deepEqual(takeAll(addresses), ['10.0.0.2', '10.0.0.3', '10.0.0.5', '10.0.0.6']);
});

test('refuses to claim an address of another range', () => {
  assert.equal(new PodAddresses('10.0.0.0/29').claim('10.0.1.2'), false);
});
