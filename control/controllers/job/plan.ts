// Which pods a Job creates and deletes next: pkg/controller/job (manageJob). Pure.
import { isObject, type KubeObject } from '../../kube/object.ts';
import { isOver } from '../pods.ts';
import { sortForDeletion } from '../replicaset/order.ts';
import {
  attemptOf,
  type Backoff,
  backoffMs,
  endedMs,
  FAILURES,
  failuresBefore,
  IGNORED,
  INDEX,
  ignoredBefore,
  indexOf,
  isIndexed,
  TRACKED,
} from './pods.ts';
import { judgeFailure } from './policies.ts';
import type { View } from './view.ts';

/** Pods that one turn creates, and when the next may be created. */
export interface Plan {
  remove: KubeObject[];
  /** One entry for each pod: its completion index, or null. */
  create: (number | null)[];
  /** Milliseconds until the plan is made again. Null if nothing waits. */
  waitMs: number | null;
}

export function planOf(job: KubeObject, view: View, backoff: Backoff, nowMs: number): Plan {
  const { active } = view;
  const nothing: Plan = { remove: [], create: [], waitMs: null };
  if (job.spec.suspend) return { ...nothing, remove: active };
  const wanted = wantedActive(job, view);
  const remove = excess(job, view, wanted);
  // A turn either deletes or creates pods: an index must be free before it is used again.
  if (remove.length > 0) return { ...nothing, remove };
  const waiting = job.spec.podReplacementPolicy === 'Failed' ? view.terminating : 0;
  const missing = wanted - waiting - active.length;
  if (missing <= 0) return nothing;
  const isPerIndex = job.spec.backoffLimitPerIndex !== undefined;
  const waitMs = isPerIndex ? 0 : backoffMs(backoff, nowMs);
  if (waitMs > 0) return { ...nothing, waitMs };
  if (!isIndexed(job)) return { ...nothing, create: new Array(missing).fill(null) };
  const free = pendingIndexes(job, view);
  const waits = new Map(free.map((index) => [index, indexWaitMs(view, index, nowMs)]));
  const now = free.filter((index) => waits.get(index) === 0).slice(0, missing);
  const later = [...waits.values()].filter((ms) => ms > 0);
  const isShort = now.length < missing && later.length > 0;
  return { ...nothing, create: now, waitMs: isShort ? Math.min(...later) : null };
}

/** Pods that should run now. */
function wantedActive({ spec }: KubeObject, view: View): number {
  if (spec.completions === undefined) {
    // The first success ends the work. Pods that run may finish.
    return view.succeeded > 0 ? view.active.length : spec.parallelism;
  }
  const open = spec.completions - view.succeeded - view.failedIndexes.size;
  return Math.max(0, Math.min(open, spec.parallelism));
}

function excess(job: KubeObject, { active, completed, failedIndexes }: View, wanted: number) {
  const unused: KubeObject[] = [];
  if (isIndexed(job)) {
    const taken = new Set([...completed, ...failedIndexes]);
    for (const pod of active.toSorted((a, b) => attemptOf(b) - attemptOf(a))) {
      const index = indexOf(pod);
      const isUsed = index !== null && index < job.spec.completions && !taken.has(index);
      if (isUsed) taken.add(index);
      else unused.push(pod);
    }
  }
  const left = active.filter((pod) => !unused.includes(pod));
  const more = Math.max(0, left.length - wanted);
  return [...unused, ...sortForDeletion(left, left).slice(0, more)];
}

/** Indexes without a pod that have neither succeeded nor failed, in order. */
function pendingIndexes(job: KubeObject, { pods, active, completed, failedIndexes }: View) {
  const isPatient = job.spec.podReplacementPolicy === 'Failed';
  const there = isPatient ? pods.filter((pod) => !isOver(pod)) : active;
  const taken = new Set([...there.map(indexOf), ...completed, ...failedIndexes]);
  const free: number[] = [];
  for (let index = 0; index < job.spec.completions; index++) {
    if (!taken.has(index)) free.push(index);
  }
  return free;
}

/** Milliseconds until an index may be tried again. */
function indexWaitMs({ lastFailed }: View, index: number, nowMs: number): number {
  const pod = lastFailed.get(index);
  return pod ? backoffMs({ failures: attemptOf(pod) + 1, lastMs: endedMs(pod) }, nowMs) : 0;
}

/** Metadata and spec of a Job's next pod. */
export function podOf(
  job: KubeObject,
  view: View,
  index: number | null,
): { metadata: object; spec: object } {
  const { name } = job.metadata;
  const { spec } = job.spec.template;
  const finalizers = [TRACKED];
  if (index === null) return { metadata: { generateName: `${name}-`, finalizers }, spec };
  const text = String(index);
  return {
    metadata: {
      generateName: `${name}-${index}-`,
      labels: { [INDEX]: text },
      annotations: { [INDEX]: text, ...failureNotes(job, view.lastFailed.get(index)) },
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

function failureNotes(job: KubeObject, last: KubeObject | undefined): Record<string, string> {
  if (job.spec.backoffLimitPerIndex === undefined) return {};
  if (!last) return { [FAILURES]: '0' };
  const isIgnored = judgeFailure(job, last).action === 'Ignore';
  const ignored = ignoredBefore(last) + (isIgnored ? 1 : 0);
  const failures = failuresBefore(last) + (isIgnored ? 0 : 1);
  return { [FAILURES]: String(failures), ...(ignored > 0 && { [IGNORED]: String(ignored) }) };
}

const INDEX_VARIABLE = 'JOB_COMPLETION_INDEX';

/** A container with the index of its pod in the environment. */
function withIndex(container: { env?: unknown[] }): object {
  const env = container.env ?? [];
  if (env.some((entry) => isObject(entry) && entry.name === INDEX_VARIABLE)) return container;
  const fieldRef = { apiVersion: 'v1', fieldPath: `metadata.labels['${INDEX}']` };
  return { ...container, env: [...env, { name: INDEX_VARIABLE, valueFrom: { fieldRef } }] };
}
