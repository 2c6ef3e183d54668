// How many pods a Deployment may have and must have: pkg/controller/deployment/util
// (ResolveFenceposts).
import type { KubeObject } from '../../kube/object.ts';

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
