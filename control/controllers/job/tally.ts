// Counts of a Job's pods that have ended. Each pod is counted once, whenever the writer dies.
import type { KubeObject } from '../../kube/object.ts';
import {
  formatIndexes,
  hasFailed,
  indexOf,
  isIndexed,
  isTracked,
  parseIndexes,
  policyFor,
} from './finished.ts';
import type { JobStatus } from './status.ts';

export interface Verdicts {
  /** Pods that are counted now and lose their finalizer. */
  ended: KubeObject[];
  /** Reason and message if the podFailurePolicy ends the Job. */
  failure: [reason: string, message: string] | null;
}

/** Notes pods that have ended in a status, in place. */
export function countEnded(job: KubeObject, pods: KubeObject[], status: JobStatus): Verdicts {
  const succeeded = new Set(status.uncountedTerminatedPods?.succeeded);
  const failed = new Set(status.uncountedTerminatedPods?.failed);
  const indexes = parseIndexes(status.completedIndexes ?? '');
  const verdicts: Verdicts = { ended: [], failure: null };
  for (const pod of pods.filter(isTracked)) {
    const uid = pod.metadata.uid!;
    if (pod.status?.phase === 'Succeeded') {
      if (!isIndexed(job)) succeeded.add(uid);
      else if (isIndexOf(job, indexOf(pod))) indexes.add(indexOf(pod));
    } else if (hasFailed(job, pod)) {
      const { action, why } = policyFor(job, pod);
      if (action !== 'Ignore') failed.add(uid);
      if (action === 'FailJob') verdicts.failure ??= ['PodFailurePolicy', why];
    } else continue;
    verdicts.ended.push(pod);
  }
  if (isIndexed(job)) {
    status.succeeded = indexes.size;
    if (indexes.size > 0) status.completedIndexes = formatIndexes(indexes);
  }
  status.uncountedTerminatedPods = { succeeded: [...succeeded], failed: [...failed] };
  return verdicts;
}

function isIndexOf({ spec }: KubeObject, index: number): boolean {
  return index >= 0 && index < spec.completions;
}

/** Adds the pods without a finalizer to the counts of a status, in place. */
export function forgetCounted(status: JobStatus, tracked: Set<string>): void {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const isCounted = (uid: string) => !tracked.has(uid);
  status.succeeded = (status.succeeded ?? 0) + succeeded.filter(isCounted).length;
  status.failed = (status.failed ?? 0) + failed.filter(isCounted).length;
  status.uncountedTerminatedPods = {
    succeeded: succeeded.filter((uid) => tracked.has(uid)),
    failed: failed.filter((uid) => tracked.has(uid)),
  };
}
