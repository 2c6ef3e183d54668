import type { Arena } from '../arena/arena.ts';
import { H_FLOW_FREE, H_FLOW_HIGH, H_SEED } from '../arena/layout.ts';
import { hashTuple } from './hash.ts';
// biome-ignore format: a list.
import {
  LINE_SHIFT, META_PROTO_MASK, NO_SIDE, W_DST, W_META, W_PORTS, W_SERVICE, W_SRC,
} from './line.ts';

/**
 * With a seeded hash and half the slots used, no run is this long; a longer one refuses the flow.
 */
export const PROBES_MAX = 256;
export const SLOT_EMPTY = 0;

/**
 * Flows in two parts: lines, which hold everything, and an index of int32 slots (open addressing,
 * linear probing). A slot holds the side's number plus one, and a tag of the hash in the bits
 * above. A look-up reads a line only if the tag agrees, so a hit costs one slot and one line.
 */
export class FlowTable {
  readonly lines: Int32Array;
  readonly index: Int32Array;
  readonly indexMask: number;
  /** Bits of a slot that hold the side's number plus one. */
  readonly sideMask: number;
  readonly tagMask: number;
  readonly seed: number;
  readonly flowsMax: number;
  readonly header: Int32Array;
  readonly serviceFlows: Int32Array;
  readonly #free: Int32Array;

  constructor(arena: Arena) {
    this.lines = arena.lines;
    this.index = arena.index;
    this.indexMask = arena.layout.indexSlots - 1;
    this.flowsMax = arena.layout.flowsMax;
    // Side numbers plus one go up to 2 * flowsMax: as many bits as indexSlots = 4 * flowsMax has.
    this.sideMask = arena.layout.indexSlots - 1;
    this.tagMask = ~this.sideMask;
    this.seed = arena.header[H_SEED]!;
    this.header = arena.header;
    this.serviceFlows = arena.serviceFlows;
    this.#free = arena.free;
  }

  /** The hash that every other method expects. */
  hash(src: number, dst: number, ports: number, proto: number): number {
    return hashTuple(src, dst, ports, proto, this.seed);
  }

  /** Side of this tuple, or NO_SIDE. Bounded; never allocates. */
  find(hash: number, src: number, dst: number, ports: number, proto: number): number {
    const { index, indexMask } = this;
    let slot = hash & indexMask;
    for (let probes = 0; probes < PROBES_MAX; probes++) {
      const entry = index[slot]!;
      if (entry === SLOT_EMPTY) return NO_SIDE;
      if (((entry ^ hash) & this.tagMask) === 0) {
        const side = (entry & this.sideMask) - 1;
        if (this.matches(side, src, dst, ports, proto)) return side;
      }
      slot = (slot + 1) & indexMask;
    }
    return NO_SIDE;
  }

  /** True if the side's key is this tuple. */
  matches(side: number, src: number, dst: number, ports: number, proto: number): boolean {
    const { lines } = this;
    const at = side << LINE_SHIFT;
    return (
      lines[at | W_SRC] === src &&
      lines[at | W_DST] === dst &&
      lines[at | W_PORTS] === ports &&
      (lines[at | W_META]! & META_PROTO_MASK) === proto
    );
  }

  /** The number of a free flow, its lines zero in W_META; or -1 if all are taken. */
  allocate(): number {
    const h = this.header;
    const free = h[H_FLOW_FREE]!;
    if (free > 0) {
      h[H_FLOW_FREE] = free - 1;
      return this.#free[free - 1]!;
    }
    const high = h[H_FLOW_HIGH]!;
    if (high >= this.flowsMax) return -1;
    h[H_FLOW_HIGH] = high + 1;
    return high;
  }

  /** Frees a flow that was allocated and is not linked. */
  release(flow: number): void {
    const h = this.header;
    const free = h[H_FLOW_FREE]!;
    this.#free[free] = flow;
    h[H_FLOW_FREE] = free + 1;
  }

  /**
   * Points the index at both lines of a complete flow. False, with nothing changed, if the index
   * has no room near one of them.
   */
  link(flow: number): boolean {
    const side = flow << 1;
    if (!this.#point(side)) return false;
    if (!this.#point(side + 1)) {
      this.#unpoint(side);
      return false;
    }
    const service = this.lines[(side << LINE_SHIFT) + W_SERVICE]!;
    this.serviceFlows[service] = this.serviceFlows[service]! + 1;
    return true;
  }

  /** Removes a linked flow and frees its number. */
  remove(flow: number): void {
    const side = flow << 1;
    const at = side << LINE_SHIFT;
    this.#unpoint(side);
    this.#unpoint(side + 1);
    const service = this.lines[at | W_SERVICE]!;
    this.serviceFlows[service] = this.serviceFlows[service]! - 1;
    this.lines[at | W_META] = 0;
    this.lines[at + 16 + W_META] = 0;
    this.release(flow);
  }

  hashOfSide(side: number): number {
    const at = side << LINE_SHIFT;
    const { lines } = this;
    return hashTuple(
      lines[at | W_SRC]!,
      lines[at | W_DST]!,
      lines[at | W_PORTS]!,
      lines[at | W_META]! & META_PROTO_MASK,
      this.seed,
    );
  }

  #point(side: number): boolean {
    const hash = this.hashOfSide(side);
    let slot = hash & this.indexMask;
    for (let probes = 0; probes < PROBES_MAX; probes++) {
      if (this.index[slot] === SLOT_EMPTY) {
        this.index[slot] = (hash & this.tagMask) | (side + 1);
        return true;
      }
      slot = (slot + 1) & this.indexMask;
    }
    return false;
  }

  /** Removes a side from the index and closes the gap, so that no tombstones gather. */
  #unpoint(side: number): void {
    const { index, indexMask } = this;
    const wanted = side + 1;
    let gap = this.hashOfSide(side) & indexMask;
    let probes = 0;
    while ((index[gap]! & this.sideMask) !== wanted) {
      if (index[gap] === SLOT_EMPTY || ++probes >= PROBES_MAX) return;
      gap = (gap + 1) & indexMask;
    }
    let slot = gap;
    for (let n = 0; n < indexMask; n++) {
      slot = (slot + 1) & indexMask;
      const entry = index[slot]!;
      if (entry === SLOT_EMPTY) break;
      const home = this.hashOfSide((entry & this.sideMask) - 1) & indexMask;
      // The entry moves into the gap unless its home lies between the gap and itself.
      if (((slot - home) & indexMask) >= ((slot - gap) & indexMask)) {
        index[gap] = entry;
        gap = slot;
      }
    }
    index[gap] = SLOT_EMPTY;
  }

  /**
   * Rebuilds index, free list and counts from the lines, after the process that wrote them died at
   * any instruction. A line is complete when its protocol is set, a flow when both lines are.
   * Returns the number of half entries dropped.
   */
  rescan(): number {
    const { header: h, lines } = this;
    this.index.fill(SLOT_EMPTY);
    this.serviceFlows.fill(0);
    h[H_FLOW_FREE] = 0;
    let dropped = 0;
    const high = Math.min(h[H_FLOW_HIGH]!, this.flowsMax);
    for (let flow = high - 1; flow >= 0; flow--) {
      const at = flow << (LINE_SHIFT + 1);
      const client = lines[at | W_META]!;
      const backend = lines[at + 16 + W_META]!;
      const whole = client !== 0 && backend !== 0 && this.link(flow);
      if (whole) continue;
      if (client !== 0 || backend !== 0) dropped++;
      lines[at | W_META] = 0;
      lines[at + 16 + W_META] = 0;
      this.release(flow);
    }
    return dropped;
  }
}
