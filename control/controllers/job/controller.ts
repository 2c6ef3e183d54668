// Jobs: pkg/controller/job, pkg/controller/ttlafterfinished.

import { isEqual, type KubeObject, keyOf, timestamp } from '../../kube/object.ts';
import { formatIndexes } from '../../model/indexes.ts';
import type { Cluster } from '../controller.ts';
import { PodOwnerController } from '../owned-pods.ts';
import { controllerOf, dropFinalizer } from '../owners.ts';
import { isActive } from '../pods.ts';
import {
  deadlineInMs,
  finalOf,
  finishOf,
  type Outcome,
  outcomeOf,
  withCondition,
} from './outcome.ts';
import { planOf, podOf } from './plan.ts';
import {
  type Backoff,
  type Condition,
  conditionOf,
  isIndexed,
  isTracked,
  TRACKED,
  withEnds,
} from './pods.ts';
import { uncountedOf, type View, viewOf } from './view.ts';

/** Pods that one turn creates or deletes. The server handles requests between two turns. */
const BURST_MAX = 50;
/** Jobs of other controllers are left alone. */
const MANAGER = 'kubernetes.io/job-controller';

/**
 * Runs the pods of every Job and counts their ends. A pod has a finalizer until the status has
 * counted it, so that none is lost or counted twice.
 */
export class JobController extends PodOwnerController {
  /** uid of a Job -> failures since the last success. A restart of the server forgets them. */
  readonly #backoffs = new Map<string, Backoff>();

  constructor(cluster: Cluster) {
    super(cluster, 'job-controller', 'Job');
    this.subscribe('jobs', ({ type, object }) => {
      if (type === 'DELETED') this.#backoffs.delete(object.metadata.uid!);
    });
    // A pod that no Job owns any more must not wait for one.
    this.follow('pods', ({ object }) => {
      if (isTracked(object) && !controllerOf(object)) {
        this.queue.add(`${object.metadata.namespace}/`);
      }
    });
  }

  protected reconcile(key: string): void {
    const job = this.cluster.store.at('jobs', key);
    if (!job) return this.#releaseLost(key.slice(0, key.indexOf('/')));
    const { spec } = job;
    if (spec.managedBy !== undefined && spec.managedBy !== MANAGER) return;
    const finish = finishOf(job);
    if (finish) return this.#afterFinish(job, finish);
    this.#run(job);
  }

