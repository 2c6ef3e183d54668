// Conditions of a Deployment: pkg/controller/deployment/util (SetDeploymentCondition).
import { type Condition, timestamp } from '../../kube/object.ts';

/** A condition without its times. */
export type Fact = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

export function available(isEnough: boolean): Fact {
  const [status, reason, verb] = isEnough
    ? ['True', 'MinimumReplicasAvailable', 'has']
    : ['False', 'MinimumReplicasUnavailable', 'does not have'];
  const message = `Deployment ${verb} minimum availability.`;
  return { type: 'Available', status: status!, reason: reason!, message };
}

export function progressing(
  status: 'True' | 'False' | 'Unknown',
  reason: string,
  message: string,
): Fact {
  return { type: 'Progressing', status, reason, message };
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
  const known = conditions.find(({ type }) => type === fact.type);
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
