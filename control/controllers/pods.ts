// States of pods for workload controllers: pkg/api/pod, pkg/controller/controller_utils.go.
import { conditionOf, type KubeObject } from '../kube/object.ts';

/** True if a pod has run to its end. */
export function isOver({ status }: KubeObject): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

/** True if a pod has neither ended nor started its deletion. */
export function isActive(pod: KubeObject): boolean {
  return !isOver(pod) && !pod.metadata.deletionTimestamp;
}

/** When a pod became ready, in milliseconds since 1970. Null if it is not ready. */
export function readySinceMs(pod: KubeObject): number | null {
  const ready = conditionOf(pod, 'Ready');
  if (ready?.status !== 'True') return null;
  return Date.parse(ready.lastTransitionTime ?? '') || 0;
}

/**
 * Milliseconds until a pod has been ready for `minReadyS`: 0 if it has, null if it is not ready.
 */
export function availableInMs(pod: KubeObject, minReadyS: number, nowMs: number): number | null {
  const since = readySinceMs(pod);
  if (since === null) return null;
  return minReadyS === 0 ? 0 : Math.max(0, since + minReadyS * 1000 - nowMs);
}
