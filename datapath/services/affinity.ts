// Session affinity ClientIP: a client's last endpoint, by its address and the Service port. Only
// new connections read and write it. A search covers a window of fixed size and never ends early,
// so entries can be freed without tombstones. An entry is complete when its Service, which is
// written last, is set.

import type { Arena } from '../arena/arena.ts';
import { AFFINITY_WORDS, H_AFFINITY_SWEEP, H_SEED } from '../arena/layout.ts';
import { hashTuple } from '../flow/hash.ts';
import { findPair } from '../image/pairs.ts';

/** Entries searched for one client: with half of them used, one client in 10^6 finds no room. */
const WINDOW = 32;

/** The Service port's id; 0 marks a free entry. */
const A_SERVICE = 0;
const A_SOURCE = 1;
const A_ADDRESS = 2;
const A_PORT = 3;
/** When the client last opened a connection, ms of the datapath's clock. */
const A_SEEN = 4;
/** How long the entry is valid from then, ms. */
const A_TIMEOUT = 5;

export const NO_ENTRY = -1;

export class AffinityTable {
  readonly words: Int32Array;
  readonly #header: Int32Array;
  readonly #mask: number;
  readonly #seed: number;
  /** True in explain, which must not change the table. */
  frozen = false;

  constructor(arena: Arena) {
    this.words = arena.affinity;
    this.#header = arena.header;
    this.#mask = arena.layout.affinitySlots - 1;
    this.#seed = arena.header[H_SEED]!;
  }

  /** Word offset of a client's valid entry, or NO_ENTRY. */
  find(source: number, service: number, now: number): number {
    const { words } = this;
    let slot = this.#home(source, service);
    for (let n = 0; n < WINDOW; n++) {
      const at = (slot & this.#mask) * AFFINITY_WORDS;
      if (words[at + A_SERVICE] === service && words[at + A_SOURCE] === source) {
        return this.#isOver(at, now) ? NO_ENTRY : at;
      }
      slot++;
    }
    return NO_ENTRY;
  }

  /**
   * Index of the entry's endpoint among `count` pairs (address, port) at `pairs` of the image, or
   * -1.
   */
  choice(entry: number, image: Int32Array, pairs: number, count: number): number {
    const { words } = this;
    return findPair(image, pairs, count, words[entry + A_ADDRESS]!, words[entry + A_PORT]!);
  }

  /**
   * Stores a client's endpoint from `now` on; false if there is no room. `timeoutMs` is positive.
   */
  remember(
    source: number,
    service: number,
    address: number,
    port: number,
    now: number,
    timeoutMs: number,
  ): boolean {
    if (this.frozen) return true;
    const { words } = this;
    let slot = this.#home(source, service);
    let entry = NO_ENTRY;
    for (let n = 0; n < WINDOW; n++) {
      const at = (slot & this.#mask) * AFFINITY_WORDS;
      slot++;
      if (words[at + A_SERVICE] === service && words[at + A_SOURCE] === source) {
        entry = at;
        break;
      }
      const free = words[at + A_SERVICE] === 0 || this.#isOver(at, now);
      if (entry === NO_ENTRY && free) entry = at;
    }
    if (entry === NO_ENTRY) return false;
    words[entry + A_SERVICE] = 0;
    words[entry + A_SOURCE] = source;
    words[entry + A_ADDRESS] = address;
    words[entry + A_PORT] = port;
    words[entry + A_SEEN] = now;
    words[entry + A_TIMEOUT] = timeoutMs;
    words[entry + A_SERVICE] = service;
    return true;
  }

  /** Frees expired entries among the next `slice`: the clock wraps, and old ones would look new. */
  sweep(now: number, slice: number): void {
    let slot = this.#header[H_AFFINITY_SWEEP]!;
    for (let n = 0; n < slice; n++) {
      slot = (slot + 1) & this.#mask;
      const at = slot * AFFINITY_WORDS;
      if (this.words[at + A_SERVICE] !== 0 && this.#isOver(at, now)) this.words[at + A_SERVICE] = 0;
    }
    this.#header[H_AFFINITY_SWEEP] = slot;
  }

  #isOver(at: number, now: number): boolean {
    return ((now - this.words[at + A_SEEN]!) | 0) >= this.words[at + A_TIMEOUT]!;
  }

  #home(source: number, service: number): number {
    return hashTuple(source, 0, service, 0, this.#seed) & this.#mask;
  }
}
