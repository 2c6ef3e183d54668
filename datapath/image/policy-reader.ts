// The policy part for cold readers: the next agent, the command line. A block may change during the
// read, so every length is checked before use.

import type { Arena } from '../arena/arena.ts';
import { KEY_B, MAP_HEADER_WORDS, MAP_MASK } from '../map.ts';
import * as L from '../policy/layout.ts';
import { POLICY_ID_MAX } from '../policy/policy.ts';
import * as I from './layout.ts';
import { readName, rootWord } from './reader.ts';

const NAMES_MAX = 100_000;
const PODS_MAX = 1 << 22;

/** Counts of a policy in one direction. */
export interface PolicyHits {
  /** New connections that one of its rules allowed. */
  allowed: number;
  /** Packets dropped because no policy that selects the pod allows them. */
  dropped: number;
  /** New connections that an audited policy would have dropped. */
  audited: number;
}

/** The policies of the image in force, for the next agent. All empty without an image. */
export interface PolicySurvivors {
  generation: number;
  /** By address. */
  pods: Map<number, { uid: number; born: number }>;
  /** `NS/NAME` by id. */
  names: Map<number, string>;
}

export function readPolicySurvivors(arena: Arena): PolicySurvivors {
  return {
    generation: readPolicyGeneration(arena),
    pods: readPolicyPods(arena),
    names: readPolicyNames(arena),
  };
}

/** The policy generation in force, 0 before the first. */
export function readPolicyGeneration(arena: Arena): number {
  return rootWord(arena, I.ROOT_POLICY_GENERATION);
}

/** Names (`NS/NAME`) of the policies in force by id. */
export function readPolicyNames(arena: Arena): Map<number, string> {
  const names = new Map<number, string>();
  const { image } = arena;
  const rules = rootWord(arena, I.ROOT_POLICY_RULES);
  if (rules === 0) return names;
  const count = Math.min(image[rules + L.RULES_NAME_COUNT] ?? 0, NAMES_MAX);
  let at = rules + image[rules + L.RULES_NAMES]!;
  for (let n = 0; n < count; n++) {
    const bytes = image[at + 1] ?? -1;
    const name = readName(arena, at + 2, bytes);
    if (name === null) break;
    names.set(image[at]!, name);
    at += 2 + ((bytes + 3) >> 2);
  }
  return names;
}

/** Ids of a subject's policies. */
export function readPolicySubject(
  arena: Arena,
  subject: number,
): { enforced: number[]; audited: number[] } {
  const { image } = arena;
  const rules = rootWord(arena, I.ROOT_POLICY_RULES);
  const known = rules !== 0 && subject > 0 && subject < image[rules + L.RULES_SUBJECT_COUNT]!;
  if (!known) return { enforced: [], audited: [] };
  const at = rules + image[rules + image[rules + L.RULES_SUBJECTS]! + subject]!;
  const [enforced, audited] = [image[at] ?? 0, image[at + 1] ?? 0];
  if (enforced < 0 || audited < 0 || enforced + audited > POLICY_ID_MAX) {
    return { enforced: [], audited: [] };
  }
  const ids = Array.from(image.subarray(at + 2, at + 2 + enforced + audited));
  return { enforced: ids.slice(0, enforced), audited: ids.slice(enforced) };
}

/** Pods by address. */
function readPolicyPods(arena: Arena): Map<number, { uid: number; born: number }> {
  const pods = new Map<number, { uid: number; born: number }>();
  const { image } = arena;
  const block = rootWord(arena, I.ROOT_POLICY_PODS);
  if (block === 0) return pods;
  const slots = Math.min(image[block + MAP_MASK]! + 1, PODS_MAX);
  for (let slot = 0; slot < slots; slot++) {
    const at = block + MAP_HEADER_WORDS + (slot << L.POD_SHIFT);
    if (image[at + KEY_B] !== L.POD_KEY) continue;
    const [uid, born] = [image[at + L.POD_UID]!, image[at + L.POD_BORN]!];
    pods.set(image[at + L.POD_ADDRESS]!, { uid, born });
  }
  return pods;
}

/** Counts of a policy since it was created, or since the arena was. */
export function readPolicyHits(
  arena: Arena,
  id: number,
): { ingress: PolicyHits; egress: PolicyHits } {
  const row = arena.policies.subarray(id * L.POLICY_COUNTERS, (id + 1) * L.POLICY_COUNTERS);
  const at = (base: number): PolicyHits => ({
    allowed: row[base + L.POLICY_ALLOWED]!,
    dropped: row[base + L.POLICY_DROPPED]!,
    audited: row[base + L.POLICY_AUDITED]!,
  });
  return { ingress: at(0), egress: at(L.POLICY_EGRESS) };
}
