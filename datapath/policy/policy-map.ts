import { findEntry, NO_ENTRY } from '../map.ts';
import type { Address } from '../wire/address.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
// biome-ignore format: a list.
import {
  PAIR_PORTS, POD_KEY, POD_PEER, PORTS_ANY, PORTS_COUNTS, PORTS_HEADER_WORDS, PREFIX_PEER,
  RULE_AUDITED, RULES_LENGTH_COUNT, RULES_LENGTHS, RULES_PAIRS, RULES_PREFIXES, RULES_SUBJECTS,
} from './layout.ts';
import { PEER_ANY, PEER_ANY_POD } from './policy.ts';

export const NO_POD = NO_ENTRY;

/** The policy part of the image in force as the hot path reads it. */
export class PolicyMap {
  readonly words: Int32Array;
  /** False if there is no NetworkPolicy: every packet is allowed. */
  active = false;
  /** Grows when flows must be revalidated. */
  generation = 0;
  #pods = 0;
  #rules = 0;

  constructor(image: Int32Array) {
    this.words = image;
  }

  /**
   * Switches to an image by the word offsets of its rules and pods blocks; without rules no policy
   * is in force.
   */
  refresh(generation: number, rules: number, pods: number): void {
    this.generation = generation;
    this.#rules = rules;
    this.#pods = pods;
    this.active = rules !== 0;
  }

  /** Word offset of the pod with this address, or NO_POD. */
  findPod(address: Address): number {
    return this.#pods === 0 ? NO_POD : findEntry(this.words, this.#pods, address, POD_KEY);
  }

  /** Word offset of a subject's policies: count in force, count audited, then their ids. */
  subjectAt(subject: number): number {
    const w = this.words;
    return this.#rules + w[this.#rules + w[this.#rules + RULES_SUBJECTS]! + subject]!;
  }

  /**
   * The rule of a subject's policies that allows a port from or to a peer: one in force, else an
   * audited one, else 0.
   *
   * @param pod the peer's pod, or NO_POD.
   */
  allows(subject: number, pod: number, address: Address, proto: number, port: number): number {
    let rule = 0;
    // Most rules name pods: look them up first.
    if (pod !== NO_POD) {
      rule = this.#pair(subject, this.words[pod + POD_PEER]!, proto, port);
      if (isInForce(rule)) return rule;
      const anyPod = this.#pair(subject, PEER_ANY_POD, proto, port);
      if (isInForce(anyPod)) return anyPod;
      rule = rule || anyPod;
    }
    const any = this.#pair(subject, PEER_ANY, proto, port);
    if (isInForce(any)) return any;
    rule = rule || any;
    const block = this.#pair(subject, this.#classOf(address), proto, port);
    return isInForce(block) ? block : rule || block;
  }

  /** The peer class of an address by its longest prefix; 0 for none. */
  #classOf(address: Address): number {
    const w = this.words;
    const rules = this.#rules;
    const count = w[rules + RULES_LENGTH_COUNT]!;
    const lengths = rules + w[rules + RULES_LENGTHS]!;
    const prefixes = rules + w[rules + RULES_PREFIXES]!;
    for (let n = 0; n < count; n++) {
      const length = w[lengths + n]!;
      const base = length === 0 ? 0 : address & (-1 << (32 - length));
      const at = findEntry(w, prefixes, base, length + 1);
      if (at !== NO_ENTRY) return w[at + PREFIX_PEER]!;
    }
    return 0;
  }

  /** The rule of a subject for a port of a peer class, 0 for none. */
  #pair(subject: number, peer: number, proto: number, port: number): number {
    if (peer === 0) return 0;
    const w = this.words;
    const rules = this.#rules;
    const at = findEntry(w, rules + w[rules + RULES_PAIRS]!, subject, peer);
    return at === NO_ENTRY ? 0 : this.#port(rules + w[at + PAIR_PORTS]!, proto, port);
  }

  /** Binary search among the disjoint ranges of a protocol: at most 16 steps. */
  #port(ports: number, proto: number, port: number): number {
    const w = this.words;
    const any = w[ports + PORTS_ANY]!;
    if (isInForce(any)) return any;
    let at = ports + PORTS_HEADER_WORDS;
    let count = 0;
    if (proto === PROTO_TCP) count = w[ports + PORTS_COUNTS]!;
    else {
      at += w[ports + PORTS_COUNTS]! * 2;
      if (proto === PROTO_UDP) count = w[ports + PORTS_COUNTS + 1]!;
      else {
        at += w[ports + PORTS_COUNTS + 1]! * 2;
        if (proto === PROTO_SCTP) count = w[ports + PORTS_COUNTS + 2]!;
      }
    }
    let low = 0;
    let high = count - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = w[at + middle * 2]!;
      if (port < range >>> 16) high = middle - 1;
      else if (port > (range & 0xffff)) low = middle + 1;
      else {
        const rule = w[at + middle * 2 + 1]!;
        return isInForce(rule) ? rule : any || rule;
      }
    }
    return any;
  }
}

function isInForce(rule: number): boolean {
  return rule !== 0 && (rule & RULE_AUDITED) === 0;
}
