// Fragments after the first carry no ports: they follow the first one's verdict (RFC 791; RFC 5508
// section 6). One that arrives before the first is held for a moment. This state is not in the
// arena on purpose: an agent that restarts loses a few fragmented datagrams, and no flow.

import { hashTuple } from '../flow/hash.ts';
import { NO_SIDE } from '../flow/line.ts';
import { IP4_OFF_ID } from '../wire/ipv4.ts';
// biome-ignore format: a list.
import {
  BATCH_HELD_MAX, type Batch, HELD_BYTES_MAX, P_DST, P_IN, P_IP, P_LENGTH, P_PORTS, P_PROTO, P_SIDE,
  P_SRC, P_START,
} from './batch.ts';

/**
 * Datagrams that are remembered at a time, in sets of four. A new one replaces the oldest of its
 * set. Held fragments run at the end of the batch, after up to 255 first fragments of other
 * datagrams. With sets of one, one in twenty had been replaced by then.
 */
const KNOWN_SETS = 1024;
const KNOWN_WAYS = 4;
const KNOWN_MS = 30_000;
const TURN_MASK = 0x3fff_ffff;
/** The longest that a fragment is held. */
const HELD_MS = 1000;

/** The datagram's verdict is not known. */
export const FRAGMENT_UNKNOWN = -1_000_000;

const K_SRC = 0;
const K_DST = 1;
/** Identification << 8 | protocol. */
const K_ID = 2;
const K_SIDE = 3;
const K_VERDICT = 4;
const K_SEEN = 5;
/** Above zero: the order in which datagrams were remembered. */
const K_TURN = 6;
/** To detect that the line now has another flow. */
const K_PORTS = 7;
const K_WORDS = 8;

const H_LENGTH = 0;
const H_SINCE = 1;
const H_KEY_SRC = 2;
const H_KEY_DST = 3;
const H_KEY_ID = 4;
/** P_IN. */
const H_PORT = 5;
const H_WORDS = 8;

/** Fragmented datagrams: verdicts of their first fragments, and later fragments that are held. */
export class FragmentTable {
  readonly #known = new Int32Array(KNOWN_SETS * KNOWN_WAYS * K_WORDS);
  readonly #held = new Int32Array(BATCH_HELD_MAX * H_WORDS);
  readonly #heldBytes = new Uint8Array(BATCH_HELD_MAX * HELD_BYTES_MAX);
  #heldCount = 0;
  #turn = 0;
  /** Side of the datagram that `find` found, or NO_SIDE if the first fragment had no flow. */
  side = NO_SIDE;
  /** The ports of that side, as W_PORTS. */
  ports = 0;
  readonly #seed: number;

  /** @param seed keeps a sender from choosing datagrams that replace another sender's. */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Remembers the verdict of first fragment `r` of the datagram `id`. */
  remember(b: Batch, r: number, id: number, verdict: number, now: number): void {
    const src = b.p[r | P_SRC]!;
    const dst = b.p[r | P_DST]!;
    const at = this.#slotFor(src, dst, id);
    const k = this.#known;
    k[at + K_SRC] = src;
    k[at + K_DST] = dst;
    k[at + K_ID] = id;
    k[at + K_SIDE] = b.p[r | P_SIDE]!;
    k[at + K_PORTS] = b.p[r | P_PORTS]!;
    k[at + K_VERDICT] = verdict;
    k[at + K_SEEN] = now;
    this.#turn = (this.#turn + 1) & TURN_MASK || 1;
    k[at + K_TURN] = this.#turn;
  }

  /** The verdict of a datagram's first fragment, with side and ports set; or FRAGMENT_UNKNOWN. */
  find(src: number, dst: number, id: number, now: number): number {
    const at = this.#slotOf(src, dst, id);
    const k = this.#known;
    if (at < 0 || ((now - k[at + K_SEEN]!) | 0) > KNOWN_MS) return FRAGMENT_UNKNOWN;
    this.side = k[at + K_SIDE]!;
    this.ports = k[at + K_PORTS]!;
    return k[at + K_VERDICT]!;
  }