  #run(given: KubeObject): void {
    const nowMs = this.cluster.clock.unixMs();
    const pods = this.claimPods(given);
    const isEnding =
      conditionOf(given, 'FailureTarget') ?? conditionOf(given, 'SuccessCriteriaMet');
    const added = isEnding ? [] : pods.filter((pod) => isActive(pod) && !isTracked(pod));
    for (const pod of added) this.#track(pod);
    let job = this.#writeStatus(given, this.#started(given, nowMs));
    const view = viewOf(job, this.podsOf(job));
    const outcome = outcomeOf(job, view, nowMs);
    const backoff = this.#noteEnds(job, view);
    const conditions = this.#conditions(job, outcome, nowMs);
    // The status gets the ended pods before the pods change, so that no pod is counted twice.
    job = this.#count(job, view, outcome, conditions);
    try {
      if (outcome) for (const pod of view.active.slice(0, BURST_MAX)) this.#drop(job, pod);
      else this.#manage(job, view, backoff, nowMs);
    } finally {
      this.#finish(job, viewOf(job, this.podsOf(job)), outcome, nowMs);
    }
    const waitMs = outcome ? null : deadlineInMs(job, nowMs);
    if (waitMs !== null) this.queue.addAfter(keyOf(job), waitMs);
  }

  /** The status of a Job that starts, with the pods that are already released. */
  #started(job: KubeObject, nowMs: number): object {
    const status = fold(job, this.podsOf(job));
    // The time before a suspension does not count.
    const isStarted = job.status?.startTime && !conditionOf(job, 'Suspended');
    return job.spec.suspend || isStarted ? status : { ...status, startTime: timestamp(nowMs) };
  }

  #noteEnds({ metadata }: KubeObject, { fresh }: View): Backoff {
    const before = this.#backoffs.get(metadata.uid!) ?? { failures: 0, lastMs: 0 };
    const backoff = withEnds(before, [...fresh.succeeded, ...fresh.failed, ...fresh.ignored]);
    this.#backoffs.set(metadata.uid!, backoff);
    return backoff;
  }

  #conditions(job: KubeObject, outcome: Outcome | null, nowMs: number): Condition[] {
    const old: Condition[] = job.status?.conditions ?? [];
    if (outcome) return withCondition(old, { ...outcome, status: 'True' }, nowMs);
    const { suspend } = job.spec;
    const fact = suspend
      ? { status: 'True' as const, reason: 'JobSuspended', message: 'Job suspended' }
      : { status: 'False' as const, reason: 'JobResumed', message: 'Job resumed' };
    return withCondition(old, { type: 'Suspended', ...fact }, nowMs);
  }

  /** Writes the ends of pods into the status, then removes their finalizers. */
  #count(job: KubeObject, view: View, outcome: Outcome | null, conditions: Condition[]) {
    const uids = (pods: KubeObject[]) => pods.map(({ metadata }) => metadata.uid!);
    const before = uncountedOf(job);
    const { fresh } = view;
    // A Job that fails counts the pods that it ends.
    const ended = outcome?.type === 'FailureTarget' ? view.active.filter(isTracked) : [];
    const known = new Set([...before.succeeded, ...before.failed]);
    const newlyEnded = uids(ended).filter((uid) => !known.has(uid));
    const uncounted = {
      succeeded: [...before.succeeded, ...(isIndexed(job) ? [] : uids(fresh.succeeded))],
      failed: [...before.failed, ...uids(fresh.failed), ...newlyEnded],
    };
    const written = this.#writeStatus(job, {
      ...job.status,
      ...indexesOf(job, view),
      uncountedTerminatedPods: withoutEmpty(uncounted),
      ...(conditions.length > 0 && { conditions }),
    });
    this.#tellSuspension(job, conditions);
    for (const pod of [...fresh.succeeded, ...fresh.failed, ...fresh.ignored]) this.#untrack(pod);
    // Pods that an earlier status counted, if the server ended before it removed their finalizers.
    for (const pod of view.pods) if (known.has(pod.metadata.uid!)) this.#untrack(pod);
    return written;
  }

  #tellSuspension(job: KubeObject, conditions: Condition[]): void {
    const was = conditionOf(job, 'Suspended') !== undefined;
    const is = conditions.some((c) => c.type === 'Suspended' && c.status === 'True');
    if (was === is) return;
    const [reason, message] = is ? ['Suspended', 'Job suspended'] : ['Resumed', 'Job resumed'];
    this.record(job, 'Normal', reason!, message!);
  }

  #manage(job: KubeObject, view: View, backoff: Backoff, nowMs: number): void {
    if (job.metadata.deletionTimestamp) return;
    const { create, remove, waitMs } = planOf(job, view, backoff, nowMs);
    if (waitMs !== null) this.queue.addAfter(keyOf(job), waitMs);
    for (const pod of remove.slice(0, BURST_MAX)) this.#drop(job, pod);
    if (this.cluster.isEnding(job.metadata.namespace!)) return;
    for (const index of create.slice(0, BURST_MAX)) {
      const { metadata, spec } = podOf(job, view, index);
      this.createPod(job, job.spec.template, metadata, spec);
    }
  }

  /**
   * Counts pods that have lost their finalizer, and ends the Job once it waits for no more pods.
   */
  #finish(job: KubeObject, view: View, outcome: Outcome | null, nowMs: number): void {
    const { active: _, ...counted } = fold(job, view.pods);
    const status: Status = { ...counted, ...numbersOf(view) };
    const { succeeded, failed } = uncountedOf({ ...job, status });
    const { fresh } = view;
    const uncounted =
      succeeded.length + failed.length + fresh.succeeded.length + fresh.failed.length;
    const isOpen = uncounted + view.terminating + view.active.length > 0;
    if (!outcome || isOpen) return void this.#writeStatus(job, status);
    const { reason, message } = outcome;
    const fact = { type: finalOf(outcome), status: 'True' as const, reason, message };
    const conditions = withCondition(status.conditions ?? [], fact, nowMs);
    const isComplete = outcome.type === 'SuccessCriteriaMet';
    const completionTime = isComplete ? { completionTime: timestamp(nowMs) } : {};
    this.#writeStatus(job, { ...status, conditions, ...completionTime });
    if (isComplete) this.record(job, 'Normal', 'Completed', 'Job completed');
    else this.record(job, 'Warning', reason, message);
  }

  /** Deletes a finished Job after ttlSecondsAfterFinished. */
  #afterFinish(job: KubeObject, { lastTransitionTime }: Condition): void {
    for (const pod of this.podsOf(job)) this.#untrack(pod);
    this.#backoffs.delete(job.metadata.uid!);
    const { ttlSecondsAfterFinished: ttlS } = job.spec;
    if (ttlS === undefined || job.metadata.deletionTimestamp) return;
    const waitMs = Date.parse(lastTransitionTime) + ttlS * 1000 - this.cluster.clock.unixMs();
    if (waitMs > 0) return this.queue.addAfter(keyOf(job), waitMs);
    const preconditions = { uid: job.metadata.uid! };
    this.cluster.remove(job, { propagationPolicy: 'Foreground', preconditions });
  }

  /** Frees the pods of a namespace whose Jobs are gone. */
  #releaseLost(namespace: string): void {
    const { store } = this.cluster;
    for (const pod of store.list('pods', namespace)) {
      const owner = isTracked(pod) ? controllerOf(pod) : undefined;
      const job = owner && store.get('jobs', namespace, owner.name);
      if (job?.metadata.uid !== owner?.uid || !owner) this.#untrack(pod);
    }
  }

  /** Deletes a pod that the Job does not count. */
  #drop(job: KubeObject, pod: KubeObject): void {
    this.#untrack(pod);
    this.removePod(job, pod);
  }

  #track(pod: KubeObject): void {
    const finalizers = [...(pod.metadata.finalizers ?? []), TRACKED];
    this.cluster.patch(pod, { metadata: { finalizers } });
  }

  #untrack(pod: KubeObject): void {
    dropFinalizer(this.cluster, pod, TRACKED);
  }

  #writeStatus(job: KubeObject, status: object): KubeObject {
    if (isEqual(status, job.status)) return job;
    return this.cluster.writeStatus(job, status);
  }
}

