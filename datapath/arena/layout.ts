// The layout of a node's arena, the one file that holds all state of its datapath. All sizes are
// summed here. An arena with another layout hash is discarded, so it cannot be misread.
//
// header        4 KiB    words below counters      8 KiB    float64 per counter, one writer (the
// worker) services      512 KiB  int32 per Service id: flows that name it lines         128 bytes a
// flow (two lines) index         16 bytes a flow (two slots per side at the full table) free list
// 4 bytes a flow image         two halves; one is in force while the other is free or being left
// trace         640 KiB  a ring of records, written while a reader asks affinity      8 bytes a
// flow: 32 bytes for a client and Service port, one in four flows policies      384 KiB  float64
// per counter of each NetworkPolicy
//
// At the default of 1,048,576 flows and 64 MiB of image: 128 + 16 + 4 + 8 + 64 MiB and 1.5 MiB =
// 222 MiB.

export const ARENA_MAGIC = 0x6b74756e; // "ktun"
/** Increase it when the meaning of any word changes. */
const LAYOUT_VERSION = 8;

export const H_MAGIC = 0;
export const H_LAYOUT = 1;
export const H_FLOWS_MAX = 2;
export const H_IMAGE_WORDS = 3;
export const H_SEED = 4;
/** Word offset of the root block in the image section; 0 before the first publish. */
export const H_IMAGE_ROOT = 5;
/** The last generation that the worker uses. */
export const H_IMAGE_ACK = 6;
/** Flow slots ever used: the range of a scan. */
export const H_FLOW_HIGH = 7;
/** Entries on the free list. */
export const H_FLOW_FREE = 8;
/** Where the expiry sweep continues. */
export const H_SWEEP = 10;
/** Where the search for a flow to evict continues. */
export const H_HAND = 11;
/** The worker's clock at its last tick, ms: readers compute ages from it. */
export const H_NOW = 12;
/**
 * Time until which packets are traced (ms of the worker's clock); 0 for never. Readers extend it.
 */
export const H_TRACE_UNTIL = 14;
/** Records ever written to the trace ring, wrapping. */
export const H_TRACE_WRITTEN = 15;
/** Where the sweep of the affinity table continues. */
export const H_AFFINITY_SWEEP = 16;
/**
 * Address of the agent's probes, their key (0 for no probes), and the number of the last arrival.
 */
export const H_PROBE_ADDRESS = 17;
export const H_PROBE_KEY = 18;
export const H_PROBE_SEEN = 19;
/** Payload of a probe: the key, then its number, each a word. */
export const PROBE_BYTES = 8;
/** ms that a flow lives without a packet, a word for each of its states. */
export const H_TIMEOUTS = 128;
export const TIMEOUT_WORDS = 16;
/**
 * Ranges whose traffic is held until the first image: a count, then sorted disjoint pairs (address,
 * mask).
 */
export const H_HELD_COUNT = 255;
export const H_HELD_RANGES = 256;
export const HELD_RANGES_MAX = 384;
export const HEADER_BYTES = 4096;

export const COUNTERS_MAX = 1024;
const COUNTER_BYTES = COUNTERS_MAX * 8;
/** Service ids; 0 means none. */
export const SERVICE_IDS = 131_072;
const SERVICE_BYTES = SERVICE_IDS * 4;

export const FLOWS_MIN = 16;
export const FLOWS_DEFAULT = 1_048_576;
export const FLOWS_LIMIT = 8_388_608;
export const IMAGE_WORDS_DEFAULT = 16 * 1024 * 1024;
/** Index slots per flow: two sides at a load of at most one half. */
const SLOTS_PER_FLOW = 4;

/** Records of the trace ring, a power of two, and words per record. */
export const TRACE_RECORDS = 8192;
export const TRACE_WORDS = 20;

/** Words of an affinity entry, and flows per entry. */
export const AFFINITY_WORDS = 8;
const FLOWS_PER_AFFINITY = 4;
/** A search reads this many slots. */
const AFFINITY_SLOTS_MIN = 32;

/** A row per policy; row 0 is for policies without an id. */
export const POLICY_IDS = 8192;
export const POLICY_ROW_WORDS = 6;
export const POLICY_COUNTER_WORDS = POLICY_IDS * POLICY_ROW_WORDS;

/** Sizes, and byte offsets of the sections. */
export type ArenaLayout = ReturnType<typeof layoutArena>;

/**
 * The sections for a capacity in flows (a power of two, up to FLOWS_LIMIT) and an image size in
 * words (even). Throws RangeError.
 */
export function layoutArena(flowsMax: number, imageWords: number) {
  const isPowerOfTwo = Number.isInteger(flowsMax) && (flowsMax & (flowsMax - 1)) === 0;
  if (!isPowerOfTwo || flowsMax < FLOWS_MIN || flowsMax > FLOWS_LIMIT) {
    throw new RangeError(
      `flow capacity ${flowsMax} is no power of two from ${FLOWS_MIN} to ${FLOWS_LIMIT}`,
    );
  }
  const counters = HEADER_BYTES;
  const services = counters + COUNTER_BYTES;
  const indexSlots = flowsMax * SLOTS_PER_FLOW;
  // Lines start on a page: none straddles two cache lines.
  const lines = align(services + SERVICE_BYTES, 4096);
  const index = lines + flowsMax * 128;
  const free = index + indexSlots * 4;
  const image = align(free + flowsMax * 4, 4096);
  const trace = align(image + imageWords * 4, 4096);
  const affinity = trace + TRACE_RECORDS * TRACE_WORDS * 4;
  const affinitySlots = Math.max(flowsMax / FLOWS_PER_AFFINITY, AFFINITY_SLOTS_MIN);
  const policies = affinity + affinitySlots * AFFINITY_WORDS * 4;
  const bytes = policies + POLICY_COUNTER_WORDS * 8;
  return {
    ...{ flowsMax, imageWords, indexSlots, affinitySlots, bytes },
    ...{ counters, services, index, lines, free, image, trace, affinity, policies },
  };
}

function align(offset: number, unit: number): number {
  return Math.ceil(offset / unit) * unit;
}

/** Identifies this layout and these sizes. */
export function hashLayout(l: ArenaLayout): number {
  let hash = LAYOUT_VERSION;
  for (const n of [l.flowsMax, l.imageWords, l.counters, l.services, l.lines, l.index, l.image]) {
    hash = Math.imul(hash ^ (n | 0), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}
