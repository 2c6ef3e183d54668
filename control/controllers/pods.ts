// What workload controllers ask of pods: pkg/api/pod, pkg/controller/controller_utils.go.
import type { KubeObject } from '../kube/object.ts';

/** A pod that has run to its end takes no place. */
export function isOver({ status }: KubeObject): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

/** A pod that counts: it has neither ended nor been told to. */
export function isActive(pod: KubeObject): boolean {
  return !isOver(pod) && !pod.metadata.deletionTimestamp;
}

/** Since when a pod is ready, in milliseconds since 1970; null if it is not. */
export function readySinceMs({ status }: KubeObject): number | null {
  const conditions: { type: string; status: string; lastTransitionTime?: string }[] =
    status?.conditions ?? [];
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (ready?.status !== 'True') return null;
  return Date.parse(ready.lastTransitionTime ?? '') || 0;
}

/**
 * Milliseconds until a pod has been ready for so many seconds: 0 if it has, null if it is not
 * ready.
 */
export function availableInMs(pod: KubeObject, minReadyS: number, nowMs: number): number | null {
  const since = readySinceMs(pod);
  if (since === null) return null;
  return minReadyS === 0 ? 0 : Math.max(0, since + minReadyS * 1000 - nowMs);
}
