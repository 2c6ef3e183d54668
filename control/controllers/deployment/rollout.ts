// The steps of a rollout, as pure decisions: pkg/controller/deployment/rolling.go, recreate.go.
import type { KubeObject } from '../../kube/object.ts';
import { isRolling, maxSurge, maxUnavailable, proportionalSizes } from './proportions.ts';
import { desiredOf, totalOf, totalReplicas, withReplicas } from './revisions.ts';
import { allOf, type Sets } from './status.ts';

/** New sizes of ReplicaSets. */
export type Sizes = Map<KubeObject, number>;

/** The size to which the newest ReplicaSet can grow beside the pods of the others. */
export function sizeOfNewest(deployment: KubeObject, others: KubeObject[], size: number): number {
  const { replicas } = deployment.spec;
  if (!isRolling(deployment)) return replicas;
  const free = replicas + maxSurge(deployment) - totalReplicas(others) - size;
  return free <= 0 ? size : size + Math.min(free, replicas - size);
}

/**
 * The next step of a rolling update: the newest set grows, or others shrink. Empty if neither can.
 */
export function rollingStep(
  deployment: KubeObject,
  newest: KubeObject,
  others: KubeObject[],
): Sizes {
  const { replicas } = deployment.spec;
  const size: number = newest.spec.replicas;
  if (size > replicas) return new Map([[newest, replicas]]);
  const wanted = sizeOfNewest(deployment, others, size);
  if (wanted !== size) return new Map([[newest, wanted]]);
  return shrinkOthers(deployment, newest, withReplicas(others));
}

function shrinkOthers(deployment: KubeObject, newest: KubeObject, others: KubeObject[]): Sizes {
  const sizes: Sizes = new Map();
  const least = deployment.spec.replicas - maxUnavailable(deployment);
  const notYet = newest.spec.replicas - (newest.status?.availableReplicas ?? 0);
  const total = totalReplicas([...others, newest]);
  const excess = total - least - notYet;
  if (others.length === 0 || excess <= 0) return sizes;
  const sizeOf = (set: KubeObject): number => sizes.get(set) ?? set.spec.replicas;
  // Unavailable pods go first: they serve no client and would delay the rest.
  let unhealthy = excess;
  for (const set of others) {
    const gone = Math.min(unhealthy, sizeOf(set) - (set.status?.availableReplicas ?? 0));
    if (gone <= 0) continue;
    sizes.set(set, sizeOf(set) - gone);
    unhealthy -= gone;
  }
  let spare = totalOf([...others, newest], 'availableReplicas') - least;
  for (const set of others) {
    const gone = Math.min(spare, sizeOf(set));
    if (gone <= 0) continue;
    sizes.set(set, sizeOf(set) - gone);
    spare -= gone;
  }
  return sizes;
}

/** True if the Deployment was scaled after its ReplicaSets. */
export function isScaled(deployment: KubeObject, sets: Sets): boolean {
  return withReplicas(allOf(sets)).some((set) => {
    const desired = desiredOf(set);
    return desired !== null && desired !== deployment.spec.replicas;
  });
}

/** New sizes of existing ReplicaSets after the Deployment was scaled, without a rollout step. */
export function scalingStep(deployment: KubeObject, sets: Sets): Sizes {
  const { replicas } = deployment.spec;
  const { newest, others } = sets;
  const active = withReplicas(allOf(sets));
  const only = active.length === 0 ? (newest ?? others.at(-1)) : active.length === 1 && active[0];
  if (only) return new Map([[only, replicas]]);
  if (newest && isSaturated(newest, replicas)) {
    return new Map(withReplicas(others).map((set) => [set, 0]));
  }
  return isRolling(deployment) ? proportionalSizes(deployment, active) : new Map();
}

function isSaturated(set: KubeObject, replicas: number): boolean {
  const enough = set.spec.replicas === replicas && set.status?.availableReplicas === replicas;
  return enough && desiredOf(set) === replicas;
}
