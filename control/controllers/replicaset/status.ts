// The status of a ReplicaSet: pkg/controller/replicaset/replica_set_utils.go (calculateStatus).
import { conditionsOf, type KubeObject, timestamp } from '../../kube/object.ts';
import { selects } from '../../model/label-selector.ts';
import { availableInMs, readySinceMs } from '../pods.ts';

/** Why the number of pods is wrong. */
export interface ReplicaFailure {
  reason: 'FailedCreate' | 'FailedDelete';
  message: string;
}

const FAILURE = 'ReplicaFailure';

/** The status of a ReplicaSet with these active pods. */
export function replicaSetStatus(
  set: KubeObject,
  pods: KubeObject[],
  failure: ReplicaFailure | null,
  nowMs: number,
): object {
  const { metadata, spec } = set;
  const template = { matchLabels: spec.template.metadata?.labels };
  const count = (test: (pod: KubeObject) => boolean) => pods.filter(test).length;
  const old = conditionsOf(set);
  const failed = old.find(({ type }) => type === FAILURE) ?? {
    type: FAILURE,
    status: 'True',
    ...failure,
    lastTransitionTime: timestamp(nowMs),
  };
  const conditions = old.filter(({ type }) => type !== FAILURE);
  if (failure) conditions.push(failed);
  const numbers = {
    fullyLabeledReplicas: count((pod) => selects(template, pod.metadata.labels)),
    readyReplicas: count((pod) => readySinceMs(pod) !== null),
    availableReplicas: count((pod) => availableInMs(pod, spec.minReadySeconds ?? 0, nowMs) === 0),
  };
  return {
    replicas: pods.length,
    // Upstream omits zeros.
    ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0)),
    observedGeneration: metadata.generation,
    ...(conditions.length > 0 && { conditions }),
  };
}
