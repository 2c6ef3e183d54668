// The NetworkPolicies behind a verdict, with their names.
import type { Arena } from '../arena/arena.ts';
import { readPolicyNames, readPolicySubject } from '../image/policy-reader.ts';
import type { PolicyVerdict } from '../pipeline/decision.ts';
import * as L from '../policy/layout.ts';

/** One policy's part in a verdict. */
export interface PolicyNote {
  direction: 'egress' | 'ingress';
  /** `NS/NAME`. */
  policy: string;
  /** `audit`: it would have dropped the packet if it were in force. */
  verdict: 'allow' | 'drop' | 'audit';
  /** Number of the rule that allowed it, from 0, in that direction of the policy; null for none. */
  rule: number | null;
}

/**
 * The policies behind a policyVerdict: the one whose rule allowed, or all that selected the pod.
 */
export function notePolicies(
  arena: Arena,
  checked: Pick<PolicyVerdict, 'egress' | 'egressRule' | 'ingress' | 'ingressRule'>,
  namesOf: (arena: Arena) => Map<number, string> = readPolicyNames,
): PolicyNote[] {
  const { egress, egressRule, ingress, ingressRule } = checked;
  if (egress === 0 && ingress === 0) return [];
  const names = namesOf(arena);
  return [
    ...noteDirection(arena, names, 'egress', egress, egressRule),
    ...noteDirection(arena, names, 'ingress', ingress, ingressRule),
  ];
}

function noteDirection(
  arena: Arena,
  names: Map<number, string>,
  direction: PolicyNote['direction'],
  subject: number,
  rule: number,
): PolicyNote[] {
  const note = (id: number, verdict: PolicyNote['verdict'], number: number | null): PolicyNote => ({
    ...{ direction, policy: names.get(id) ?? '', verdict, rule: number },
  });
  if (subject === 0) return [];
  const { enforced, audited } = readPolicySubject(arena, subject);
  const inForce = rule !== 0 && (rule & L.RULE_AUDITED) === 0;
  if (inForce || (rule !== 0 && enforced.length === 0)) {
    const id = (rule >>> L.RULE_POLICY_SHIFT) & L.RULE_POLICY_MASK;
    return [note(id, 'allow', rule & L.RULE_INDEX_MASK)];
  }
  if (enforced.length > 0) return enforced.map((id) => note(id, 'drop', null));
  return audited.map((id) => note(id, 'audit', null));
}
