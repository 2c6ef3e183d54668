// The blocks of the policy part as words, ready to be copied into the arena. Pure.

import type { PolicyPod, PolicyPorts, PolicyRules } from './policy.ts';
import * as L from './policy-layout.ts';

const SLOTS_MIN = 16;
const PROTOCOLS = [6, 17, 132];
const encoder = new TextEncoder();

/** The map of pods; its mask is its length less one slot. */
export function encodePods(pods: PolicyPod[]): Int32Array {
  return buildMap(
    pods.map((p) => [p.address, p.node, p.ingress, p.egress, p.peer, p.born, p.uid, 1]),
    L.POD_SHIFT,
    (slot) => L.hashPolicy(slot[L.POD_ADDRESS]!, 0),
  );
}

export function encodeRules(rules: PolicyRules): Int32Array {
  const words: number[] = new Array(L.RULES_HEADER_WORDS).fill(0);
  const portsAt = rules.portSets.map((ports) => append(words, encodePorts(ports)));
  const pairs = buildMap(
    rules.pairs.map(({ subject, peer, ports }) => [subject, peer, portsAt[ports]!, 1]),
    L.MAP_SHIFT,
    (slot) => L.hashPolicy(slot[L.PAIR_SUBJECT]!, slot[L.PAIR_PEER]!),
  );
  const prefixes = buildMap(
    rules.prefixes.map(({ address, length, peer }) => [address, length, peer, 1]),
    L.MAP_SHIFT,
    (slot) => L.hashPolicy(slot[L.PREFIX_ADDRESS]!, slot[L.PREFIX_LENGTH]!),
  );
  const lengths = [...new Set(rules.prefixes.map((p) => p.length))].sort((a, b) => b - a);
  const subjectCount = rules.subjects.reduce((most, s) => Math.max(most, s.id + 1), 1);
  const subjects: number[] = new Array(subjectCount).fill(0);
  for (const { id, enforced, audited } of rules.subjects) {
    const list = [enforced.length, audited.length, ...enforced, ...audited];
    subjects[id] = append(words, list);
  }
  words[L.RULES_PAIRS] = append(words, pairs);
  words[L.RULES_PAIR_MASK] = (pairs.length >> L.MAP_SHIFT) - 1;
  words[L.RULES_PREFIXES] = append(words, prefixes);
  words[L.RULES_PREFIX_MASK] = (prefixes.length >> L.MAP_SHIFT) - 1;
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

/** Open addressing at a load of at most one half, every key near its home. */
function buildMap(
  entries: number[][],
  shift: number,
  hashOf: (entry: number[]) => number,
): Int32Array {
  let slots = SLOTS_MIN;
  while (slots < entries.length * 2) slots *= 2;
  for (;;) {
    const map = fillMap(entries, slots, shift, hashOf);
    if (map) return map;
    slots *= 2;
  }
}

function fillMap(
  entries: number[][],
  slots: number,
  shift: number,
  hashOf: (entry: number[]) => number,
): Int32Array | null {
  const map = new Int32Array(slots << shift);
  const used = (1 << shift) - 1;
  for (const entry of entries) {
    const home = hashOf(entry);
    let probes = 0;
    let at = (home & (slots - 1)) << shift;
    while (map[at + used] !== 0) {
      if (++probes >= L.POLICY_PROBES_MAX) return null;
      at = ((home + probes) & (slots - 1)) << shift;
    }
    map.set(entry, at);
  }
  return map;
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

/** Disjoint ranges (first << 16 | last, rule) in order. */
function flatten(ports: PolicyPorts[]): number[] {
  const starts = new Set<number>();
  for (const { first, last } of ports) starts.add(first).add(last + 1);
  const edges = [...starts].sort((a, b) => a - b);
  const words: number[] = [];
  for (const [i, first] of edges.entries()) {
    const over = ports.filter((p) => p.first <= first && first <= p.last);
    const rule = wordOf(over.find((p) => !p.audited) ?? over[0]);
    if (rule !== 0) words.push((first << 16) | (edges[i + 1]! - 1), rule);
  }
  return words;
}

function wordOf(rule: PolicyPorts | undefined): number {
  if (!rule) return 0;
  const index = Math.min(rule.rule, L.RULE_INDEX_MASK);
  const audited = rule.audited ? L.RULE_AUDITED : 0;
  return L.RULE_SET | audited | (rule.policy << L.RULE_POLICY_SHIFT) | index;
}
