// Taints and tolerations: component-helpers/scheduling/corev1 (TolerationsTolerateTaint).
import { conditionOf, type KubeObject } from '../../kube/object.ts';

export interface Taint {
  key: string;
  value?: string;
  effect: string;
  timeAdded?: string;
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
  return taintsOf(node).find(
    (taint) => ['NoSchedule', 'NoExecute'].includes(taint.effect) && !isTolerated(pod, taint),
  );
}

/** The number of PreferNoSchedule taints that a pod does not tolerate. */
export function disliked(pod: KubeObject, node: KubeObject): number {
  return taintsOf(node).filter(
    (taint) => taint.effect === 'PreferNoSchedule' && !isTolerated(pod, taint),
  ).length;
}

/** True if a pod tolerates unschedulable nodes. */
export function toleratesCordon(pod: KubeObject): boolean {
  return isTolerated(pod, { key: `${PREFIX}unschedulable`, effect: 'NoSchedule' });
}

function isTolerated({ spec }: KubeObject, taint: Taint): boolean {
  const tolerations: Toleration[] = spec.tolerations ?? [];
  return tolerations.some((toleration) => tolerates(toleration, taint));
}

/** The taints of a node, with the not-ready taint if its Ready condition is not true. */
function taintsOf(node: KubeObject): Taint[] {
  const taints: Taint[] = node.spec?.taints ?? [];
  const ready = conditionOf(node, 'Ready')?.status;
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
