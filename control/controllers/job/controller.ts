// Jobs: pkg/controller/job/job_controller.go (syncJob).
import { type KubeObject, timestamp } from '../../kube/object.ts';
import type { Cluster } from '../controller.ts';
import { PodOwnerController } from '../owned-pods.ts';
import { isActive, isOver, readySinceMs } from '../pods.ts';
import { endedMs, hasFailed, isIndexed, isTracked, TRACKING } from './finished.ts';
import { describePod, failureOf, freeIndexes, wantedActive } from './plan.ts';
import { isFinished, isTrue, type JobStatus, setCondition, written } from './status.ts';
import { countEnded, forgetCounted } from './tally.ts';

/** Pods that one turn creates. The server handles requests between two turns. */
const BURST_MAX = 50;
const RETRY_MS_FIRST = 10_000;
const RETRY_MS_MAX = 600_000;

/** Runs pods until enough of them have succeeded, or too many have failed. */
export class JobController extends PodOwnerController {
  constructor(cluster: Cluster) {
    super(cluster, 'job-controller', 'Job');
  }

  protected reconcile(key: string): void {
    const { store, clock } = this.cluster;
    const job = store.at('jobs', key);
    // Pods of a Job that is gone must not wait for it.
    if (!job || job.metadata.deletionTimestamp) return this.#releaseAll(key);
    const pods = this.claimPods(job);
    if (isFinished(job)) return this.#afterEnd(key, job, pods);
    const nowMs = clock.unixMs();
    const status: JobStatus = structuredClone(job.status ?? {});
    if (!job.spec.suspend) status.startTime ??= timestamp(nowMs);
    const verdicts = countEnded(job, pods, status);
    if (verdicts.failure) {
      setCondition(status, ['FailureTarget', 'True', ...verdicts.failure], nowMs);
    }
    // The uids are stored before the finalizers go, and the counts after that.
    this.#write(job, status);
    for (const pod of verdicts.ended) this.#release(pod);
    forgetCounted(status, new Set(this.podsOf(job).filter(isTracked).map(uidOf)));
    const active = this.podsOf(job).filter((pod) => isActive(pod));
    const failure = failureOf(job, status, active, nowMs);
    if (failure && !isTrue(status, 'FailureTarget')) {
      setCondition(status, ['FailureTarget', 'True', ...failure], nowMs);
    }
    if (isTrue(status, 'FailureTarget')) this.#fail(job, status, active, nowMs);
    else this.#proceed(key, job, status, active, nowMs);
    this.#write(job, status);
    this.#wake(key, job, status, nowMs);
  }

  /** Ends all pods. The Job has failed when none is left. */
  #fail(job: KubeObject, status: JobStatus, active: KubeObject[], nowMs: number): void {
    for (const pod of active) this.removePod(job, pod);
    if (!this.#isQuiet(job)) return;
    const target = status.conditions!.find(({ type }) => type === 'FailureTarget')!;
    const { reason = '', message = '' } = target;
    setCondition(status, ['Failed', 'True', reason, message], nowMs);
    this.record(job, 'Warning', reason, message);
  }

