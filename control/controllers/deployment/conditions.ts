// Conditions of a Deployment: pkg/controller/deployment/util (SetDeploymentCondition).
import { timestamp } from '../../kube/object.ts';

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  lastUpdateTime: string;
  lastTransitionTime: string;
  reason: string;
  message: string;
}

export type Fact = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

export function available(isEnough: boolean): Fact {
  return isEnough
    ? {
        type: 'Available',
        status: 'True',
        reason: 'MinimumReplicasAvailable',
        message: 'Deployment has minimum availability.',
      }
    : {
        type: 'Available',
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      };
}

export function progressing(status: Condition['status'], reason: string, message: string): Fact {
  return { type: 'Progressing', status, reason, message };
}

export function conditionOf(conditions: Condition[], type: string): Condition | undefined {
  return conditions.find((condition) => condition.type === type);
}

export function without(conditions: Condition[], type: string): Condition[] {
  return conditions.filter((condition) => condition.type !== type);
}

/**
 * Adds a fact to conditions. A condition with the same status and reason stays, unless it is
 * `renewed`. One with the same status and another reason keeps its transition time.
 */
export function withFact(
  conditions: Condition[],
  fact: Fact,
  nowMs: number,
  renewed = false,
): Condition[] {
  const known = conditionOf(conditions, fact.type);
  const isSame = known?.status === fact.status;
  if (isSame && known.reason === fact.reason && !renewed) return conditions;
  const now = timestamp(nowMs);
  const lastTransitionTime = isSame ? known.lastTransitionTime : now;
  const { type, status, reason, message } = fact;
  return [
    ...without(conditions, type),
    { type, status, lastUpdateTime: now, lastTransitionTime, reason, message },
  ];
}
