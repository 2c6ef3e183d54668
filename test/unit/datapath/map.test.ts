import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  findEntry,
  hashKey,
  MAP_HEADER_WORDS,
  MAP_MASK,
  MAP_PROBES_MAX,
  NO_ENTRY,
  SeededMap,
} from '../../../datapath/map.ts';

const SHIFT = 2;
const VALUE = 2;
const SEED = 99;

function put(map: SeededMap, a: number, b: number, value: number): boolean {
  const at = map.put(a, b);
  if (at !== NO_ENTRY) map.words[at + VALUE] = value;
  return at !== NO_ENTRY;
}

/** Looks up in a copy inside an image, as the hot path does. */
function look(map: SeededMap, a: number, b: number): number | undefined {
  const at = findEntry(map.words, 0, a, b);
  return at === NO_ENTRY ? undefined : map.words[at + VALUE];
}

/** Keys with home slots at the start of a map of 1024 slots with this seed. */
function crowd(count: number, seed: number): number[] {
  const found: number[] = [];
  for (let a = 0; found.length < count; a++) {
    if ((hashKey(a, 80, seed) & 1023) < 4) found.push(a);
  }
  return found;
}

test('equals a Map under random changes, with adversarial keys', () => {
  const hostile = crowd(150, SEED);
  const key = fc.oneof(fc.integer({ min: -20, max: 20 }), fc.constantFrom(...hostile));
  const step = fc.tuple(fc.boolean(), key, fc.constantFrom(80, 81, -1), fc.nat(99));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const map = new SeededMap(SHIFT, SEED);
      const model = new Map<string, number>();
      for (const [isPut, a, b, value] of steps) {
        if (isPut) assert.ok(put(map, a, b, value));
        else map.delete(a, b);
        if (isPut) model.set(`${a} ${b}`, value);
        else model.delete(`${a} ${b}`);
      }
      assert.equal(map.count, model.size);
      for (const [, a, b] of steps) assert.equal(look(map, a, b), model.get(`${a} ${b}`));
    }),
    { numRuns: 300 },
  );
});

test('finds keys that collide under its own seed, and growth stays bounded', () => {
  const hostile = crowd(1000, SEED);
  const map = new SeededMap(SHIFT, SEED, 512);
  for (const [i, a] of hostile.entries()) assert.ok(put(map, a, 80, i));
  for (const [i, a] of hostile.entries()) assert.equal(look(map, a, 80), i);
  assert.ok(map.words[MAP_MASK]! + 1 <= 16 * 2048, `${map.words[MAP_MASK]} is the mask`);
});

test('another seed spreads keys that collide under one', () => {
  const hostile = crowd(500, SEED);
  const map = new SeededMap(SHIFT, SEED + 1, 512);
  for (const a of hostile) put(map, a, 80, 1);
  assert.equal(map.words[MAP_MASK], 1023);
});

test('refuses an entry rather than grow without limit, and keeps the others', () => {
  // More equal keys than a search reads collide under every seed and at every size.
  const map = new SeededMap(SHIFT, SEED, 100);
  map.words.fill(7, MAP_HEADER_WORDS);
  const before = map.words.slice();
  assert.equal(map.put(1, 80), NO_ENTRY);
  assert.deepEqual(map.words, before);
});

test('finds 100,000 frontends of neighbouring addresses within the search limit', () => {
  const map = new SeededMap(SHIFT, SEED);
  for (let i = 0; i < 100_000; i++) put(map, 0x0a60_0000 + (i >> 2), 80 + (i & 3), i);
  for (let i = 0; i < 100_000; i++) {
    assert.equal(look(map, 0x0a60_0000 + (i >> 2), 80 + (i & 3)), i);
  }
  assert.ok(MAP_PROBES_MAX <= 64);
});

test('does not grow when entries are added and removed, and leaves no tombstones', () => {
  const map = new SeededMap(SHIFT, SEED, 512);
  for (let i = 0; i < 10_000; i++) {
    put(map, i, 80, 1);
    put(map, i, 80, 2);
    map.delete(i, 80);
    map.delete(i, 80);
  }
  assert.equal(map.words[MAP_MASK], 1023);
  assert.ok(map.words.subarray(MAP_HEADER_WORDS).every((word) => word === 0));
});
