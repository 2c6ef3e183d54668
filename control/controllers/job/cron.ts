// CronJobs: pkg/controller/cronjob (syncCronJob).
import { StatusError } from '../../apiserver/status.ts';
import { isEqual, type KubeObject, keyOf, timestamp } from '../../kube/object.ts';
import { parseSchedule } from '../../model/schedule.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { controllerOf, controllerRef, ownedIndex } from '../owners.ts';
import { isFinished, isTrue } from './status.ts';

const SCHEDULED = 'batch.kubernetes.io/cronjob-scheduled-timestamp';
const MINUTE_MS = 60_000;

/** Creates Jobs by a schedule, and deletes old ones. */
export class CronJobController extends Controller {
  readonly #jobs = ownedIndex();

  constructor(cluster: Cluster) {
    super(cluster, 'cronjob-controller');
    cluster.store.each('jobs', (object) => this.#jobs.update({ object }));
    this.follow('cronjobs', ({ object }) => this.queue.add(keyOf(object)));
    this.subscribe('jobs', (event) => this.#onJob(event));
  }

  #onJob(change: Change): void {
    const { object } = change;
    this.#jobs.update(change);
    const owner = controllerOf(object);
    if (owner?.kind === 'CronJob') this.queue.add(`${object.metadata.namespace}/${owner.name}`);
  }

  protected reconcile(key: string): void {
    const { store, clock } = this.cluster;
    const cron = store.at('cronjobs', key);
    if (!cron || cron.metadata.deletionTimestamp) return;
    this.#noteEnds(cron);
    const { schedule, timeZone, suspend } = cron.spec;
    const times = parseSchedule(schedule, timeZone);
    const nowMs = clock.unixMs();
    if (!suspend) {
      const dueMs = times.upTo(nowMs);
      if (dueMs !== null && dueMs > this.#sinceMs(cron, nowMs)) this.#start(cron, dueMs, nowMs);
    }
    this.#clean(cron);
    const nextMs = suspend ? null : times.after(nowMs);
    if (nextMs !== null) this.queue.addAfter(key, Math.max(1, nextMs - nowMs));
  }

  /** Runs up to here are done, or too late. */
  #sinceMs({ metadata, spec, status }: KubeObject, nowMs: number): number {
    const last = Date.parse(status?.lastScheduleTime ?? metadata.creationTimestamp);
    const { startingDeadlineSeconds: deadlineS } = spec;
    return deadlineS === undefined ? last : Math.max(last, nowMs - deadlineS * 1000);
  }

  #start(cron: KubeObject, dueMs: number, nowMs: number): void {
    const running = this.#running(cron);
    if (running.length > 0 && cron.spec.concurrencyPolicy === 'Forbid') {
      const message =
        'Not starting job because prior execution is running and concurrency policy is Forbid';
      this.record(cron, 'Normal', 'JobAlreadyActive', message);
      return;
    }
    if (cron.spec.concurrencyPolicy === 'Replace') {
      for (const job of running) this.#remove(cron, job);
    }
    const job = this.#create(cron, dueMs);
    if (!job) return;
    const status = {
      active: this.#running(cron).map(referenceTo),
      lastScheduleTime: timestamp(Math.min(dueMs, nowMs)),
    };
    this.#writeStatus(cron, status);
  }

  /** Null if the Job exists already: its name holds the minute. */
  #create(cron: KubeObject, dueMs: number): KubeObject | null {
    const namespace = cron.metadata.namespace!;
    if (this.cluster.isEnding(namespace)) return null;
    const name = `${cron.metadata.name}-${Math.floor(dueMs / MINUTE_MS)}`;
    const { metadata = {}, spec } = cron.spec.jobTemplate;
    const existing = this.cluster.store.get('jobs', namespace, name);
    if (existing) return controllerOf(existing)?.uid === cron.metadata.uid ? existing : null;
    try {
      const job = this.cluster.create('Job', namespace, {
        metadata: {
          name,
          labels: { ...metadata.labels },
          annotations: { ...metadata.annotations, [SCHEDULED]: timestamp(dueMs) },
          ownerReferences: [controllerRef(cron)],
        },
        spec,
      });
      this.record(cron, 'Normal', 'SuccessfulCreate', `Created job ${name}`);
      return job;
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const message = `Error creating job: ${error.message}`;
      this.record(cron, 'Warning', 'FailedCreate', message);
      throw error;
    }
  }

  /** Takes Jobs that ended from the list of active ones. */
  #noteEnds(cron: KubeObject): void {
    const jobs = this.#jobs.of(cron.metadata.uid!);
    const listed: { uid: string; name: string }[] = cron.status?.active ?? [];
    for (const job of jobs.filter(isFinished)) {
      if (!listed.some(({ uid }) => uid === job.metadata.uid)) continue;
      const how = isTrue(job.status, 'Complete') ? 'Complete' : 'Failed';
      const message = `Saw completed job: ${job.metadata.name}, condition: ${how}`;
      this.record(cron, 'Normal', 'SawCompletedJob', message);
    }
    const ends = jobs
      .map(({ status }) => (isTrue(status, 'Complete') ? (status.completionTime as string) : ''))
      .sort();
    const last = ends.at(-1);
    const known: string = cron.status?.lastSuccessfulTime ?? '';
    const { lastSuccessfulTime: _, ...status } = cron.status ?? {};
    const newest = last && last > known ? last : known;
    this.#writeStatus(cron, {
      ...status,
      active: this.#running(cron).map(referenceTo),
      ...(newest && { lastSuccessfulTime: newest }),
    });
  }

  /** Deletes finished Jobs beyond the limits, the oldest first. */
  #clean(cron: KubeObject): void {
    const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cron.spec;
    const limits = { Complete: successfulJobsHistoryLimit, Failed: failedJobsHistoryLimit };
    for (const [type, limit] of Object.entries(limits)) {
      const ended = this.#jobs
        .of(cron.metadata.uid!)
        .filter((job) => isTrue(job.status, type) && !job.metadata.deletionTimestamp)
        .sort((a, b) => startOf(a) - startOf(b));
      for (const job of ended.slice(0, Math.max(0, ended.length - limit))) this.#remove(cron, job);
    }
  }

  #remove(cron: KubeObject, job: KubeObject): void {
    this.cluster.remove(job, { propagationPolicy: 'Background' });
    const message = `Deleted job ${job.metadata.name}`;
    this.record(cron, 'Normal', 'SuccessfulDelete', message);
  }

  #running({ metadata }: KubeObject): KubeObject[] {
    return this.#jobs
      .of(metadata.uid!)
      .filter((job) => !isFinished(job) && !job.metadata.deletionTimestamp);
  }

  #writeStatus(cron: KubeObject, change: object): void {
    const current = this.cluster.store.at('cronjobs', keyOf(cron))!;
    const { active, ...rest } = { ...current.status, ...change };
    const status = { ...rest, ...(active?.length > 0 && { active }) };
    if (!isEqual(status, current.status)) this.cluster.writeStatus(current, status);
  }
}

function startOf({ metadata, status }: KubeObject): number {
  return Date.parse(status?.startTime ?? metadata.creationTimestamp);
}

function referenceTo({ apiVersion, kind, metadata }: KubeObject): object {
  const { namespace, name, uid } = metadata;
  return { apiVersion, kind, namespace, name, uid };
}
