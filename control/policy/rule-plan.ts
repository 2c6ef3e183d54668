// What of a rule of a NetworkPolicy does not depend on the pods that there are.
import type { PolicyPorts } from '../../datapath/policy/policy.ts';
import type {
  NamedPort,
  NetworkPolicyRow,
  PolicyPortRow,
  PolicyRuleRow,
} from '../model/policy-rows.ts';
import { choosesAll, keyOf, peersOf } from './pod-selector.ts';

export interface RulePlan {
  /** Selectors of its peers but those that choose every pod, each once; null for everyone. */
  keys: Set<string> | null;
  everyPod: boolean;
  /** It has names for ports. */
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

/** Names that rules have for ports. */
export function namesIn(rules: PolicyRuleRow[] | null): string[] {
  const names = (rules ?? []).flatMap(({ ports }) => (ports ?? []).map(({ name }) => name));
  return names.filter((name) => name !== null);
}

/**
 * Ranges that a rule allows; a name counts as often as the destination has it, and not where there
 * is none to ask.
 */
export function portsOf(
  { ports }: PolicyRuleRow,
  named: NamedPort[] | null,
): Pick<PolicyPorts, 'proto' | 'first' | 'last'>[] {
  if (ports === null) return [EVERY_PORT];
  const own = new Map<string, number[]>();
  for (const { name, proto, number } of named ?? []) {
    const key = `${proto} ${name}`;
    own.set(key, [...(own.get(key) ?? []), number]);
  }
  return ports.flatMap(({ name, proto, first, last }: PolicyPortRow) => {
    if (name === null) return [{ proto, first, last }];
    const numbers = own.get(`${proto} ${name}`) ?? [];
    return numbers.map((number) => ({ proto, first: number, last: number }));
  });
}
