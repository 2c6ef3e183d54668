// The one open-addressing map of the datapath's tables. It lies in a block of int32 words that
// describes itself, so that a reader needs nothing but the block's offset:
//
// mask | seed | shift | entries | slot 0 | slot 1 | ... slot: 1 << shift words: key a, key b,
// values
//
// A slot whose key b is 0 is free, so b is never 0. The seed is secret: an author of Services or
// policies cannot choose keys that share a slot. Both growth and the length of a search are
// bounded.
//
// Two tables have other searches. The flow table (flow/table.ts) holds tags in its index, so that a
// miss reads no line: a general slot would cost the fast path a cache line per packet. Session
// affinity (services/affinity.ts) frees entries in place, which a search that ends at a free slot
// does not allow. Both hash with a seed.

export const MAP_MASK = 0;
export const MAP_SEED = 1;
export const MAP_SHIFT = 2;
export const MAP_COUNT = 3;
export const MAP_HEADER_WORDS = 4;
export const KEY_A = 0;
export const KEY_B = 1;

/**
 * The longest distance of an entry from its home slot: the builder ensures it, readers rely on it.
 */
export const MAP_PROBES_MAX = 64;
/** Slots per entry, so that a search ends early; and the factor by which crowded maps may grow. */
const SLOTS_PER_ENTRY = 2;
const GROWTH_MAX = 8;
/**
 * Attempts to place all entries near their homes, each larger or with another seed. Then an entry
 * is refused.
 */
const REBUILDS_MAX = 16;
const SLOTS_MIN = 16;

export const NO_ENTRY = -1;

/** Seeded hash of two words. It uses the seed twice, so that no two keys collide for every seed. */
export function hashKey(a: number, b: number, seed: number): number {
  let h = Math.imul(a ^ seed, 0x9e3779b1);
  h ^= h >>> 15;
  h = Math.imul(h ^ b, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h + seed, 0xc2b2ae35);
  h ^= h >>> 16;
  h = Math.imul(h, 0x27d4eb2f);
  return h ^ (h >>> 15);
}

/** Word offset of an entry of the map at `map`, or NO_ENTRY. Bounded; never allocates. */
export function findEntry(words: Int32Array, map: number, a: number, b: number): number {
  const mask = words[map + MAP_MASK]!;
  const shift = words[map + MAP_SHIFT]!;
  const slots = map + MAP_HEADER_WORDS;
  let slot = hashKey(a, b, words[map + MAP_SEED]!) & mask;
  for (let probes = 0; probes < MAP_PROBES_MAX; probes++) {
    const at = slots + (slot << shift);
    const key = words[at + KEY_B]!;
    if (key === 0) return NO_ENTRY;
    if (key === b && words[at + KEY_A] === a) return at;
    slot = (slot + 1) & mask;
  }
  return NO_ENTRY;
}

/** A map in ordinary memory that can be built and changed; `words` is the block for readers. */
export class SeededMap {
  words: Int32Array;

  /**
   * @param shift binary logarithm of the words of a slot.
   * @param entries how many it has room for before it grows.
   */
  constructor(shift: number, seed: number, entries = 0) {
    this.words = emptyMap(slotsFor(entries), shift, seed);
  }

  get count(): number {
    return this.words[MAP_COUNT]!;
  }

  /** Word offset of an entry, or NO_ENTRY. */
  find(a: number, b: number): number {
    return findEntry(this.words, 0, a, b);
  }

