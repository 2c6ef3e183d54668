// Conditions and counts of a Job.
import { type KubeObject, timestamp } from '../../kube/object.ts';

export interface JobCondition {
  type: string;
  status: string;
  lastProbeTime: string;
  lastTransitionTime: string;
  reason?: string;
  message?: string;
}

export interface JobStatus {
  conditions?: JobCondition[];
  startTime?: string;
  completionTime?: string;
  active?: number;
  ready?: number;
  terminating?: number;
  succeeded?: number;
  failed?: number;
  completedIndexes?: string;
  /** uids of pods that ended and keep their finalizer: counted once, whenever the writer dies. */
  uncountedTerminatedPods?: { succeeded?: string[]; failed?: string[] };
}

export function isTrue(status: JobStatus | undefined, type: string): boolean {
  return status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;
}

export function isFinished({ status }: KubeObject): boolean {
  return isTrue(status, 'Complete') || isTrue(status, 'Failed');
}

/** Sets a condition in a status, in place. The same condition keeps its time. */
export function setCondition(
  status: JobStatus,
  [type, value, reason, message]: [type: string, value: string, reason: string, message: string],
  nowMs: number,
): void {
  const old = status.conditions ?? [];
  if (old.some((c) => c.type === type && c.status === value && c.reason === reason)) return;
  const now = timestamp(nowMs);
  const times = { lastProbeTime: now, lastTransitionTime: now };
  const condition = { type, status: value, ...times, reason, message };
  status.conditions = [...old.filter((c) => c.type !== type), condition];
}

/** A status as it is written: without zeros that upstream omits. */
export function written({ uncountedTerminatedPods, ...status }: JobStatus): object {
  const zeros = ['active', 'succeeded', 'failed'];
  const kept = Object.entries(status).filter(
    ([name, value]) => value !== undefined && !(zeros.includes(name) && value === 0),
  );
  const lists = Object.entries(uncountedTerminatedPods ?? {}).filter(([, uids]) => uids.length > 0);
  return { ...Object.fromEntries(kept), uncountedTerminatedPods: Object.fromEntries(lists) };
}
