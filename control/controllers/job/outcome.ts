// When a Job ends, and its conditions: pkg/controller/job (syncJob, enactJobFinished).
import { type KubeObject, timestamp } from '../../kube/object.ts';
import { type Condition, conditionOf, isIndexed, restartsOf } from './pods.ts';
import { matchSuccess } from './policies.ts';
import type { View } from './view.ts';

/** The end of a Job that has pods left to end, as the conditions name it. */
export interface Outcome {
  type: 'FailureTarget' | 'SuccessCriteriaMet';
  reason: string;
  message: string;
}

/** Condition of a Job whose pods are being ended -> its condition once the last pod has ended. */
const FINAL = { FailureTarget: 'Failed', SuccessCriteriaMet: 'Complete' };

/** The condition that a finished Job has. */
export function finishOf(job: KubeObject): Condition | undefined {
  return conditionOf(job, FINAL.FailureTarget) ?? conditionOf(job, FINAL.SuccessCriteriaMet);
}

export function finalOf({ type }: Outcome): string {
  return FINAL[type];
}

/** Conditions with one more. One with the same status stays as it is. */
export function withCondition(
  conditions: Condition[],
  fact: Pick<Condition, 'type' | 'status' | 'reason' | 'message'>,
  nowMs: number,
): Condition[] {
  const known = conditions.find(({ type }) => type === fact.type);
  // A condition that never was true is not added as false.
  if (known ? known.status === fact.status : fact.status === 'False') return conditions;
  const now = timestamp(nowMs);
  const condition = { ...fact, lastProbeTime: now, lastTransitionTime: now };
  if (!known) return [...conditions, condition];
  return conditions.map((old) => (old === known ? condition : old));
}

/** Milliseconds until activeDeadlineSeconds have passed. Null without a deadline. */
export function deadlineInMs({ spec, status }: KubeObject, nowMs: number): number | null {
  if (spec.activeDeadlineSeconds === undefined || spec.suspend || !status?.startTime) return null;
  return Math.max(0, Date.parse(status.startTime) + spec.activeDeadlineSeconds * 1000 - nowMs);
}

/** Why a Job ends now. Null if it goes on. */
export function outcomeOf(job: KubeObject, view: View, nowMs: number): Outcome | null {
  for (const type of ['FailureTarget', 'SuccessCriteriaMet'] as const) {
    const known = conditionOf(job, type);
    if (known) return { type, reason: known.reason, message: known.message };
  }
  return failureOf(job, view, nowMs) ?? successOf(job, view);
}

function failureOf(job: KubeObject, view: View, nowMs: number): Outcome | null {
  const { backoffLimit, template, maxFailedIndexes, completions } = job.spec;
  const fail = (reason: string, message: string): Outcome => {
    return { type: 'FailureTarget', reason, message };
  };
  if (view.verdict !== null) return fail('PodFailurePolicy', view.verdict);
  const restarts = restartsOf(view.active);
  const isWorn =
    template.spec.restartPolicy === 'OnFailure' && restarts > 0 && restarts >= backoffLimit;
  if (view.failed > backoffLimit || isWorn) {
    return fail('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  }
  if (deadlineInMs(job, nowMs) === 0) {
    return fail('DeadlineExceeded', 'Job was active longer than specified deadline');
  }
  const failed = view.failedIndexes.size;
  if (failed > (maxFailedIndexes ?? Number.POSITIVE_INFINITY)) {
    const message = 'Job has exceeded the specified maximal number of failed indexes';
    return fail('MaxFailedIndexesExceeded', message);
  }
  if (failed > 0 && failed + view.completed.size >= completions) {
    return fail('FailedIndexes', 'Job has failed indexes');
  }
  return null;
}

function successOf(job: KubeObject, view: View): Outcome | null {
  const { completions } = job.spec;
  if (isIndexed(job)) {
    const rule = matchSuccess(job, view.completed);
    if (rule !== null) {
      const message = `Matched rules at index ${rule}`;
      return { type: 'SuccessCriteriaMet', reason: 'SuccessPolicy', message };
    }
  }
  const isEnough = view.succeeded >= (completions ?? 1);
  if (!isEnough || view.active.length > 0) return null;
  const message = 'Reached expected number of succeeded pods';
  return { type: 'SuccessCriteriaMet', reason: 'CompletionsReached', message };
}
