import * as imageLayout from '../nat/image-layout.ts';
import * as policy from './policy.ts';
import * as layout from './policy-layout.ts';
import { hashPolicy } from './policy-layout.ts';

// Own constants, not imported ones: see the JIT facts in ../worker/jit.ts.
// biome-ignore format: a list.
const {
  MAP_SHIFT, MAP_USED, PAIR_PEER, PAIR_PORTS, PAIR_SUBJECT, POD_ADDRESS, POD_PEER, POD_SHIFT, POD_USED, POLICY_PROBES_MAX,
  PORTS_ANY, PORTS_COUNTS, PORTS_HEADER_WORDS, PREFIX_ADDRESS, PREFIX_LENGTH, PREFIX_PEER, RULES_LENGTHS,
  RULES_LENGTH_COUNT, RULES_PAIRS, RULES_PAIR_MASK, RULES_PREFIXES, RULES_PREFIX_MASK, RULES_SUBJECTS, RULE_AUDITED,
} = layout;
const { PEER_ANY, PEER_ANY_POD } = policy;
const { ROOT_POLICY_GENERATION, ROOT_POLICY_PODS, ROOT_POLICY_POD_MASK, ROOT_POLICY_RULES } =
  imageLayout;

export const NO_POD = -1;
const PROTO_TCP = 6;
const PROTO_UDP = 17;
const PROTO_SCTP = 132;

/** The policy part of the image in force as the hot path reads it. */
export class PolicyMap {
  readonly words: Int32Array;
  /** False while there is no NetworkPolicy: everything is let pass. */
  active = false;
  /** Grows when flows must be judged again. */
  generation = 0;
  #pods = 0;
  #podMask = 0;
  #rules = 0;

  constructor(image: Int32Array) {
    this.words = image;
  }

  /** Takes over the image whose root block is at `root`. */
  refresh(root: number): void {
    const w = this.words;
    this.generation = w[root + ROOT_POLICY_GENERATION]!;
    this.#rules = w[root + ROOT_POLICY_RULES]!;
    this.#pods = w[root + ROOT_POLICY_PODS]!;
    this.#podMask = w[root + ROOT_POLICY_POD_MASK]!;
    this.active = this.#rules !== 0;
  }

  /** Word offset of the pod that has this address, or NO_POD. */
  findPod(address: number): number {
    const w = this.words;
    const home = hashPolicy(address, 0);
    for (let probes = 0; probes < POLICY_PROBES_MAX; probes++) {
      const at = this.#pods + (((home + probes) & this.#podMask) << POD_SHIFT);
      if (w[at + POD_USED] === 0) return NO_POD;
      if (w[at + POD_ADDRESS] === address) return at;
    }
    return NO_POD;
  }

  /** Word offset of a subject's policies: count in force, count audited, then their ids. */
  subjectAt(subject: number): number {
    const w = this.words;
    return this.#rules + w[this.#rules + w[this.#rules + RULES_SUBJECTS]! + subject]!;
  }

  /**
   * The rule of a subject's policies that allows a port from or to a peer: one in force, else an audited one, else 0.
   *
   * @param pod the peer's pod, or NO_POD.
   */
  allows(subject: number, pod: number, address: number, proto: number, port: number): number {
    let rule = 0;
    // What most rules name goes first.
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
  #classOf(address: number): number {
    const w = this.words;
    const rules = this.#rules;
    const count = w[rules + RULES_LENGTH_COUNT]!;
    const lengths = rules + w[rules + RULES_LENGTHS]!;
    const slots = rules + w[rules + RULES_PREFIXES]!;
    const mask = w[rules + RULES_PREFIX_MASK]!;
    for (let n = 0; n < count; n++) {
      const length = w[lengths + n]!;
      const base = length === 0 ? 0 : address & (-1 << (32 - length));
      const home = hashPolicy(base, length);
      for (let probes = 0; probes < POLICY_PROBES_MAX; probes++) {
        const at = slots + (((home + probes) & mask) << MAP_SHIFT);
        if (w[at + MAP_USED] === 0) break;
        if (w[at + PREFIX_ADDRESS] === base && w[at + PREFIX_LENGTH] === length) {
          return w[at + PREFIX_PEER]!;
        }
      }
    }
    return 0;
  }

  /** The rule that a subject has for a port of a peer class, 0 for none. */
  #pair(subject: number, peer: number, proto: number, port: number): number {
    const w = this.words;
    const rules = this.#rules;
    const slots = rules + w[rules + RULES_PAIRS]!;
    const mask = w[rules + RULES_PAIR_MASK]!;
    const home = hashPolicy(subject, peer);
    for (let probes = 0; probes < POLICY_PROBES_MAX; probes++) {
      const at = slots + (((home + probes) & mask) << MAP_SHIFT);
      if (w[at + MAP_USED] === 0) return 0;
      if (w[at + PAIR_SUBJECT] === subject && w[at + PAIR_PEER] === peer) {
        return this.#port(rules + w[at + PAIR_PORTS]!, proto, port);
      }
    }
    return 0;
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
