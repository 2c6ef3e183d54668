import {
  AFFINITY_WORDS,
  ARENA_MAGIC,
  type ArenaLayout,
  COUNTERS_MAX,
  FLOWS_DEFAULT,
  H_FLOWS_MAX,
  H_IMAGE_WORDS,
  H_LAYOUT,
  H_MAGIC,
  H_SEED,
  H_TIMEOUTS,
  HEADER_BYTES,
  hashLayout,
  IMAGE_WORDS_DEFAULT,
  layoutArena,
  POLICY_COUNTER_WORDS,
  SERVICE_IDS,
  TIMEOUT_WORDS,
  TRACE_RECORDS,
  TRACE_WORDS,
} from './layout.ts';

export interface ArenaSizes {
  flowsMax: number;
  imageWords: number;
}

export const ARENA_SIZES_DEFAULT: ArenaSizes = {
  flowsMax: FLOWS_DEFAULT,
  imageWords: IMAGE_WORDS_DEFAULT,
};

/** Views of an arena's sections, over a mapped file or a plain buffer. */
export type Arena = ReturnType<typeof viewArena>;

/** Views over a buffer of at least `layout.bytes`. */
export function viewArena(buffer: ArrayBuffer, layout: ArenaLayout) {
  const l = layout;
  return {
    layout,
    header: new Int32Array(buffer, 0, HEADER_BYTES / 4),
    /** ms per state of a flow, in the header: readers compute the time left from them. */
    timeouts: new Int32Array(buffer, H_TIMEOUTS * 4, TIMEOUT_WORDS),
    counters: new Float64Array(buffer, l.counters, COUNTERS_MAX),
    /** Flows per Service id. */
    serviceFlows: new Int32Array(buffer, l.services, SERVICE_IDS),
    index: new Int32Array(buffer, l.index, l.indexSlots),
    lines: new Int32Array(buffer, l.lines, l.flowsMax * 32),
    free: new Int32Array(buffer, l.free, l.flowsMax),
    image: new Int32Array(buffer, l.image, l.imageWords),
    trace: new Int32Array(buffer, l.trace, TRACE_RECORDS * TRACE_WORDS),
    affinity: new Int32Array(buffer, l.affinity, l.affinitySlots * AFFINITY_WORDS),
    /** POLICY_COUNTERS for each policy's id. */
    policies: new Float64Array(buffer, l.policies, POLICY_COUNTER_WORDS),
  };
}

/** Marks zeroed memory as an arena; the magic number is written last. */
export function formatArena(arena: Arena, seed: number): void {
  const h = arena.header;
  h[H_LAYOUT] = hashLayout(arena.layout);
  h[H_FLOWS_MAX] = arena.layout.flowsMax;
  h[H_IMAGE_WORDS] = arena.layout.imageWords;
  h[H_SEED] = seed;
  h[H_MAGIC] = ARENA_MAGIC;
}

/** True if the header has this layout and these sizes. */
export function isFormatted(header: Int32Array, layout: ArenaLayout): boolean {
  return header[H_MAGIC] === ARENA_MAGIC && header[H_LAYOUT] === hashLayout(layout);
}

/** A new arena in memory, for tests, explain and benchmarks. */
export function createArena(sizes: ArenaSizes, seed: number): Arena {
  const layout = layoutArena(sizes.flowsMax, sizes.imageWords);
  const arena = viewArena(new ArrayBuffer(layout.bytes), layout);
  formatArena(arena, seed);
  return arena;
}
