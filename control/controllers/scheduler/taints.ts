// What keeps pods off a node: component-helpers/scheduling/corev1 (TolerationsTolerateTaint).
import type { KubeObject } from '../../kube/object.ts';

export interface Taint {
  key: string;
  value?: string;
  effect: string;
}

export interface Toleration {
  key?: string;
  operator?: string;
  value?: string;
  effect?: string;
  /** How long a taint of effect NoExecute is borne; for ever if nothing is said. */
  tolerationSeconds?: number;
}

const PREFIX = 'node.kubernetes.io/';

/** The first taint that keeps a pod off a node; undefined if none does. */
export function untolerated(pod: KubeObject, node: KubeObject): Taint | undefined {
  const tolerations: Toleration[] = pod.spec.tolerations ?? [];
  return taintsOf(node).find((taint) => {
    const keepsOff = taint.effect === 'NoSchedule' || taint.effect === 'NoExecute';
    return keepsOff && !tolerations.some((toleration) => tolerates(toleration, taint));
  });
}

/** Taints that a pod would rather not have, and does not tolerate. */
export function disliked(pod: KubeObject, node: KubeObject): number {
  const tolerations: Toleration[] = pod.spec.tolerations ?? [];
  return taintsOf(node).filter((taint) => {
    const isSoft = taint.effect === 'PreferNoSchedule';
    return isSoft && !tolerations.some((toleration) => tolerates(toleration, taint));
  }).length;
}

/** True if a pod comes to nodes that take no new ones. */
export function toleratesCordon(pod: KubeObject): boolean {
  const taint = { key: `${PREFIX}unschedulable`, effect: 'NoSchedule' };
  return (pod.spec.tolerations ?? []).some((t: Toleration) => tolerates(t, taint));
}

/**
 * The taints of a node, and the one that a node without a Ready condition that holds should have.
 */
function taintsOf({ spec, status }: KubeObject): Taint[] {
  const taints: Taint[] = spec?.taints ?? [];
  const conditions: { type: string; status: string }[] = status?.conditions ?? [];
  const ready = conditions.find(({ type }) => type === 'Ready')?.status;
  if (ready === 'True') return taints;
  const key = `${PREFIX}${ready === 'Unknown' ? 'unreachable' : 'not-ready'}`;
  const isKnown = taints.some((taint) => taint.key === key);
  return isKnown ? taints : [...taints, { key, effect: 'NoSchedule' }];
}

/** True if a toleration is one of this taint. */
export function tolerates({ key, operator, value, effect }: Toleration, taint: Taint): boolean {
  if (effect && effect !== taint.effect) return false;
  if (key && key !== taint.key) return false;
  // Without a key only `Exists` makes sense, and tolerates everything.
  if (operator === 'Exists') return true;
  return key !== undefined && (value ?? '') === (taint.value ?? '');
}
