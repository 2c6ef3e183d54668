import * as L from './layout.ts';

export interface ArenaSizes {
  flowsMax: number;
  imageWords: number;
}

export const ARENA_SIZES_DEFAULT: ArenaSizes = {
  flowsMax: L.FLOWS_DEFAULT,
  imageWords: L.IMAGE_WORDS_DEFAULT,
};

/** Views of an arena's sections, over a mapped file or a plain buffer. */
export type Arena = ReturnType<typeof viewArena>;

/** Views over a buffer of at least `layout.bytes`. */
export function viewArena(buffer: ArrayBuffer, layout: L.ArenaLayout) {
  return {
    layout,
    header: new Int32Array(buffer, 0, L.HEADER_BYTES / 4),
    /** ms per state of a flow, in the header: readers compute the time left from them. */
    timeouts: new Int32Array(buffer, L.H_TIMEOUTS * 4, L.TIMEOUT_WORDS),
    counters: new Float64Array(buffer, layout.counters, L.COUNTERS_MAX),
    /** Flows per Service id. */
    serviceFlows: new Int32Array(buffer, layout.services, L.SERVICE_IDS),
    index: new Int32Array(buffer, layout.index, layout.indexSlots),
    lines: new Int32Array(buffer, layout.lines, layout.flowsMax * 32),
    free: new Int32Array(buffer, layout.free, layout.flowsMax),
    image: new Int32Array(buffer, layout.image, layout.imageWords),
    trace: new Int32Array(buffer, layout.trace, L.TRACE_RECORDS * L.TRACE_WORDS),
    affinity: new Int32Array(buffer, layout.affinity, layout.affinitySlots * L.AFFINITY_WORDS),
    /** POLICY_COUNTERS for each policy's id. */
    policies: new Float64Array(buffer, layout.policies, L.POLICY_COUNTER_WORDS),
  };
}

/** Marks zeroed memory as an arena; the magic number is written last. */
export function formatArena(arena: Arena, seed: number): void {
  const h = arena.header;
  h[L.H_LAYOUT] = L.hashLayout(arena.layout);
  h[L.H_FLOWS_MAX] = arena.layout.flowsMax;
  h[L.H_IMAGE_WORDS] = arena.layout.imageWords;
  h[L.H_SEED] = seed;
  h[L.H_MAGIC] = L.ARENA_MAGIC;
}

/** True if the header has this layout and these sizes. */
export function isFormatted(header: Int32Array, layout: L.ArenaLayout): boolean {
  return header[L.H_MAGIC] === L.ARENA_MAGIC && header[L.H_LAYOUT] === L.hashLayout(layout);
}

/** A new arena in memory, for tests, explain and benchmarks. */
export function createArena(sizes: ArenaSizes, seed: number): Arena {
  const layout = L.layoutArena(sizes.flowsMax, sizes.imageWords);
  const arena = viewArena(new ArrayBuffer(layout.bytes), layout);
  formatArena(arena, seed);
  return arena;
}
