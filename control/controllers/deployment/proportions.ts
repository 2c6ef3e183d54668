// Scaling in the middle of a rollout: pkg/controller/deployment/sync.go (scale).
import type { KubeObject } from '../../kube/object.ts';
import { byAge, DESIRED, MAX, maxOf, totalReplicas } from './revisions.ts';

/**
 * New sizes of ReplicaSets that all have pods, so that each keeps its share of what their
 * Deployment may have. What rounding leaves goes to the largest.
 */
export function proportionalSizes(
  deployment: KubeObject,
  sets: KubeObject[],
): Map<KubeObject, number> {
  const { replicas } = deployment.spec;
  const allowed = replicas > 0 ? replicas + maxSurge(deployment) : 0;
  const toAdd = allowed - totalReplicas(sets);
  // Of sets of one size the newest grows first and the oldest shrinks first.
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

/** Pods that a set should gain or lose to stay as large a part as it was. */
function shareOf(deployment: KubeObject, set: KubeObject): number {
  const { replicas } = deployment.spec;
  const size: number = set.spec.replicas;
  if (replicas === 0) return -size;
  const before = maxOf(set) || deployment.status?.replicas || size;
  return Math.round((size * (replicas + maxSurge(deployment))) / before) - size;
}

/** What a ReplicaSet remembers of the Deployment that scales it. */
export function scaleAnnotations(deployment: KubeObject): Record<string, string> {
  const { replicas } = deployment.spec;
  return { [DESIRED]: String(replicas), [MAX]: String(replicas + maxSurge(deployment)) };
}

// How many pods a Deployment may have and must have: pkg/controller/deployment/util
// (ResolveFenceposts).

/** What a deadline is when nobody wants one. */
const NO_LIMIT = 0x7fff_ffff;

/** Pods above the number asked for that a rolling update may have. */
export function maxSurge(deployment: KubeObject): number {
  return isRolling(deployment) ? fenceposts(deployment).surge : 0;
}

/** Pods below the number asked for that a rolling update may be. */
export function maxUnavailable(deployment: KubeObject): number {
  const { replicas } = deployment.spec;
  if (!isRolling(deployment) || replicas === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, replicas);
}

export function isRolling({ spec }: KubeObject): boolean {
  return spec.strategy.type === 'RollingUpdate';
}

/** Seconds without progress after which a rollout counts as failed; null if it never does. */
export function progressDeadlineS({ spec }: KubeObject): number | null {
  return spec.progressDeadlineSeconds === NO_LIMIT ? null : spec.progressDeadlineSeconds;
}

function fenceposts({ spec }: KubeObject): { surge: number; unavailable: number } {
  const { rollingUpdate } = spec.strategy;
  const surge = resolve(rollingUpdate.maxSurge, spec.replicas, Math.ceil);
  const unavailable = resolve(rollingUpdate.maxUnavailable, spec.replicas, Math.floor);
  // Percentages of few pods may come to nothing, and then nothing would ever move.
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

function resolve(share: number | string, total: number, round: (n: number) => number): number {
  if (typeof share === 'number') return share;
  return round((Number.parseInt(share, 10) * total) / 100);
}