  #proceed(
    key: string,
    job: KubeObject,
    status: JobStatus,
    active: KubeObject[],
    nowMs: number,
  ): void {
    if (this.#isComplete(job, status, active)) {
      const why: [string, string] = [
        'CompletionsReached',
        'Reached expected number of succeeded pods',
      ];
      setCondition(status, ['SuccessCriteriaMet', 'True', ...why], nowMs);
      for (const pod of active) this.#dismiss(job, pod);
      if (!this.#isQuiet(job)) return;
      setCondition(status, ['Complete', 'True', ...why], nowMs);
      status.completionTime = timestamp(nowMs);
      this.record(job, 'Normal', 'Completed', 'Job completed');
      return;
    }
    if (job.spec.suspend) return this.#suspend(job, status, active, nowMs);
    if (isTrue(status, 'Suspended')) {
      setCondition(status, ['Suspended', 'False', 'JobResumed', 'Job resumed'], nowMs);
      status.startTime = timestamp(nowMs);
      this.record(job, 'Normal', 'Resumed', 'Job resumed');
    }
    this.#manage(key, job, status, active, nowMs);
  }

  #isComplete({ spec }: KubeObject, status: JobStatus, active: KubeObject[]): boolean {
    const succeeded = status.succeeded ?? 0;
    if (spec.completions !== undefined) return succeeded >= spec.completions;
    // Without completions the first success ends the creation of pods, and the last pod the Job.
    return succeeded > 0 && active.length === 0;
  }

  #suspend(job: KubeObject, status: JobStatus, active: KubeObject[], nowMs: number): void {
    for (const pod of active) this.#dismiss(job, pod);
    delete status.startTime;
    if (isTrue(status, 'Suspended')) return;
    setCondition(status, ['Suspended', 'True', 'JobSuspended', 'Job suspended'], nowMs);
    this.record(job, 'Normal', 'Suspended', 'Job suspended');
  }

  /** Creates missing pods after the back-off, and deletes pods beyond the parallelism. */
  #manage(
    key: string,
    job: KubeObject,
    status: JobStatus,
    active: KubeObject[],
    nowMs: number,
  ): void {
    const all = this.podsOf(job);
    const waiting = job.spec.podReplacementPolicy === 'Failed' ? all.filter(isEnding).length : 0;
    const wanted = wantedActive(job, status, active.length);
    const excess = active.length - wanted;
    if (excess > 0) {
      const youngest = active.toSorted((a, b) => rankOf(a) - rankOf(b));
      for (const pod of youngest.slice(0, excess)) this.#dismiss(job, pod);
      return;
    }
    const missing = wanted - active.length - waiting;
    if (missing <= 0 || this.cluster.isEnding(job.metadata.namespace!)) return;
    const waitMs = backoffMs(job, all, nowMs);
    if (waitMs > 0) return this.queue.addAfter(key, waitMs);
    const now = Math.min(missing, BURST_MAX);
    const indexes = isIndexed(job) ? freeIndexes(job, status, all, now) : Array(now).fill(-1);
    for (const index of indexes) {
      const { metadata, spec } = describePod(job, index);
      this.createPod(job, job.spec.template, metadata, spec);
    }
    if (missing > BURST_MAX) this.queue.add(key);
  }

  /** Ends a pod that is not needed. It counts neither as failed nor as succeeded. */
  #dismiss(job: KubeObject, pod: KubeObject): void {
    this.#release(pod);
    this.removePod(job, pod);
  }

  #isQuiet(job: KubeObject): boolean {
    return this.podsOf(job).every((pod) => isOver(pod) && !isTracked(pod));
  }

  #write(job: KubeObject, status: JobStatus): void {
    const pods = this.podsOf(job);
    const active = pods.filter(isActive);
    status.active = active.length;
    status.ready = active.filter((pod) => readySinceMs(pod) !== null).length;
    status.terminating = pods.filter(isEnding).length;
    this.writeOwnStatus(job, written(status));
  }

  /** A deadline passes without an event. */
  #wake(key: string, { spec }: KubeObject, status: JobStatus, nowMs: number): void {
    if (spec.activeDeadlineSeconds === undefined || !status.startTime) return;
    const endMs = Date.parse(status.startTime) + spec.activeDeadlineSeconds * 1000;
    if (endMs > nowMs) this.queue.addAfter(key, endMs - nowMs);
  }

  /** Deletes a finished Job after ttlSecondsAfterFinished. */
  #afterEnd(key: string, job: KubeObject, pods: KubeObject[]): void {
    for (const pod of pods) {
      if (isActive(pod)) this.removePod(job, pod);
      if (isTracked(pod)) this.#release(pod);
    }
    const ttlS: number | undefined = job.spec.ttlSecondsAfterFinished;
    if (ttlS === undefined) return;
    const { conditions = [] } = job.status as JobStatus;
    const end = conditions.find((c) => ['Complete', 'Failed'].includes(c.type));
    const waitMs = Date.parse(end!.lastTransitionTime) + ttlS * 1000 - this.cluster.clock.unixMs();
    if (waitMs > 0) return this.queue.addAfter(key, waitMs);
    this.cluster.remove(job, { propagationPolicy: 'Background' });
  }

  #releaseAll(key: string): void {
    const [namespace, name] = key.split('/');
    for (const pod of this.cluster.store.list('pods', namespace)) {
      const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller);
      if (owner?.kind === 'Job' && owner.name === name && isTracked(pod)) this.#release(pod);
    }
  }

  #release(pod: KubeObject): void {
    const { namespace, name } = pod.metadata;
    const current = this.cluster.store.get('pods', namespace!, name);
    if (!current || !isTracked(current)) return;
    const left = current.metadata.finalizers!.filter((finalizer) => finalizer !== TRACKING);
    this.cluster.patch(current, { metadata: { finalizers: left.length > 0 ? left : null } });
  }
}

function uidOf({ metadata }: KubeObject): string {
  return metadata.uid!;
}

function isEnding(pod: KubeObject): boolean {
  return pod.metadata.deletionTimestamp !== undefined && !isOver(pod);
}

/** Pods that are not ready go first, then the youngest. */
function rankOf(pod: KubeObject): number {
  const born = Date.parse(pod.metadata.creationTimestamp ?? '') || 0;
  return (readySinceMs(pod) === null ? 0 : 2e15) - born / 1e3;
}

/** Time until the next try after failures in a row. It doubles with each of them. */
function backoffMs(job: KubeObject, pods: KubeObject[], nowMs: number): number {
  const ended = pods.filter((pod) => isOver(pod) || hasFailed(job, pod));
  const lastSuccess = Math.max(
    0,
    ...ended.filter(({ status }) => status?.phase === 'Succeeded').map(endedMs),
  );
  const failures = ended
    .filter((pod) => hasFailed(job, pod))
    .map(endedMs)
    .filter((ms) => ms > lastSuccess);
  if (failures.length === 0) return 0;
  const delay = Math.min(RETRY_MS_FIRST * 2 ** (failures.length - 1), RETRY_MS_MAX);
  return Math.max(...failures) + delay - nowMs;
}
