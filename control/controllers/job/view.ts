// What a Job derives from its pods: pkg/controller/job (syncJob).
import type { KubeObject } from '../../kube/object.ts';
import { parseIndexes } from '../../model/indexes.ts';
import { isActive, readySinceMs } from '../pods.ts';
import {
  attemptOf,
  conditionOf,
  failuresBefore,
  hasFailed,
  indexOf,
  isIndexed,
  isSucceeded,
  isTerminating,
  isTracked,
} from './pods.ts';
import { judgeFailure } from './policies.ts';

/** uids of ended pods whose finalizer may still be there. */
interface Uncounted {
  succeeded: string[];
  failed: string[];
}

export interface View {
  pods: KubeObject[];
  active: KubeObject[];
  terminating: number;
  ready: number;
  /** Ended pods that the status does not have yet. */
  fresh: { succeeded: KubeObject[]; failed: KubeObject[]; ignored: KubeObject[] };
  succeeded: number;
  failed: number;
  /** Indexes of an indexed Job. */
  completed: Set<number>;
  failedIndexes: Set<number>;
  /** Index -> its last failed pod, with a limit for each index. */
  lastFailed: Map<number, KubeObject>;
  /** Why the pod failure policy ends the Job; null if it does not. */
  verdict: string | null;
}

export function uncountedOf({ status }: KubeObject): Uncounted {
  const { succeeded = [], failed = [] } = status?.uncountedTerminatedPods ?? {};
  return { succeeded, failed };
}

export function viewOf(job: KubeObject, pods: KubeObject[]): View {
  const { spec, status } = job;
  const uncounted = uncountedOf(job);
  const counted = new Set([...uncounted.succeeded, ...uncounted.failed]);
  const isFresh = (pod: KubeObject) => isTracked(pod) && !counted.has(pod.metadata.uid!);
  const active = pods.filter(isActive);
  const completed = completedIndexes(job, pods);
  const failures = pods.filter((pod) => hasFailed(pod, job));
  const judged = failures.map((pod) => ({ pod, ...judgeFailure(job, pod) }));
  // The Job does not count pods that it deletes itself.
  const counting = judged.filter(({ pod }) => isTracked(pod) || !pod.metadata.deletionTimestamp);
  const { lastFailed, failedIndexes } = indexFailures(job, counting, completed);
  // The next pod of an index counts failures by the last failed pod, so the last failed pod stays
  // until then.
  const isEnding = conditionOf(job, 'FailureTarget') ?? conditionOf(job, 'SuccessCriteriaMet');
  const isKept = (pod: KubeObject) => {
    const index = indexOf(pod);
    if (isEnding || index === null || lastFailed.get(index) !== pod || failedIndexes.has(index))
      return false;
    return !pods.some((other) => indexOf(other) === index && attemptOf(other) > attemptOf(pod));
  };
  const freshFailures = judged.filter(({ pod }) => isFresh(pod));
  const toCount = freshFailures.filter(({ pod }) => !isKept(pod));
  const fresh = {
    succeeded: pods.filter((pod) => isSucceeded(pod) && isFresh(pod)),
    failed: toCount.filter(({ action }) => action !== 'Ignore').map(({ pod }) => pod),
    ignored: toCount.filter(({ action }) => action === 'Ignore').map(({ pod }) => pod),
  };
  const sum = (status?.succeeded ?? 0) + uncounted.succeeded.length + fresh.succeeded.length;
  return {
    pods,
    active,
    terminating: pods.filter(isTerminating).length,
    ready: active.filter((pod) => readySinceMs(pod) !== null).length,
    fresh,
    succeeded: isIndexed(job) ? completed.size : sum,
    failed: (status?.failed ?? 0) + uncounted.failed.length + fresh.failed.length,
    completed,
    failedIndexes,
    lastFailed: spec.backoffLimitPerIndex === undefined ? new Map() : lastFailed,
    verdict: freshFailures.find(({ action }) => action === 'FailJob')?.message ?? null,
  };
}

function completedIndexes(job: KubeObject, pods: KubeObject[]): Set<number> {
  const { completions } = job.spec;
  if (!isIndexed(job)) return new Set();
  const completed = parseIndexes(job.status?.completedIndexes, completions);
  for (const pod of pods) {
    const index = indexOf(pod);
    if (index !== null && index < completions && isSucceeded(pod)) completed.add(index);
  }
  return completed;
}

function indexFailures(
  { spec, status }: KubeObject,
  judged: { pod: KubeObject; action: string }[],
  completed: Set<number>,
): { lastFailed: Map<number, KubeObject>; failedIndexes: Set<number> } {
  const lastFailed = new Map<number, KubeObject>();
  const limit: number | undefined = spec.backoffLimitPerIndex;
  if (limit === undefined) return { lastFailed, failedIndexes: new Set() };
  const failedIndexes = parseIndexes(status?.failedIndexes, spec.completions);
  for (const { pod, action } of judged) {
    const index = indexOf(pod);
    if (index === null || index >= spec.completions) continue;
    const before = lastFailed.get(index);
    if (!before || attemptOf(pod) > attemptOf(before)) lastFailed.set(index, pod);
    const isLast = action === 'Count' && failuresBefore(pod) >= limit;
    if ((isLast || action === 'FailIndex') && !completed.has(index)) failedIndexes.add(index);
  }
  return { lastFailed, failedIndexes };
}
