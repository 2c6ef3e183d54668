// Taints and tolerations: component-helpers/scheduling/corev1 (TolerationsTolerateTaint).
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
  /** Limits the toleration of a NoExecute taint. Without it there is no limit. */
  tolerationSeconds?: number;
}

const PREFIX = 'node.kubernetes.io/';

/** The first taint that excludes a pod from a node, if any. */
export function untolerated(pod: KubeObject, node: KubeObject): Taint | undefined {
  const tolerations: Toleration[] = pod.spec.tolerations ?? [];
  return taintsOf(node).find((taint) => {
    const keepsOff = taint.effect === 'NoSchedule' || taint.effect === 'NoExecute';
    return keepsOff && !tolerations.some((toleration) => tolerates(toleration, taint));
  });
}

/** The number of PreferNoSchedule taints that a pod does not tolerate. */
export function disliked(pod: KubeObject, node: KubeObject): number {
  const tolerations: Toleration[] = pod.spec.tolerations ?? [];
  return taintsOf(node).filter((taint) => {
    const isSoft = taint.effect === 'PreferNoSchedule';
    return isSoft && !tolerations.some((toleration) => tolerates(toleration, taint));
  }).length;
}

/** True if a pod tolerates unschedulable nodes. */
export function toleratesCordon(pod: KubeObject): boolean {
  const taint = { key: `${PREFIX}unschedulable`, effect: 'NoSchedule' };
  return (pod.spec.tolerations ?? []).some((t: Toleration) => tolerates(t, taint));
}

/** The taints of a node, with the not-ready taint if its Ready condition is not true. */
function taintsOf({ spec, status }: KubeObject): Taint[] {
  const taints: Taint[] = spec?.taints ?? [];
  const conditions: { type: string; status: string }[] = status?.conditions ?? [];
  const ready = conditions.find(({ type }) => type === 'Ready')?.status;
  if (ready === 'True') return taints;
  const key = `${PREFIX}${ready === 'Unknown' ? 'unreachable' : 'not-ready'}`;
  const isKnown = taints.some((taint) => taint.key === key);
  return isKnown ? taints : [...taints, { key, effect: 'NoSchedule' }];
}

/** True if a toleration matches a taint. */
export function tolerates({ key, operator, value, effect }: Toleration, taint: Taint): boolean {
  if (effect && effect !== taint.effect) return false;
  if (key && key !== taint.key) return false;
  // An empty key with `Exists` matches all taints.
  if (operator === 'Exists') return true;
  return key !== undefined && (value ?? '') === (taint.value ?? '');
}
