// Where the words of the policy part lie. Two blocks: the pods, a map by address; and the rules, whose parts are found by
// offsets from the block's beginning. Every map is open addressing; a slot whose last word is 0 is free.

/** A slot of the pods' map. */
export const POD_ADDRESS = 0;
export const POD_NODE = 1;
export const POD_INGRESS = 2;
export const POD_EGRESS = 3;
export const POD_PEER = 4;
export const POD_BORN = 5;
export const POD_UID = 6;
export const POD_USED = 7;
export const POD_SHIFT = 3;

/** The head of the rules' block. */
export const RULES_PAIRS = 0;
export const RULES_PAIR_MASK = 1;
export const RULES_PREFIXES = 2;
export const RULES_PREFIX_MASK = 3;
/** Lengths of prefixes that occur, longest first. */
export const RULES_LENGTHS = 4;
export const RULES_LENGTH_COUNT = 5;
/** Offset of each subject's words by its id: a count in force, a count audited, and the policies' ids. */
export const RULES_SUBJECTS = 6;
export const RULES_SUBJECT_COUNT = 7;
/** Words (id, bytes, text) one after the other. */
export const RULES_NAMES = 8;
export const RULES_NAME_COUNT = 9;
export const RULES_HEADER_WORDS = 10;

/** A slot of the pairs' map. */
export const PAIR_SUBJECT = 0;
export const PAIR_PEER = 1;
/** Offset of the ports' words in the rules' block. */
export const PAIR_PORTS = 2;
/** A slot of the prefixes' map. */
export const PREFIX_ADDRESS = 0;
export const PREFIX_LENGTH = 1;
export const PREFIX_PEER = 2;
export const MAP_SHIFT = 2;
export const MAP_USED = 3;

/** Ports: the rule for every protocol or 0, three counts, and ranges (first << 16 | last, rule), disjoint, in order. */
export const PORTS_ANY = 0;
export const PORTS_COUNTS = 1;
export const PORTS_HEADER_WORDS = 4;

/** A rule in one word: its number in its policy and direction, the policy's id, and what marks it. */
export const RULE_INDEX_MASK = 0xffff;
export const RULE_POLICY_SHIFT = 16;
export const RULE_POLICY_MASK = 0x1fff;
export const RULE_SET = 1 << 29;
/** It allows nothing: its policy is audited. */
export const RULE_AUDITED = 1 << 30;

/** No key lies further than this from where its search begins. */
export const POLICY_PROBES_MAX = 64;

/** Where the search begins, before masking. */
export function hashPolicy(a: number, b: number): number {
  let h = Math.imul(a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b);
  h ^= h >>> 15;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 13);
}

/** Counters of a policy: word offsets in its row of the arena's section. Flows allowed, packets dropped, would-be drops. */
export const POLICY_ALLOWED = 0;
export const POLICY_DROPPED = 1;
export const POLICY_AUDITED = 2;
/** Egress follows ingress. */
export const POLICY_EGRESS = 3;
export const POLICY_COUNTERS = 6;
