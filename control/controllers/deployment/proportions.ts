// Scaling in the middle of a rollout: pkg/controller/deployment/sync.go (scale).
import type { KubeObject } from '../../kube/object.ts';
import { maxSurge } from './limits.ts';
import { byAge, maxOf, totalReplicas } from './revisions.ts';

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
