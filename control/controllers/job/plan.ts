// Which pods a Job wants: pkg/controller/job/job_controller.go (manageJob, pastBackoffLimit).
import type { KubeObject } from '../../kube/object.ts';
import { isOver } from '../pods.ts';
import { INDEX, indexOf, isIndexed, parseIndexes, TRACKING } from './finished.ts';
import type { JobStatus } from './status.ts';

/** The number of pods that run now. */
export function wantedActive({ spec }: KubeObject, status: JobStatus, active: number): number {
  const succeeded = status.succeeded ?? 0;
  // Without completions every pod works until its end, and no new one starts after a success.
  if (spec.completions === undefined) {
    return succeeded > 0 ? Math.min(active, spec.parallelism) : spec.parallelism;
  }
  return Math.min(spec.parallelism, Math.max(0, spec.completions - succeeded));
}

/** The lowest indexes that neither have succeeded nor have a pod. */
export function freeIndexes(
  { spec }: KubeObject,
  status: JobStatus,
  pods: KubeObject[],
  count: number,
): number[] {
  const taken = parseIndexes(status.completedIndexes ?? '');
  for (const pod of pods) {
    if (!isOver(pod) && !pod.metadata.deletionTimestamp) taken.add(indexOf(pod));
  }
  const free: number[] = [];
  for (let i = 0; i < spec.completions && free.length < count; i++) {
    if (!taken.has(i)) free.push(i);
  }
  return free;
}

/** Reason and message of a Job that cannot succeed any more; null if it still can. */
export function failureOf(
  { spec }: KubeObject,
  status: JobStatus,
  active: KubeObject[],
  nowMs: number,
): [reason: string, message: string] | null {
  const isDone = spec.completions !== undefined && (status.succeeded ?? 0) >= spec.completions;
  if (isDone) return null;
  if ((status.failed ?? 0) > spec.backoffLimit || isPastRestarts(spec, active)) {
    return ['BackoffLimitExceeded', 'Job has reached the specified backoff limit'];
  }
  const { activeDeadlineSeconds: limitS } = spec;
  if (spec.suspend || limitS === undefined || !status.startTime) return null;
  if (nowMs - Date.parse(status.startTime) < limitS * 1000) return null;
  return ['DeadlineExceeded', 'Job was active longer than specified deadline'];
}

/** With restartPolicy OnFailure the restarts of containers count. */
function isPastRestarts(spec: KubeObject['spec'], active: KubeObject[]): boolean {
  if (spec.template.spec.restartPolicy !== 'OnFailure') return false;
  let restarts = 0;
  for (const { status } of active) {
    const all: { restartCount?: number }[] = [
      ...(status?.initContainerStatuses ?? []),
      ...(status?.containerStatuses ?? []),
    ];
    for (const { restartCount = 0 } of all) restarts += restartCount;
  }
  return spec.backoffLimit === 0 ? restarts > 0 : restarts >= spec.backoffLimit;
}

const INDEX_FIELD = `metadata.annotations['${INDEX}']`;
const INDEX_VARIABLE = 'JOB_COMPLETION_INDEX';

/** Metadata and spec of a new pod. A Job without indexes has -1. */
export function describePod(
  job: KubeObject,
  index: number,
): { metadata: object; spec: KubeObject['spec'] } {
  const { name } = job.metadata;
  const { spec } = job.spec.template;
  const finalizers = [TRACKING];
  if (!isIndexed(job)) return { metadata: { generateName: `${name}-`, finalizers }, spec };
  const text = String(index);
  const variable = { name: INDEX_VARIABLE, valueFrom: { fieldRef: { fieldPath: INDEX_FIELD } } };
  const withIndex = (container: { env?: { name: string }[] }) =>
    container.env?.some((entry) => entry.name === INDEX_VARIABLE)
      ? container
      : { ...container, env: [...(container.env ?? []), variable] };
  return {
    metadata: {
      generateName: `${name}-${index}-`,
      annotations: { [INDEX]: text },
      labels: { [INDEX]: text },
      finalizers,
    },
    spec: {
      ...spec,
      hostname: `${name}-${index}`,
      containers: spec.containers.map(withIndex),
      ...(spec.initContainers && { initContainers: spec.initContainers.map(withIndex) }),
    },
  };
}
