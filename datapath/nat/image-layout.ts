// Where the words of an image lie. All blocks are arrays of int32 in the arena's image section, found by word
// offset; offset 0 is never a block. A root names the blocks that one generation consists of.

export const ROOT_GENERATION = 0;
export const ROOT_NODE = 1;
export const ROOT_FRONTENDS = 2;
/** Slots of the frontend map less one; a power of two. */
export const ROOT_FRONTEND_MASK = 3;
/** Directory: block offset of each Service id, 0 for none. */
export const ROOT_DIRECTORY = 4;
export const ROOT_DIRECTORY_LENGTH = 5;
/** The policy part: its generation, the pods' block with the mask of its slots, the rules' block. No rules: no policy. */
export const ROOT_POLICY_GENERATION = 6;
export const ROOT_POLICY_PODS = 7;
export const ROOT_POLICY_POD_MASK = 8;
export const ROOT_POLICY_RULES = 9;
export const ROOT_WORDS = 10;

export const NODE_ADDRESS = 0;
export const NODE_SERVICE_ADDRESS = 1;
export const NODE_SERVICE_MASK = 2;
export const NODE_SNAT_MIN = 3;
export const NODE_SNAT_COUNT = 4;
export const NODE_POD_RANGES = 5;
/** 1 for role gateway. */
export const NODE_GATEWAY = 6;
export const NODE_HEADER_WORDS = 7;
/** Pod ranges follow: pairs (address, mask). */

/**
 * The frontend map: open addressing on (address, port << 8 | protocol). A slot with kind 0 is free. Beside the
 * frontends it holds one mark per known address, under port 0 and protocol 0.
 */
export const SLOT_ADDRESS = 0;
export const SLOT_PORT_PROTO = 1;
export const SLOT_SERVICE = 2;
/** FRONTEND_* + 1, or a MARK_*. */
export const SLOT_KIND = 3;
export const SLOT_WORDS = 4;

/** No frontend lies further than this from where its search begins: the writer sees to it, the reader relies on it. */
export const FRONTEND_PROBES_MAX = 64;

/** A node's address. On a gateway its SLOT_SERVICE is the node's public address. */
export const MARK_NODE = 16;
/** A captured address that is no node's: ports of it without a frontend are refused. */
export const MARK_ALLOCATED = 32;
/** On a gateway: a node's public address; its SLOT_SERVICE is the node's own. */
export const MARK_PUBLIC = 64;
/** An address of this node beside its own one, which no Service captures. */
export const MARK_LOCAL = 128;

export const SERVICE_ID = 0;
export const SERVICE_PROTO = 1;
export const SERVICE_FLAGS = 2;
export const SERVICE_AFFINITY_S = 3;
export const SERVICE_CLUSTER_COUNT = 4;
export const SERVICE_LOCAL_COUNT = 5;
export const SERVICE_RANGE_COUNT = 6;
export const SERVICE_NAME_BYTES = 7;
/** The generation that wrote this block. */
export const SERVICE_GENERATION = 8;
export const SERVICE_SERVING_COUNT = 9;
export const SERVICE_HEADER_WORDS = 10;
/** Pairs follow: cluster endpoints, local endpoints, others that serve, source ranges; then the name's bytes. */

/** Slot at which the search for a frontend begins, before masking. */
export function hashFrontend(address: number, portProto: number): number {
  let h = Math.imul(address ^ Math.imul(portProto, 0x9e3779b1), 0x85ebca6b);
  h ^= h >>> 15;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 13);
}
