// Encodes the blocks of the policy part as words, ready to be copied into the arena. Pure.

import { NO_ENTRY, SeededMap } from '../map.ts';
import { STEP_ELEMENTS, type Steps } from '../steps.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import * as L from './layout.ts';
import type { PolicyPod, PolicyPorts, PolicyPrefix, PolicyRules } from './policy.ts';

const PROTOCOLS = [PROTO_TCP, PROTO_UDP, PROTO_SCTP];
const encoder = new TextEncoder();

/** The map of pods. */
export function mapPods(pods: PolicyPod[], seed: number): SeededMap {
  const map = new SeededMap(L.POD_SHIFT, seed, pods.length);
  putPods(map, pods);
  return map;
}

/** Adds pods to their map or updates them. */
export function putPods(map: SeededMap, pods: PolicyPod[]): void {
  for (const pod of pods) {
    const at = map.put(pod.address, L.POD_KEY);
    // A pod that is not in the map is unknown, and the traffic of unknown pods is held back.
    if (at === NO_ENTRY) continue;
    map.words[at + L.POD_NODE] = pod.node;
    map.words[at + L.POD_INGRESS] = pod.ingress;
    map.words[at + L.POD_EGRESS] = pod.egress;
    map.words[at + L.POD_PEER] = pod.peer;
    map.words[at + L.POD_BORN] = pod.born;
    map.words[at + L.POD_UID] = pod.uid;
  }
}

export function* encodeRules(rules: PolicyRules, seed: number): Steps<Int32Array> {
  const words = new Words();
  words.append(new Int32Array(L.RULES_HEADER_WORDS));
  const portsAt: number[] = [];
  for (const ports of rules.portSets) {
    portsAt.push(words.append(encodePorts(ports)));
    yield;
  }
  const pairs = new SeededMap(L.RULE_MAP_SHIFT, seed, rules.pairs.length);
  for (const { subject, peer, ports } of rules.pairs) {
    const at = pairs.put(subject, peer);
    if (at !== NO_ENTRY) pairs.words[at + L.PAIR_PORTS] = portsAt[ports]!;
    if (pairs.count % STEP_ELEMENTS === 0) yield;
  }
  const prefixes = yield* encodePrefixes(rules.prefixes, seed);
  const lengths = [...new Set(rules.prefixes.map((p) => p.length))].sort((a, b) => b - a);
  const subjectCount = rules.subjects.reduce((most, s) => Math.max(most, s.id + 1), 1);
  const subjects: number[] = new Array(subjectCount).fill(0);
  for (const { id, enforced, audited } of rules.subjects) {
    subjects[id] = words.append([enforced.length, audited.length, ...enforced, ...audited]);
  }
  const header: [word: number, value: number][] = [
    [L.RULES_PAIRS, words.append(pairs.words)],
    [L.RULES_PREFIXES, words.append(prefixes)],
    [L.RULES_LENGTHS, words.append(lengths)],
    [L.RULES_LENGTH_COUNT, lengths.length],
    [L.RULES_SUBJECTS, words.append(subjects)],
    [L.RULES_SUBJECT_COUNT, subjectCount],
    [L.RULES_NAMES, words.length],
    [L.RULES_NAME_COUNT, rules.names.length],
  ];
  for (const { id, name } of rules.names) appendName(words, id, name);
  const all = words.take();
  for (const [word, value] of header) all[word] = value;
  return all;
}

function* encodePrefixes(list: PolicyPrefix[], seed: number): Steps<Int32Array> {
  const prefixes = new SeededMap(L.RULE_MAP_SHIFT, seed, list.length);
  for (const { address, length, peer } of list) {
    const at = prefixes.put(address, length + 1);
    // Without the prefix of an exception its block would allow too much: drop all blocks.
    if (at === NO_ENTRY) return new SeededMap(L.RULE_MAP_SHIFT, seed).words;
    prefixes.words[at + L.PREFIX_PEER] = peer;
    if (prefixes.count % STEP_ELEMENTS === 0) yield;
  }
  return prefixes.words;
}

/** A growing array of words; its room doubles when it is full. */
class Words {
  length = 0;
  #words = new Int32Array(1024);

  /** Returns the offset of the appended words. */
  append(more: ArrayLike<number>): number {
    const at = this.length;
    this.length += more.length;
    if (this.length > this.#words.length) {
      const larger = new Int32Array(Math.max(this.length, this.#words.length * 2));
      larger.set(this.#words.subarray(0, at));
      this.#words = larger;
    }
    this.#words.set(more, at);
    return at;
  }

  take(): Int32Array<ArrayBuffer> {
    return this.#words.slice(0, this.length);
  }
}

function appendName(words: Words, id: number, name: string): void {
  const bytes = encoder.encode(name);
  const text = new Uint8Array((bytes.length + 3) & ~3);
  text.set(bytes);
  words.append([id, bytes.length]);
  words.append(new Int32Array(text.buffer));
}

/**
 * Allowed ports and their rules: disjoint ranges per protocol; a rule in force precedes an audited
 * one.
 */
function encodePorts(ports: PolicyPorts[]): number[] {
  const best = (list: PolicyPorts[]) => list.find((p) => !p.audited) ?? list[0];
  const words = [wordOf(best(ports.filter((p) => p.proto === 0)))];
  const ranges = PROTOCOLS.map((proto) => flatten(ports.filter((p) => p.proto === proto)));
  words.push(...ranges.map((list) => list.length / 2));
  for (const list of ranges) words.push(...list);
  return words;
}

/**
 * Disjoint ranges (first << 16 | last, rule) in order. Between two edges the first entry in force
 * that covers them counts, or else the first audited one: each entry in this order takes what the
 * ones before it have left.
 */
function flatten(ports: PolicyPorts[]): number[] {
  const edges = [...new Set(ports.flatMap(({ first, last }) => [first, last + 1]))];
  edges.sort((a, b) => a - b);
  const indexOf = new Map(edges.map((edge, i) => [edge, i]));
  const rules = new Int32Array(edges.length);
  // The next index without a rule, by index; a chain of them is shortened on the way.
  const next = Int32Array.from(edges.keys());
  const untaken = (index: number): number => {
    let at = index;
    while (next[at] !== at) at = next[at] = next[next[at]!]!;
    return at;
  };
  const order = [...ports.filter((p) => !p.audited), ...ports.filter((p) => p.audited)];
  for (const entry of order) {
    const end = indexOf.get(entry.last + 1)!;
    for (let at = untaken(indexOf.get(entry.first)!); at < end; at = untaken(at)) {
      rules[at] = wordOf(entry);
      next[at] = at + 1;
    }
  }
  return edges.flatMap((first, i) => {
    return rules[i] === 0 ? [] : [(first << 16) | (edges[i + 1]! - 1), rules[i]!];
  });
}

function wordOf(rule: PolicyPorts | undefined): number {
  if (!rule) return 0;
  const index = Math.min(rule.rule, L.RULE_INDEX_MASK);
  const audited = rule.audited ? L.RULE_AUDITED : 0;
  return L.RULE_SET | audited | (rule.policy << L.RULE_POLICY_SHIFT) | index;
}
