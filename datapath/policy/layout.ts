// Where the words of the policy part lie. Two blocks: the pods, a map by address; and the rules,
// whose parts have offsets from the start of the block. Every map is one of ../map.ts.

import { POLICY_ROW_WORDS } from '../arena/layout.ts';

/** An entry of the pods' map: the address, a constant key, and the pod's data. */
export const POD_ADDRESS = 0;
export const POD_KEY = 1;
export const POD_NODE = 2;
export const POD_INGRESS = 3;
export const POD_EGRESS = 4;
export const POD_PEER = 5;
export const POD_BORN = 6;
export const POD_UID = 7;
export const POD_SHIFT = 3;

/** The head of the rules' block. */
export const RULES_PAIRS = 0;
export const RULES_PREFIXES = 1;
/** Prefix lengths in use, longest first. */
export const RULES_LENGTHS = 2;
export const RULES_LENGTH_COUNT = 3;
/**
 * Offset of each subject's words by its id: counts in force and audited, then the policies' ids.
 */
export const RULES_SUBJECTS = 4;
export const RULES_SUBJECT_COUNT = 5;
/** Words (id, bytes, text) one after the other. */
export const RULES_NAMES = 6;
export const RULES_NAME_COUNT = 7;
export const RULES_HEADER_WORDS = 8;

/** An entry of the pairs' map, by subject and peer: offset of its ports in the rules' block. */
export const PAIR_PORTS = 2;
/** An entry of the prefixes' map, by address and length + 1. */
export const PREFIX_PEER = 2;
export const RULE_MAP_SHIFT = 2;

/**
 * Ports: the rule for every protocol or 0, three counts, and disjoint sorted ranges (first << 16 |
 * last, rule).
 */
export const PORTS_ANY = 0;
export const PORTS_COUNTS = 1;
export const PORTS_HEADER_WORDS = 4;

/** A rule in one word: its number in its policy and direction, the policy's id, and flags. */
export const RULE_INDEX_MASK = 0xffff;
export const RULE_POLICY_SHIFT = 16;
export const RULE_POLICY_MASK = 0x1fff;
export const RULE_SET = 1 << 29;
/** The rule allows nothing: its policy is audited. */
export const RULE_AUDITED = 1 << 30;

/**
 * Counters of a policy, word offsets in its row of the arena's section: flows allowed, packets
 * dropped, packets that an audited policy would drop.
 */
export const POLICY_ALLOWED = 0;
export const POLICY_DROPPED = 1;
export const POLICY_AUDITED = 2;
/** Egress follows ingress. */
export const POLICY_EGRESS = 3;
export const POLICY_COUNTERS = POLICY_ROW_WORDS;
