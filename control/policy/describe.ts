import type { PolicyHits } from '../../datapath/image/policy-reader.ts';
import type { NetworkPolicyRow, PolicyPodRow, PolicyRuleRow } from '../model/policy-rows.ts';
import type { PolicyTables } from '../model/policy-tables.ts';
import { type PodSelector, peersOf, selectsPod, subjectsOf } from './rule-plan.ts';

const TYPES = ['Ingress', 'Egress'] as const;
type Hits = { ingress: PolicyHits; egress: PolicyHits };

/** A NetworkPolicy in force, as `kubetun policy list -o json` prints it. */
export interface PolicyDescription {
  /** `NS/NAME`. */
  policy: string;
  types: (typeof TYPES)[number][];
  audited: boolean;
  /** Number of pods that it selects. */
  pods: string[];
  /** Counters of this node's datapath. */
  ingress: PolicyHits;
  egress: PolicyHits;
  /** Probable mistakes: see `policy check`. */
  findings: string[];
  /** Why its rules are not in force. Such a policy allows nothing to its pods. */
  refused: string[];
}

/**
 * @param hitsOf the counters of a policy by its key.
 * @param refused the reasons against policies by their keys.
 */
export function describePolicies(
  tables: PolicyTables,
  hitsOf: (key: string) => Hits,
  refused: ReadonlyMap<string, string[]>,
): PolicyDescription[] {
  const rows = [...tables.policies.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  return rows.map((row) => {
    const pods = podsOf(subjectsOf(row), tables);
    return {
      policy: row.key,
      types: TYPES.filter((type) => row[type === 'Ingress' ? 'ingress' : 'egress']),
      audited: row.audited,
      pods: pods.map(({ key }) => key).sort(),
      ...hitsOf(row.key),
      findings: findingsOf(row, pods, tables),
      refused: refused.get(row.key) ?? [],
    };
  });
}

function podsOf(selector: PodSelector, { pods, namespaces }: PolicyTables): PolicyPodRow[] {
  return [...pods.values()].filter((pod) => selectsPod(selector, pod, namespaces));
}

function findingsOf(
  row: NetworkPolicyRow,
  subjects: PolicyPodRow[],
  tables: PolicyTables,
): string[] {
  const findings = subjects.length === 0 ? ['it selects no pod'] : [];
  for (const direction of ['ingress', 'egress'] as const) {
    for (const [number, rule] of (row[direction] ?? []).entries()) {
      const peers = peerPods(row, rule, tables);
      const say = (text: string) => findings.push(`${direction} rule ${number}: ${text}`);
      if (peers?.length === 0 && rule.blocks.length === 0) say('its peers select no pod');
      const destinations =
        direction === 'ingress' ? subjects : (peers ?? [...tables.pods.values()]);
      for (const { name, proto } of rule.ports ?? []) {
        if (name === null || destinations.length === 0) continue;
        const has = (pod: PolicyPodRow) =>
          pod.ports.some((p) => p.name === name && p.proto === proto);
        if (!destinations.some(has)) say(`no destination has a port named ${name}`);
      }
      if (rule.ports?.length === 0) say('it names ports, and none that can be');
    }
  }
  return findings;
}

/** Undefined for a rule without peers, which means everyone. */
function peerPods(
  row: NetworkPolicyRow,
  { pods }: PolicyRuleRow,
  tables: PolicyTables,
): PolicyPodRow[] | undefined {
  return pods?.flatMap((peer) => podsOf(peersOf(row, peer), tables));
}
