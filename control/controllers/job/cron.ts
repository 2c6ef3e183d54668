// CronJobs: pkg/controller/cronjob.
import { StatusError } from '../../apiserver/status.ts';
import { isEqual, type KubeObject, keyOf, timestamp } from '../../kube/object.ts';
import { parseSchedule, type Schedule } from '../../model/schedule.ts';
import { timeZoneError } from '../../model/time-zone.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { controllerOf, controllerRef, ownedIndex } from '../owners.ts';
import { formatTime, missedTime } from './cron-times.ts';
import { finishOf } from './outcome.ts';

const SCHEDULED = 'batch.kubernetes.io/cronjob-scheduled-timestamp';
/** A run starts a little after its time, so that clocks agree that the time has passed. */
const LATE_MS = 100;

interface Reference {
  name: string;
  uid: string;
}

/** The status of a CronJob while a turn changes it. */
interface Status {
  active: (Reference & Record<string, unknown>)[];
  lastScheduleTime?: string;
  lastSuccessfulTime?: string;
}

/** Creates the Jobs of every CronJob at the times of its schedule, and deletes old ones. */
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
    const cronJob = this.cluster.store.at('cronjobs', key);
    if (!cronJob) return;
    const old: Status = { active: [], ...cronJob.status };
    const status: Status = { ...old, active: [...old.active] };
    const jobs = this.#jobs.of(cronJob.metadata.uid!);
    this.#trackEnds(cronJob, jobs, status);
    this.#forgetOld(cronJob, jobs);
    try {
      if (!cronJob.metadata.deletionTimestamp) this.#schedule(cronJob, status);
    } finally {
      const { active, ...times } = status;
      const written = { ...(active.length > 0 && { active }), ...times };
      if (!isEqual(written, cronJob.status)) this.cluster.writeStatus(cronJob, written);
    }
  }

  /** Removes finished and missing Jobs from the active ones. */
  #trackEnds(cronJob: KubeObject, jobs: KubeObject[], status: Status): void {
    const isActive = (uid: string | undefined) => status.active.some((job) => job.uid === uid);
    const leave = (uid: string | undefined) => {
      status.active = status.active.filter((job) => job.uid !== uid);
    };
    for (const job of jobs) {
      const { uid, name } = job.metadata;
      const finish = finishOf(job);
      if (!isActive(uid) && !finish) {
        const message = `Saw a job that the controller did not create or forgot: ${name}`;
        this.record(cronJob, 'Warning', 'UnexpectedJob', message);
      } else if (isActive(uid) && finish) {
        leave(uid);
        const message = `Saw completed job: ${name}, condition: ${finish.type}`;
        this.record(cronJob, 'Normal', 'SawCompletedJob', message);
      }
      const ended: string | undefined = job.status?.completionTime;
      const isLater =
        ended && Date.parse(ended) > (Date.parse(status.lastSuccessfulTime ?? '') || 0);
      if (finish?.type === 'Complete' && isLater) status.lastSuccessfulTime = ended;
    }
    for (const { uid, name } of [...status.active]) {
      if (jobs.some(({ metadata }) => metadata.uid === uid)) continue;
      leave(uid);
      this.record(cronJob, 'Normal', 'MissingJob', `Active job went missing: ${name}`);
    }
  }

  /** Deletes the oldest finished Jobs beyond the limits. */
  #forgetOld(cronJob: KubeObject, jobs: KubeObject[]): void {
    const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec;
    const limits = { Complete: successfulJobsHistoryLimit, Failed: failedJobsHistoryLimit };
    for (const [type, limit] of Object.entries(limits) as [string, number | undefined][]) {
      if (limit === undefined) continue;
      const ended = jobs.filter((job) => finishOf(job)?.type === type).sort(byStart);
      for (const job of ended.slice(0, Math.max(0, ended.length - limit))) {
        if (!job.metadata.deletionTimestamp) this.#delete(cronJob, job.metadata.name);
      }
    }
  }

  #schedule(cronJob: KubeObject, status: Status): void {
    const { spec } = cronJob;
    if (spec.suspend) return;
    const schedule = this.#parse(cronJob);
    if (!schedule) return;
    const nowMs = this.cluster.clock.unixMs();
    const next = schedule.next(nowMs);
    if (next !== null) this.queue.addAfter(keyOf(cronJob), next - nowMs + LATE_MS);
    const missed = missedTime({ ...cronJob, status }, schedule, nowMs);
    if (!missed) return;
    if (missed.isTooMany) {
      const advice = 'Set or decrease .spec.startingDeadlineSeconds or check clock skew';
      const message = `too many missed start times. ${advice}`;
      this.record(cronJob, 'Warning', 'TooManyMissedTimes', message);
    }
    const deadlineS: number = spec.startingDeadlineSeconds ?? Number.POSITIVE_INFINITY;
    if (missed.ms + deadlineS * 1000 < nowMs) {
      const message = `Missed scheduled time to start a job: ${formatTime(missed.ms)}`;
      this.record(cronJob, 'Warning', 'MissSchedule', message);
      return;
    }
    const name = `${cronJob.metadata.name}-${Math.floor(missed.ms / 60_000)}`;
    if (status.active.some((job) => job.name === name)) return;
    if (spec.concurrencyPolicy === 'Forbid' && status.active.length > 0) {
      const message =
        'Not starting job because prior execution is running and concurrency policy is Forbid';
      this.record(cronJob, 'Normal', 'JobAlreadyActive', message);
      return;
    }
    if (spec.concurrencyPolicy === 'Replace') {
      for (const job of status.active) this.#delete(cronJob, job.name);
      status.active = [];
    }
    const job = this.#create(cronJob, name, missed.ms);
    status.lastScheduleTime = timestamp(missed.ms);
    if (job) status.active.push(referenceTo(job));
  }

  #parse(cronJob: KubeObject): Schedule | null {
    const { schedule, timeZone } = cronJob.spec;
    const unknown = timeZone === undefined ? null : timeZoneError(timeZone);
    if (unknown !== null) {
      const message = `invalid timeZone: ${JSON.stringify(timeZone)}: ${unknown}`;
      this.record(cronJob, 'Warning', 'UnknownTimeZone', message);
      return null;
    }
    try {
      return parseSchedule(schedule, timeZone);
    } catch (error) {
      const why = (error as Error).message;
      const message = `unparseable schedule: ${JSON.stringify(schedule)} : ${why}`;
      this.record(cronJob, 'Warning', 'UnparseableSchedule', message);
      return null;
    }
  }

  /** Null if the Job exists already. Throws StatusError. */
  #create(cronJob: KubeObject, name: string, atMs: number): KubeObject | null {
    const { store } = this.cluster;
    const { namespace = '', uid } = cronJob.metadata;
    const { jobTemplate } = cronJob.spec;
    const { labels, annotations } = jobTemplate.metadata ?? {};
    const there = store.get('jobs', namespace, name);
    if (there && controllerOf(there)?.uid === uid) return finishOf(there) ? null : there;
    try {
      const job = this.cluster.create('Job', namespace, {
        metadata: {
          name,
          ...(labels && { labels }),
          annotations: { ...annotations, [SCHEDULED]: timestamp(atMs) },
          ownerReferences: [controllerRef(cronJob)],
        },
        spec: jobTemplate.spec,
      });
      this.record(cronJob, 'Normal', 'SuccessfulCreate', `Created job ${name}`);
      return job;
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const message = `Error creating job: ${error.message}`;
      this.record(cronJob, 'Warning', 'FailedCreate', message);
      throw error;
    }
  }

  #delete(cronJob: KubeObject, name: string): void {
    const job = this.cluster.store.get('jobs', cronJob.metadata.namespace!, name);
    if (!job) return;
    this.cluster.remove(job, { propagationPolicy: 'Background' });
    this.record(cronJob, 'Normal', 'SuccessfulDelete', `Deleted job ${name}`);
  }
}

/** Jobs that started earlier first. */
function byStart(a: KubeObject, b: KubeObject): number {
  const startMs = ({ metadata, status }: KubeObject) =>
    Date.parse(status?.startTime ?? metadata.creationTimestamp);
  return startMs(a) - startMs(b) || (a.metadata.name < b.metadata.name ? -1 : 1);
}

function referenceTo({ apiVersion, kind, metadata }: KubeObject): Status['active'][number] {
  const { namespace, name, uid, resourceVersion } = metadata;
  return { apiVersion, kind, namespace, name, uid: uid!, resourceVersion };
}
