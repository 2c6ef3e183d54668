import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  FRONTEND_PROBES_MAX,
  hashFrontend,
  SLOT_ADDRESS,
  SLOT_KIND,
  SLOT_PORT_PROTO,
  SLOT_SERVICE,
  SLOT_WORDS,
} from '../../../../datapath/nat/image-layout.ts';
import { FrontendMap } from '../../../../datapath/nat/image-map.ts';

/** Looks up as the hot path does: with a bound. */
function look(map: FrontendMap, address: number, portProto: number): number | undefined {
  let slot = hashFrontend(address, portProto) & map.mask;
  for (let probes = 0; probes < FRONTEND_PROBES_MAX; probes++) {
    const at = slot * SLOT_WORDS;
    if (map.words[at + SLOT_KIND] === 0) return undefined;
    if (map.words[at + SLOT_ADDRESS] === address && map.words[at + SLOT_PORT_PROTO] === portProto) {
      return map.words[at + SLOT_SERVICE];
    }
    slot = (slot + 1) & map.mask;
  }
  return undefined;
}

test('the frontend map holds what a Map holds, under random changes', () => {
  const step = fc.tuple(fc.boolean(), fc.integer({ min: -20, max: 20 }), fc.nat(3), fc.nat(99));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const map = new FrontendMap(4);
      const model = new Map<string, number>();
      for (const [put, address, port, service] of steps) {
        if (put) map.set(address, port, service, 1);
        else map.delete(address, port);
        if (put) model.set(`${address} ${port}`, service);
        else model.delete(`${address} ${port}`);
      }
      for (let address = -20; address <= 20; address++) {
        for (let port = 0; port <= 3; port++) {
          assert.equal(look(map, address, port), model.get(`${address} ${port}`));
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('keys that meet in one slot make the map grow before the hot path would miss them', () => {
  // Found by trying: all of them begin their search at slot 0 of a map of 1024.
  const crowd: number[] = [];
  for (let address = 0; crowd.length < 200; address++) {
    if ((hashFrontend(address, 80) & 1023) === 0) crowd.push(address);
  }
  const map = new FrontendMap(1024);
  for (const [i, address] of crowd.entries()) map.set(address, 80, i, 1);
  assert.ok(map.mask > 1023, 'half full it is not');
  for (const [i, address] of crowd.entries()) assert.equal(look(map, address, 80), i);
});

test('100,000 frontends of neighbouring addresses are all found', () => {
  const map = new FrontendMap(16);
  for (let i = 0; i < 100_000; i++) map.set(0x0a60_0000 + (i >> 2), 80 + (i & 3), i, 1);
  for (let i = 0; i < 100_000; i++)
    assert.equal(look(map, 0x0a60_0000 + (i >> 2), 80 + (i & 3)), i);
});

test('frontends that come and go do not make the map grow', () => {
  const map = new FrontendMap(1024);
  for (let i = 0; i < 10_000; i++) {
    map.set(i, 80, 1, 1);
    map.set(i, 80, 2, 1);
    map.delete(i, 80);
    map.delete(i, 80);
  }
  assert.equal(map.mask, 1023);
  assert.ok(map.words.every((word) => word === 0));
});
