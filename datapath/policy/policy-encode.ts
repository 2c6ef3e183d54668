// The blocks of the policy part as words, ready to be copied into the arena. Pure.

import { NO_ENTRY, SeededMap } from '../map.ts';
import type { PolicyPod, PolicyPorts, PolicyRules } from './policy.ts';
import * as L from './policy-layout.ts';

const PROTOCOLS = [6, 17, 132];
const encoder = new TextEncoder();

/** The map of pods. */
export function encodePods(pods: PolicyPod[], seed: number): Int32Array {
  const map = new SeededMap(L.POD_SHIFT, seed, pods.length);
  for (const pod of pods) {
    const at = map.put(pod.address, L.POD_KEY);
    // A pod that is not among them is unknown, and unknown pods are held back.
    if (at === NO_ENTRY) continue;
    map.words[at + L.POD_NODE] = pod.node;
    map.words[at + L.POD_INGRESS] = pod.ingress;
    map.words[at + L.POD_EGRESS] = pod.egress;
    map.words[at + L.POD_PEER] = pod.peer;
    map.words[at + L.POD_BORN] = pod.born;
    map.words[at + L.POD_UID] = pod.uid;
  }
  return map.words;
}

export function encodeRules(rules: PolicyRules, seed: number): Int32Array {
  const words: number[] = new Array(L.RULES_HEADER_WORDS).fill(0);
  const portsAt = rules.portSets.map((ports) => append(words, encodePorts(ports)));
  const pairs = new SeededMap(L.RULE_MAP_SHIFT, seed, rules.pairs.length);
  for (const { subject, peer, ports } of rules.pairs) {
    const at = pairs.put(subject, peer);
    if (at !== NO_ENTRY) pairs.words[at + L.PAIR_PORTS] = portsAt[ports]!;
  }
  let prefixes = new SeededMap(L.RULE_MAP_SHIFT, seed, rules.prefixes.length);
  for (const { address, length, peer } of rules.prefixes) {
    const at = prefixes.put(address, length + 1);
    if (at === NO_ENTRY) {
      // Without an exception's prefix its block would be wider than it says: no block counts.
      prefixes = new SeededMap(L.RULE_MAP_SHIFT, seed);
      break;
    }
    prefixes.words[at + L.PREFIX_PEER] = peer;
  }
  const lengths = [...new Set(rules.prefixes.map((p) => p.length))].sort((a, b) => b - a);
  const subjectCount = rules.subjects.reduce((most, s) => Math.max(most, s.id + 1), 1);
  const subjects: number[] = new Array(subjectCount).fill(0);
  for (const { id, enforced, audited } of rules.subjects) {
    const list = [enforced.length, audited.length, ...enforced, ...audited];
    subjects[id] = append(words, list);
  }
  words[L.RULES_PAIRS] = append(words, pairs.words);
  words[L.RULES_PREFIXES] = append(words, prefixes.words);
  words[L.RULES_LENGTHS] = append(words, lengths);
  words[L.RULES_LENGTH_COUNT] = lengths.length;
  words[L.RULES_SUBJECTS] = append(words, subjects);
  words[L.RULES_SUBJECT_COUNT] = subjectCount;
  words[L.RULES_NAMES] = words.length;
  words[L.RULES_NAME_COUNT] = rules.names.length;
  for (const { id, name } of rules.names) appendName(words, id, name);
  return Int32Array.from(words);
}

function append(words: number[], more: ArrayLike<number>): number {
  const at = words.length;
  for (let i = 0; i < more.length; i++) words.push(more[i]!);
  return at;
}

function appendName(words: number[], id: number, name: string): void {
  const bytes = encoder.encode(name);
  const text = new Uint8Array((bytes.length + 3) & ~3);
  text.set(bytes);
  words.push(id, bytes.length);
  append(words, new Int32Array(text.buffer));
}

/** What ports are allowed and by which rule: disjoint ranges of each protocol, a rule in force before an audited one. */
function encodePorts(ports: PolicyPorts[]): number[] {
  const best = (list: PolicyPorts[]) => list.find((p) => !p.audited) ?? list[0];
  const words = [wordOf(best(ports.filter((p) => p.proto === 0)))];
  const ranges = PROTOCOLS.map((proto) => flatten(ports.filter((p) => p.proto === proto)));
  words.push(...ranges.map((list) => list.length / 2));
  for (const list of ranges) words.push(...list);
  return words;
}

/**
 * Disjoint ranges (first << 16 | last, rule) in order. Between two edges the first entry in force that covers them
 * counts, or else the first audited one: two heaps of entries by their place in the list, from which what has ended is
 * taken when it comes to the top.
 */
function flatten(ports: PolicyPorts[]): number[] {
  const edges = [...new Set(ports.flatMap(({ first, last }) => [first, last + 1]))];
  edges.sort((a, b) => a - b);
  const coming = [...ports.keys()].sort((a, b) => ports[a]!.first - ports[b]!.first);
  const [enforced, audited]: [number[], number[]] = [[], []];
  const words: number[] = [];
  let next = 0;
  for (const [i, first] of edges.entries()) {
    for (; next < coming.length && ports[coming[next]!]!.first <= first; next++) {
      pushHeap(ports[coming[next]!]!.audited ? audited : enforced, coming[next]!);
    }
    for (const heap of [enforced, audited]) {
      while (heap.length > 0 && ports[heap[0]!]!.last < first) popHeap(heap);
    }
    const rule = wordOf(ports[enforced[0] ?? audited[0] ?? -1]);
    if (rule !== 0) words.push((first << 16) | (edges[i + 1]! - 1), rule);
  }
  return words;
}

/** Adds a number to a binary heap whose least is first. */
function pushHeap(heap: number[], value: number): void {
  let at = heap.length;
  heap.push(value);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = value;
}

/** Takes the least away. */
function popHeap(heap: number[]): void {
  const value = heap.pop()!;
  if (heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = at * 2 + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}

function wordOf(rule: PolicyPorts | undefined): number {
  if (!rule) return 0;
  const index = Math.min(rule.rule, L.RULE_INDEX_MASK);
  const audited = rule.audited ? L.RULE_AUDITED : 0;
  return L.RULE_SET | audited | (rule.policy << L.RULE_POLICY_SHIFT) | index;
}
