// Pods of a Job: pkg/controller/job (tracking_utils.go, indexed_job_utils.go, backoff_utils.go).
import type { KubeObject } from '../../kube/object.ts';
import { isOver } from '../pods.ts';

/** The finalizer of a pod that its Job has not counted yet. */
export const TRACKED = 'batch.kubernetes.io/job-tracking';
/** Annotation and label of a pod of an indexed Job. */
export const INDEX = 'batch.kubernetes.io/job-completion-index';
/** How often pods of the index failed before this one. */
export const FAILURES = 'batch.kubernetes.io/job-index-failure-count';
export const IGNORED = 'batch.kubernetes.io/job-index-ignored-failure-count';

interface ContainerStatus {
  restartCount?: number;
  state?: { terminated?: { finishedAt?: string } };
}

export interface Condition {
  type: string;
  status: 'True' | 'False';
  reason: string;
  message: string;
  lastProbeTime: string;
  lastTransitionTime: string;
}

/** A condition of a Job that is true. */
export function conditionOf({ status }: KubeObject, type: string): Condition | undefined {
  const conditions: Condition[] = status?.conditions ?? [];
  return conditions.find((c) => c.type === type && c.status === 'True');
}

export function isIndexed({ spec }: KubeObject): boolean {
  return spec.completionMode === 'Indexed';
}

export function isTracked({ metadata }: KubeObject): boolean {
  return metadata.finalizers?.includes(TRACKED) ?? false;
}

export function isSucceeded({ status }: KubeObject): boolean {
  return status?.phase === 'Succeeded';
}

/** True if a pod is being deleted and has not ended. */
export function isTerminating(pod: KubeObject): boolean {
  return pod.metadata.deletionTimestamp !== undefined && !isOver(pod);
}

/**
 * True if a pod has failed. A pod in deletion counts too, unless the Job replaces pods only after
 * their end.
 */
export function hasFailed(pod: KubeObject, job: KubeObject): boolean {
  if (isOver(pod)) return !isSucceeded(pod);
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
  if (!deletionTimestamp) return false;
  // Nothing of a pod runs when its grace period is 0.
  return job.spec.podReplacementPolicy !== 'Failed' || deletionGracePeriodSeconds === 0;
}

/** The completion index of a pod. Null if it has none. */
export function indexOf({ metadata }: KubeObject): number | null {
  const text = metadata.annotations?.[INDEX];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}

export function failuresBefore({ metadata }: KubeObject): number {
  return Number(metadata.annotations?.[FAILURES]) || 0;
}

export function ignoredBefore({ metadata }: KubeObject): number {
  return Number(metadata.annotations?.[IGNORED]) || 0;
}

/** How often the index of a pod was tried before. */
export function attemptOf(pod: KubeObject): number {
  return failuresBefore(pod) + ignoredBefore(pod);
}

/** When a pod ended, in milliseconds since 1970. */
export function endedMs({ metadata, status }: KubeObject): number {
  const containers: ContainerStatus[] = status?.containerStatuses ?? [];
  const ends = containers.map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? ''));
  const known = ends.filter((ms) => !Number.isNaN(ms));
  if (known.length > 0) return Math.max(...known);
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = metadata;
  if (deletionTimestamp) return Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
  return Date.parse(metadata.creationTimestamp!);
}

/** Restarts of all containers of pods. */
export function restartsOf(pods: KubeObject[]): number {
  const statuses = pods.flatMap(({ status }): ContainerStatus[] => [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
  ]);
  return statuses.reduce((sum, { restartCount = 0 }) => sum + restartCount, 0);
}

/** Failures of a Job's pods since its last success, for the delay of the next pod. */
export interface Backoff {
  failures: number;
  lastMs: number;
}

const BACKOFF_MS_FIRST = 10_000;
const BACKOFF_MS_MAX = 600_000;

/** Milliseconds until a pod may be created after failures. */
export function backoffMs({ failures, lastMs }: Backoff, nowMs: number): number {
  if (failures === 0) return 0;
  const delayMs = Math.min(BACKOFF_MS_FIRST * 2 ** (failures - 1), BACKOFF_MS_MAX);
  return Math.max(0, lastMs + delayMs - nowMs);
}

/** Counts pods that have ended: a failure adds one, a success starts the count again. */
export function withEnds(before: Backoff, pods: KubeObject[]): Backoff {
  const sorted = pods.toSorted((a, b) => endedMs(a) - endedMs(b));
  return sorted.reduce(
    ({ failures }, pod) =>
      isSucceeded(pod)
        ? { failures: 0, lastMs: 0 }
        : { failures: failures + 1, lastMs: endedMs(pod) },
    before,
  );
}
