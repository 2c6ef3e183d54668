// Scaling during a rollout: pkg/controller/deployment/sync.go (scale).
import type { KubeObject } from '../../kube/object.ts';
import { byAge, DESIRED, MAX, maxOf, totalReplicas } from './revisions.ts';

/**
 * New sizes of ReplicaSets with pods. Each keeps its share of the Deployment's pods. The largest
 * gets the rounding difference.
 */
export function proportionalSizes(
  deployment: KubeObject,
  sets: KubeObject[],
): Map<KubeObject, number> {
  const { replicas } = deployment.spec;
  const allowed = replicas > 0 ? replicas + maxSurge(deployment) : 0;
  const toAdd = allowed - totalReplicas(sets);
  // Among sets of equal size the newest grows first and the oldest shrinks first.
  const newerFirst = toAdd > 0 ? -1 : 1;
  const sorted = sets.toSorted(
    (a, b) => b.spec.replicas - a.spec.replicas || newerFirst * byAge(a, b),
  );
  let left = toAdd;
  const sizes = new Map<KubeObject, number>();
  for (const set of sorted) {
    const share = shareOf(deployment, set);
    const part = toAdd > 0 ? Math.min(share, left) : Math.max(share, left);
    const added = toAdd === 0 || left === 0 ? 0 : part;
    sizes.set(set, set.spec.replicas + added);
    left -= added;
  }
  const [largest] = sorted;
  if (largest) sizes.set(largest, Math.max(0, sizes.get(largest)! + left));
  return sizes;
}

/** Pods that a set gains or loses to keep its share. */
function shareOf(deployment: KubeObject, set: KubeObject): number {
  const { replicas } = deployment.spec;
  const size: number = set.spec.replicas;
  if (replicas === 0) return -size;
  const before = maxOf(set) || deployment.status?.replicas || size;
  return Math.round((size * (replicas + maxSurge(deployment))) / before) - size;
}

/** Annotations of a ReplicaSet about the size of its Deployment. */
export function scaleAnnotations(deployment: KubeObject): Record<string, string> {
  const { replicas } = deployment.spec;
  return { [DESIRED]: String(replicas), [MAX]: String(replicas + maxSurge(deployment)) };
}

// The maximum and minimum of a Deployment's pods: pkg/controller/deployment/util
// (ResolveFenceposts).

/** A deadline of this value means no deadline. */
const NO_LIMIT = 0x7fff_ffff;

/** Pods above `replicas` that a rolling update can have. */
export function maxSurge(deployment: KubeObject): number {
  return isRolling(deployment) ? fenceposts(deployment).surge : 0;
}

/** Unavailable pods below `replicas` that a rolling update can have. */
export function maxUnavailable(deployment: KubeObject): number {
  const { replicas } = deployment.spec;
  if (!isRolling(deployment) || replicas === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, replicas);
}

export function isRolling({ spec }: KubeObject): boolean {
  return spec.strategy.type === 'RollingUpdate';
}

/** Seconds without progress after which a rollout fails. Null for no deadline. */
export function progressDeadlineS({ spec }: KubeObject): number | null {
  return spec.progressDeadlineSeconds === NO_LIMIT ? null : spec.progressDeadlineSeconds;
}

function fenceposts({ spec }: KubeObject): { surge: number; unavailable: number } {
  const { rollingUpdate } = spec.strategy;
  const surge = resolve(rollingUpdate.maxSurge, spec.replicas, Math.ceil);
  const unavailable = resolve(rollingUpdate.maxUnavailable, spec.replicas, Math.floor);
  // Percentages of few pods can both round to 0, and then no pod would ever change.
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

function resolve(share: number | string, total: number, round: (n: number) => number): number {
  if (typeof share === 'number') return share;
  return round((Number.parseInt(share, 10) * total) / 100);
}