  /**
   * Word offset of an entry, made with values of 0 if absent. The map, and so offsets, may move.
   * NO_ENTRY, with nothing changed, if the entry cannot lie near its home within the allowed
   * growth.
   */
  put(a: number, b: number): number {
    const known = this.find(a, b);
    if (known !== NO_ENTRY) return known;
    if (slotsFor(this.count + 1) > this.words[MAP_MASK]! + 1) this.#rebuild(true);
    for (let n = 0; n < REBUILDS_MAX; n++) {
      const at = place(this.words, a, b);
      if (at !== NO_ENTRY) return at;
      if (!this.#rebuild(false)) return NO_ENTRY;
    }
    return NO_ENTRY;
  }

  /** Removes an entry and closes the gap, so that no tombstones gather. */
  delete(a: number, b: number): void {
    const found = this.find(a, b);
    if (found === NO_ENTRY) return;
    const { words } = this;
    words[MAP_COUNT] = words[MAP_COUNT]! - 1;
    const [mask, shift, seed] = [words[MAP_MASK]!, words[MAP_SHIFT]!, words[MAP_SEED]!];
    const size = 1 << shift;
    let gap = (found - MAP_HEADER_WORDS) >> shift;
    let slot = gap;
    for (let n = 0; n < mask; n++) {
      slot = (slot + 1) & mask;
      const at = MAP_HEADER_WORDS + (slot << shift);
      if (words[at + KEY_B] === 0) break;
      const home = hashKey(words[at + KEY_A]!, words[at + KEY_B]!, seed) & mask;
      // The entry moves into the gap unless its home lies between the gap and itself.
      if (((slot - home) & mask) >= ((slot - gap) & mask)) {
        words.copyWithin(MAP_HEADER_WORDS + (gap << shift), at, at + size);
        gap = slot;
      }
    }
    const at = MAP_HEADER_WORDS + (gap << shift);
    words.fill(0, at, at + size);
  }

  /**
   * Moves all entries to a larger map, or to one with another seed if the map is too large already.
   * False if each of REBUILDS_MAX attempts leaves an entry too far from its home.
   *
   * @param larger it must grow.
   */
  #rebuild(larger: boolean): boolean {
    const old = this.words;
    const shift = old[MAP_SHIFT]!;
    let slots = old[MAP_MASK]! + 1;
    let seed = old[MAP_SEED]!;
    for (let n = 0; n < REBUILDS_MAX; n++) {
      const isLargest = slots >= slotsFor(this.count + 1) * GROWTH_MAX;
      if ((larger && n === 0) || !isLargest) slots *= 2;
      else seed = hashKey(seed, slots, seed);
      const next = emptyMap(slots, shift, seed);
      if (!takeOver(next, old)) continue;
      this.words = next;
      return true;
    }
    return false;
  }
}

function slotsFor(entries: number): number {
  let slots = SLOTS_MIN;
  while (slots < entries * SLOTS_PER_ENTRY) slots *= 2;
  return slots;
}

function emptyMap(slots: number, shift: number, seed: number): Int32Array {
  const words = new Int32Array(MAP_HEADER_WORDS + (slots << shift));
  words[MAP_MASK] = slots - 1;
  words[MAP_SEED] = seed;
  words[MAP_SHIFT] = shift;
  return words;
}

/** Gives an absent key a slot near its home; its word offset, or NO_ENTRY. */
function place(words: Int32Array, a: number, b: number): number {
  const [mask, shift, seed] = [words[MAP_MASK]!, words[MAP_SHIFT]!, words[MAP_SEED]!];
  let slot = hashKey(a, b, seed) & mask;
  for (let probes = 0; probes < MAP_PROBES_MAX; probes++) {
    const at = MAP_HEADER_WORDS + (slot << shift);
    if (words[at + KEY_B] === 0) {
      words[at + KEY_A] = a;
      words[at + KEY_B] = b;
      words[MAP_COUNT] = words[MAP_COUNT]! + 1;
      return at;
    }
    slot = (slot + 1) & mask;
  }
  return NO_ENTRY;
}

/**
 * Copies every entry of another map. False if an entry would be further from its hash slot than
 * look-ups search.
 */
function takeOver(to: Int32Array, from: Int32Array): boolean {
  const size = 1 << from[MAP_SHIFT]!;
  for (let at = MAP_HEADER_WORDS; at < from.length; at += size) {
    if (from[at + KEY_B] === 0) continue;
    const placed = place(to, from[at + KEY_A]!, from[at + KEY_B]!);
    if (placed === NO_ENTRY) return false;
    for (let n = KEY_B + 1; n < size; n++) to[placed + n] = from[at + n]!;
  }
  return true;
}
