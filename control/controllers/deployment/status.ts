// The status of a Deployment: pkg/controller/deployment/progress.go, sync.go (calculateStatus).
import { type Condition, conditionOf, conditionsOf, type KubeObject } from '../../kube/object.ts';
import { available, progressing, withFact, without } from './conditions.ts';
import { maxUnavailable, progressDeadlineS } from './proportions.ts';
import { totalOf, totalReplicas } from './revisions.ts';

export interface DeploymentStatus {
  observedGeneration?: number;
  replicas?: number;
  updatedReplicas?: number;
  readyReplicas?: number;
  availableReplicas?: number;
  unavailableReplicas?: number;
  collisionCount?: number;
  conditions?: Condition[];
}

/** The ReplicaSets of a Deployment. `newest` has its template. */
export interface Sets {
  newest: KubeObject | undefined;
  others: KubeObject[];
}

const TIMED_OUT = 'ProgressDeadlineExceeded';
const COMPLETE = 'NewReplicaSetAvailable';

/** Counts and availability. Conditions about progress stay. */
export function plainStatus(deployment: KubeObject, sets: Sets, nowMs: number): DeploymentStatus {
  const all = allOf(sets);
  const old: DeploymentStatus = deployment.status ?? {};
  const ready = totalOf(all, 'availableReplicas');
  const isEnough = ready >= deployment.spec.replicas - maxUnavailable(deployment);
  const numbers = {
    replicas: totalOf(all, 'replicas'),
    updatedReplicas: totalOf(sets.newest ? [sets.newest] : [], 'replicas'),
    readyReplicas: totalOf(all, 'readyReplicas'),
    availableReplicas: ready,
    unavailableReplicas: Math.max(0, totalReplicas(all) - ready),
  };
  return {
    observedGeneration: deployment.metadata.generation!,
    // Upstream omits zeros.
    ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0)),
    ...(old.collisionCount && { collisionCount: old.collisionCount }),
    conditions: withFact(old.conditions ?? [], available(isEnough), nowMs),
  };
}

/** The status during or after a rollout. */
export function rolloutStatus(deployment: KubeObject, sets: Sets, nowMs: number): DeploymentStatus {
  const status = plainStatus(deployment, sets, nowMs);
  let conditions = status.conditions!;
  const deadlineS = progressDeadlineS(deployment);
  if (deadlineS === null) conditions = without(conditions, 'Progressing');
  else if (!wasComplete(deployment, status)) {
    conditions = withProgress(deployment, sets, { ...status, conditions }, nowMs);
  }
  const failed = [sets.newest, ...sets.others]
    .flatMap(conditionsOf)
    .find(({ type, status }) => type === 'ReplicaFailure' && status === 'True');
  conditions = failed ? withFact(conditions, failed, nowMs) : without(conditions, 'ReplicaFailure');
  return { ...status, conditions };
}

/** True if all wanted pods have the newest template and are available, and no others exist. */
export function isComplete({ metadata, spec }: KubeObject, status: DeploymentStatus): boolean {
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0 } = status;
  return (
    updatedReplicas === spec.replicas &&
    replicas === spec.replicas &&
    availableReplicas === spec.replicas &&
    (status.observedGeneration ?? 0) >= metadata.generation!
  );
}

/** Milliseconds until a rollout without progress fails. Null if none is running. */
export function deadlineInMs(deployment: KubeObject, nowMs: number): number | null {
  const deadlineS = progressDeadlineS(deployment);
  const status: DeploymentStatus = deployment.status ?? {};
  const condition = conditionOf(deployment, 'Progressing');
  if (deadlineS === null || !condition || condition.reason === TIMED_OUT) return null;
  if (condition.reason === COMPLETE || isComplete(deployment, status)) return null;
  return Math.max(0, Date.parse(condition.lastUpdateTime!) + deadlineS * 1000 - nowMs);
}

/** A completed rollout stays complete when pods come and go. */
function wasComplete(deployment: KubeObject, status: DeploymentStatus): boolean {
  const isUpdated = (status.replicas ?? 0) === (status.updatedReplicas ?? 0);
  return isUpdated && conditionOf(deployment, 'Progressing')?.reason === COMPLETE;
}

function withProgress(
  deployment: KubeObject,
  { newest }: Sets,
  status: DeploymentStatus,
  nowMs: number,
): Condition[] {
  const conditions = status.conditions!;
  const { name } = deployment.metadata;
  const what = newest
    ? `ReplicaSet ${JSON.stringify(newest.metadata.name)}`
    : `Deployment ${JSON.stringify(name)}`;
  if (isComplete(deployment, status)) {
    const fact = progressing('True', COMPLETE, `${what} has successfully progressed.`);
    return withFact(conditions, fact, nowMs);
  }
  if (hasProgressed(deployment.status ?? {}, status)) {
    const fact = progressing('True', 'ReplicaSetUpdated', `${what} is progressing.`);
    return withFact(conditions, fact, nowMs, true);
  }
  if (deadlineInMs(deployment, nowMs) !== 0) return conditions;
  const fact = progressing('False', TIMED_OUT, `${what} has timed out progressing.`);
  return withFact(conditions, fact, nowMs);
}

function hasProgressed(old: DeploymentStatus, now: DeploymentStatus): boolean {
  const outdated = (s: DeploymentStatus) => (s.replicas ?? 0) - (s.updatedReplicas ?? 0);
  const grew = (field: 'updatedReplicas' | 'readyReplicas' | 'availableReplicas') =>
    (now[field] ?? 0) > (old[field] ?? 0);
  return (
    grew('updatedReplicas') ||
    outdated(now) < outdated(old) ||
    grew('readyReplicas') ||
    grew('availableReplicas')
  );
}

export function allOf({ newest, others }: Sets): KubeObject[] {
  return newest ? [...others, newest] : others;
}
