// Where the words of an image lie. All blocks are int32 arrays in the arena's image section, found
// by word offset; offset 0 is never a block. A root names the blocks of one generation.

export const ROOT_GENERATION = 0;
export const ROOT_NODE = 1;
export const ROOT_FRONTENDS = 2;
/** Directory: block offset of each Service id, 0 for none. */
export const ROOT_DIRECTORY = 3;
export const ROOT_DIRECTORY_LENGTH = 4;
/** The policy part: its generation, the map of pods, the rules' block. No rules: no policy. */
export const ROOT_POLICY_GENERATION = 5;
export const ROOT_POLICY_PODS = 6;
export const ROOT_POLICY_RULES = 7;
export const ROOT_WORDS = 8;

export const NODE_ADDRESS = 0;
export const NODE_SERVICE_ADDRESS = 1;
export const NODE_SERVICE_MASK = 2;
export const NODE_SNAT_MIN = 3;
export const NODE_SNAT_COUNT = 4;
/**
 * Number of pod range lengths, at most 33. The lengths follow the header, then the map of ranges.
 */
export const NODE_LENGTH_COUNT = 5;
/** 1 for role gateway. */
export const NODE_GATEWAY = 6;
export const NODE_HEADER_WORDS = 7;
/**
 * The map of pod ranges, by address and prefix length + 1. It also holds the addresses in each
 * range that a CNI may give to its node, under (address, POD_GATEWAY_KEY).
 */
export const RANGE_SHIFT = 1;
export const POD_GATEWAY_KEY = 64;

/**
 * The frontend map (../map.ts) by address and port << 8 | protocol. It also holds one mark per
 * known address, under a key that no packet has.
 */
export const SLOT_SERVICE = 2;
/** FRONTEND_* + 1, or a MARK_*. */
export const SLOT_KIND = 3;
export const SLOT_SHIFT = 2;
export const MARK_KEY = -1;

/** A node's address. On a gateway its SLOT_SERVICE is the node's public address. */
export const MARK_NODE = 16;
/** A captured address of no node: its ports without a frontend are refused. */
export const MARK_ALLOCATED = 32;
/** On a gateway: a node's public address; its SLOT_SERVICE is the node's own. */
export const MARK_PUBLIC = 64;
/** Another address of this node that no Service captures. */
export const MARK_LOCAL = 128;

export const SERVICE_ID = 0;
export const SERVICE_FLAGS = 1;
export const SERVICE_AFFINITY_S = 2;
export const SERVICE_CLUSTER_COUNT = 3;
export const SERVICE_LOCAL_COUNT = 4;
export const SERVICE_RANGE_COUNT = 5;
export const SERVICE_NAME_BYTES = 6;
/** The generation that wrote this block. */
export const SERVICE_GENERATION = 7;
export const SERVICE_SERVING_COUNT = 8;
export const SERVICE_HEADER_WORDS = 9;
/**
 * Pairs follow: cluster endpoints, local endpoints, other serving ones, source ranges; then the
 * name's bytes.
 */