  /** Holds a copy of later fragment `r`; false if there is no room or it is too large. */
  hold(b: Batch, r: number, now: number): boolean {
    const bytes = b.p[r | P_LENGTH]!;
    if (this.#heldCount === BATCH_HELD_MAX || bytes > HELD_BYTES_MAX) return false;
    const at = this.#freeHeld();
    const h = this.#held;
    h[at + H_LENGTH] = bytes;
    h[at + H_SINCE] = now;
    h[at + H_KEY_SRC] = b.p[r | P_SRC]!;
    h[at + H_KEY_DST] = b.p[r | P_DST]!;
    h[at + H_KEY_ID] = datagramId(b, r);
    h[at + H_PORT] = b.p[r | P_IN]!;
    const to = (at / H_WORDS) * HELD_BYTES_MAX;
    copyBytes(b.bytes, b.p[r | P_START]!, this.#heldBytes, to, bytes);
    this.#heldCount++;
    return true;
  }

  /** Appends to the batch every fragment held for this datagram. */
  release(b: Batch, src: number, dst: number, id: number): void {
    if (this.#heldCount === 0) return;
    const h = this.#held;
    for (let n = 0; n < BATCH_HELD_MAX; n++) {
      const at = n * H_WORDS;
      const bytes = h[at + H_LENGTH]!;
      if (bytes === 0 || h[at + H_KEY_ID] !== id) continue;
      if (h[at + H_KEY_SRC] !== src || h[at + H_KEY_DST] !== dst) continue;
      copyBytes(this.#heldBytes, n * HELD_BYTES_MAX, b.bytes, b.end(), bytes);
      b.push(bytes, h[at + H_PORT]!);
      h[at + H_LENGTH] = 0;
      this.#heldCount--;
    }
  }

  /** Drops fragments held for too long; returns their number. */
  expire(now: number): number {
    if (this.#heldCount === 0) return 0;
    const before = this.#heldCount;
    const h = this.#held;
    for (let at = 0; at < h.length; at += H_WORDS) {
      if (h[at + H_LENGTH] === 0 || ((now - h[at + H_SINCE]!) | 0) < HELD_MS) continue;
      h[at + H_LENGTH] = 0;
      this.#heldCount--;
    }
    return before - this.#heldCount;
  }

  #freeHeld(): number {
    let at = 0;
    while (this.#held[at + H_LENGTH] !== 0) at += H_WORDS; // There is one: the caller has counted.
    return at;
  }

  /** First slot of the datagram's set. */
  #set(src: number, dst: number, id: number): number {
    const set = hashTuple(src, dst, id, 0, this.#seed) & (KNOWN_SETS - 1);
    return set * KNOWN_WAYS * K_WORDS;
  }

  /** The datagram's slot, or -1. */
  #slotOf(src: number, dst: number, id: number): number {
    const k = this.#known;
    const first = this.#set(src, dst, id);
    for (let at = first; at < first + KNOWN_WAYS * K_WORDS; at += K_WORDS) {
      const same = k[at + K_SRC] === src && k[at + K_DST] === dst && k[at + K_ID] === id;
      if (same && k[at + K_TURN] !== 0) return at;
    }
    return -1;
  }

  /** The datagram's slot, or else a free one or the oldest of its set. */
  #slotFor(src: number, dst: number, id: number): number {
    const known = this.#slotOf(src, dst, id);
    if (known >= 0) return known;
    const k = this.#known;
    const first = this.#set(src, dst, id);
    let oldest = first;
    for (let at = first; at < first + KNOWN_WAYS * K_WORDS; at += K_WORDS) {
      if (k[at + K_TURN] === 0) return at;
      // The clock does not move within a batch, so turns decide.
      const age = (this.#turn - k[at + K_TURN]!) & TURN_MASK;
      if (age > ((this.#turn - k[oldest + K_TURN]!) & TURN_MASK)) oldest = at;
    }
    return oldest;
  }
}

/** Identification and protocol, which with the addresses name a datagram. */
export function datagramId(b: Batch, r: number): number {
  return (b.view.getUint16(b.p[r | P_IP]! + IP4_OFF_ID) << 8) | b.p[r | P_PROTO]!;
}

function copyBytes(
  from: Uint8Array,
  fromAt: number,
  to: Uint8Array,
  toAt: number,
  bytes: number,
): void {
  for (let n = 0; n < bytes; n++) to[toAt + n] = from[fromAt + n]!;
}
