// Pods of a Job that have ended: pkg/controller/job (trackJobStatusAndRemoveFinalizers,
// pod_failure_policy.go).
import { type KubeObject, keyOf } from '../../kube/object.ts';
import { isOver } from '../pods.ts';

/** Keeps a pod until its Job has counted it. */
export const TRACKING = 'batch.kubernetes.io/job-tracking';
export const INDEX = 'batch.kubernetes.io/job-completion-index';

export function isTracked({ metadata }: KubeObject): boolean {
  return metadata.finalizers?.includes(TRACKING) ?? false;
}

export function isIndexed({ spec }: KubeObject): boolean {
  return spec.completionMode === 'Indexed';
}

/** The completion index of a pod; -1 if it has none. */
export function indexOf({ metadata }: KubeObject): number {
  const text = metadata.annotations?.[INDEX] ?? '';
  return /^\d+$/.test(text) ? Number(text) : -1;
}

/** True if a pod counts as failed. One that terminates does so early, unless the Job waits. */
export function hasFailed(job: KubeObject, pod: KubeObject): boolean {
  if (pod.status?.phase === 'Failed') return true;
  const waits = job.spec.podReplacementPolicy === 'Failed';
  return !waits && !isOver(pod) && pod.metadata.deletionTimestamp !== undefined;
}

/** When a pod ended, in milliseconds since 1970. */
export function endedMs({ metadata, status }: KubeObject): number {
  const states: { state?: { terminated?: { finishedAt?: string } } }[] =
    status?.containerStatuses ?? [];
  const times = states.map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? '') || 0);
  return Math.max(0, ...times) || Date.parse(metadata.deletionTimestamp ?? '') || 0;
}

interface Rule {
  action: string;
  onExitCodes?: { containerName?: string; operator: string; values: number[] };
  onPodConditions?: { type: string; status?: string }[];
}

/** What a Job's podFailurePolicy does about a failed pod. `why` is the message of FailJob. */
export function policyFor({ spec }: KubeObject, pod: KubeObject): { action: string; why: string } {
  const rules: Rule[] = spec.podFailurePolicy?.rules ?? [];
  // Without a phase the pod's exit codes are not known yet.
  if (pod.status?.phase !== 'Failed') return { action: 'Count', why: '' };
  for (const [i, { action, onExitCodes, onPodConditions = [] }] of rules.entries()) {
    const at = `matching ${action} rule at index ${i}`;
    const exit = onExitCodes && exitOf(pod, onExitCodes);
    if (exit) {
      const what = `Container ${exit.name} for pod ${keyOf(pod)}`;
      return { action, why: `${what} failed with exit code ${exit.code} ${at}` };
    }
    const conditions: { type: string; status: string }[] = pod.status?.conditions ?? [];
    const met = onPodConditions.find(({ type, status = 'True' }) =>
      conditions.some((c) => c.type === type && c.status === status),
    );
    if (met) return { action, why: `Pod ${keyOf(pod)} has condition ${met.type} ${at}` };
  }
  return { action: 'Count', why: '' };
}

function exitOf(
  { status }: KubeObject,
  { containerName, operator, values }: NonNullable<Rule['onExitCodes']>,
): { name: string; code: number } | null {
  const all: { name: string; state?: { terminated?: { exitCode: number } } }[] = [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
  ];
  for (const { name, state } of all) {
    const code = state?.terminated?.exitCode ?? 0;
    if (code === 0 || (containerName !== undefined && containerName !== name)) continue;
    if (values.includes(code) === (operator === 'In')) return { name, code };
  }
  return null;
}

// Completed indexes as `0-2,5`: pkg/controller/job/indexed_job_utils.go.

export function parseIndexes(text: string): Set<number> {
  const indexes = new Set<number>();
  for (const part of text.split(',').filter(Boolean)) {
    const [first, last = first] = part.split('-').map(Number) as [number, number?];
    for (let i = first; i <= last; i++) indexes.add(i);
  }
  return indexes;
}

export function formatIndexes(indexes: Set<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const ranges: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while (sorted[end + 1] === sorted[end]! + 1) end++;
    const [first, last] = [sorted[i]!, sorted[end]!];
    ranges.push(
      first === last ? `${first}` : end === i + 1 ? `${first},${last}` : `${first}-${last}`,
    );
    i = end + 1;
  }
  return ranges.join(',');
}