type Status = Record<string, unknown> & { conditions?: Condition[] };

/** The status after the pods that have lost their finalizer are counted. */
function fold(job: KubeObject, pods: KubeObject[]): Status {
  const { status } = job;
  const { succeeded, failed } = uncountedOf(job);
  const tracked = new Set(pods.filter(isTracked).map(({ metadata }) => metadata.uid));
  const left = (uids: string[]) => uids.filter((uid) => tracked.has(uid));
  const open = { succeeded: left(succeeded), failed: left(failed) };
  const sums = {
    succeeded: (status?.succeeded ?? 0) + succeeded.length - open.succeeded.length,
    failed: (status?.failed ?? 0) + failed.length - open.failed.length,
  };
  return { ...status, ...withoutEmpty(sums), uncountedTerminatedPods: withoutEmpty(open) };
}

/** Numbers of pods. Upstream omits a zero of the first. */
function numbersOf({ active, ready, terminating }: View): object {
  return { ...(active.length > 0 && { active: active.length }), ready, terminating };
}

function indexesOf(job: KubeObject, { completed, failedIndexes }: View): object {
  if (!isIndexed(job)) return {};
  const isLimited = job.spec.backoffLimitPerIndex !== undefined;
  return {
    ...withoutEmpty({ succeeded: completed.size, completedIndexes: formatIndexes(completed) }),
    ...(isLimited && { failedIndexes: formatIndexes(failedIndexes) }),
  };
}

/** Without zeros and empty values. */
function withoutEmpty(fields: Record<string, number | string | string[]>): object {
  const isEmpty = (value: number | string | string[]) =>
    typeof value === 'number' ? value === 0 : value.length === 0;
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}
