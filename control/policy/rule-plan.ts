// The part of NetworkPolicy selectors and rules that does not depend on pods.
import type { PolicyPorts } from '../../datapath/policy/policy.ts';
import { type LabelSelector, selects } from '../model/label-selector.ts';
import type {
  NamedPort,
  NamespaceRow,
  NetworkPolicyRow,
  PodPeerRow,
  PolicyPodRow,
  PolicyPortRow,
  PolicyRuleRow,
} from '../model/policy-rows.ts';

/** Selects pods by their labels and by the labels of their namespaces. */
export interface PodSelector {
  /** The namespace that applies if `namespaces` is null. */
  namespace: string;
  namespaces: LabelSelector | null;
  pods: LabelSelector;
}

/** Selects the pods that a policy applies to. */
export function subjectsOf({ namespace, selector }: NetworkPolicyRow): PodSelector {
  return { namespace, namespaces: null, pods: selector };
}

/** Selects the pods that a peer of a rule names. */
export function peersOf({ namespace }: NetworkPolicyRow, peer: PodPeerRow): PodSelector {
  const { namespaces, pods } = peer;
  return { namespace: namespaces ? '' : namespace, namespaces, pods };
}

/** True if a selector selects pods with these labels in this namespace. */
export function selectsPod(
  { namespace, namespaces, pods }: PodSelector,
  pod: Pick<PolicyPodRow, 'namespace' | 'labels'>,
  known: ReadonlyMap<string, NamespaceRow>,
): boolean {
  const isInside = namespaces
    ? selects(namespaces, known.get(pod.namespace)?.labels)
    : pod.namespace === namespace;
  return isInside && selects(pods, pod.labels);
}

/**
 * Equal selectors get equal keys if their fields are in the same order. Otherwise the same pods are
 * compiled twice, which costs time but changes no result.
 */
export function keyOf({ namespace, namespaces, pods }: PodSelector): string {
  return JSON.stringify([namespace, namespaces, pods]);
}

/** True for a selector that selects every pod of the cluster. */
export function choosesAll({ namespaces, pods }: PodSelector): boolean {
  return namespaces !== null && isEmpty(namespaces) && isEmpty(pods);
}

function isEmpty({ matchLabels, matchExpressions }: LabelSelector): boolean {
  return Object.keys(matchLabels ?? {}).length === 0 && (matchExpressions ?? []).length === 0;
}

export interface RulePlan {
  /** Distinct selectors of its peers, without those that select every pod. Null for everyone. */
  keys: Set<string> | null;
  everyPod: boolean;
  /** True if the rule names ports. */
  named: boolean;
}

const EVERY_PORT = { proto: 0, first: 0, last: 65_535 };

export function rulesOf({ ingress, egress }: NetworkPolicyRow): PolicyRuleRow[] {
  return [...(ingress ?? []), ...(egress ?? [])];
}

export function planOf(policy: NetworkPolicyRow, rule: PolicyRuleRow): RulePlan {
  const named = namesIn([rule]).length > 0;
  if (rule.pods === null) return { keys: null, everyPod: false, named };
  const selectors = rule.pods.map((peer) => peersOf(policy, peer));
  return {
    keys: new Set(selectors.filter((selector) => !choosesAll(selector)).map(keyOf)),
    everyPod: selectors.some(choosesAll),
    named,
  };
}

/** Port names in rules. */
export function namesIn(rules: PolicyRuleRow[] | null): string[] {
  const names = (rules ?? []).flatMap(({ ports }) => (ports ?? []).map(({ name }) => name));
  return names.filter((name) => name !== null);
}

/** Port ranges that a rule allows. A name gives a range for each such port of the destination. */
export function portsOf(
  { ports }: PolicyRuleRow,
  named: NamedPort[] | null,
): Pick<PolicyPorts, 'proto' | 'first' | 'last'>[] {
  if (ports === null) return [EVERY_PORT];
  const own = Map.groupBy(named ?? [], ({ name, proto }) => `${proto} ${name}`);
  return ports.flatMap(({ name, proto, first, last }: PolicyPortRow) => {
    if (name === null) return [{ proto, first, last }];
    const found = own.get(`${proto} ${name}`) ?? [];
    return found.map(({ number }) => ({ proto, first: number, last: number }));
  });
}
