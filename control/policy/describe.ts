import type { PolicyHits } from '../../datapath/image/policy-reader.ts';
import { selects } from '../model/label-selector.ts';
import type { NetworkPolicyRow, PolicyPodRow, PolicyRuleRow } from '../model/policy-rows.ts';
import type { PolicyTables } from '../model/policy-tables.ts';
import { type PodSelector, peersOf, subjectsOf } from './rule-plan.ts';

type Hits = { ingress: PolicyHits; egress: PolicyHits };

/** A NetworkPolicy in force, as `kubetun policy list -o json` prints it. */
export interface PolicyDescription {
  /** `NS/NAME`. */
  policy: string;
  types: ('Ingress' | 'Egress')[];
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
      types: [
        ...(row.ingress ? (['Ingress'] as const) : []),
        ...(row.egress ? (['Egress'] as const) : []),
      ],
      audited: row.audited,
      pods: pods.map(({ key }) => key).sort(),
      ...hitsOf(row.key),
      findings: findingsOf(row, pods, tables),
      refused: refused.get(row.key) ?? [],
    };
  });
}

function podsOf(
  { namespace, namespaces, pods }: PodSelector,
  tables: PolicyTables,
): PolicyPodRow[] {
  return [...tables.pods.values()].filter((pod) => {
    const inside =
      namespaces === null
        ? pod.namespace === namespace
        : selects(namespaces, tables.namespaces.get(pod.namespace)?.labels);
    return inside && selects(pods, pod.labels);
  });
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
