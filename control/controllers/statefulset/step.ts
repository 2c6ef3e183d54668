// The next step of a StatefulSet: pkg/controller/statefulset/stateful_set_control.go
// (updateStatefulSet).
import type { KubeObject } from '../../kube/object.ts';
import { isOver } from '../pods.ts';
import {
  isHealthy,
  isOfRevision,
  isTerminating,
  isWantedOrdinal,
  ordinalOf,
  startOf,
  updateStart,
} from './identity.ts';

/** Revisions of a StatefulSet. `current` is that of pods below the partition. */
export interface Revisions {
  current: KubeObject;
  update: KubeObject;
}

export interface Step {
  /** Pods to create, by ordinal, with their revision. */
  create: { ordinal: number; revision: KubeObject }[];
  remove: KubeObject[];
}

/**
 * Pods to create and to delete now. With pod management OrderedReady it is one pod at most, and a
 * pod waits until all before it are healthy.
 */
export function nextStep(
  set: KubeObject,
  pods: KubeObject[],
  revisions: Revisions,
  nowMs: number,
): Step {
  const isOrdered = set.spec.podManagementPolicy !== 'Parallel';
  const healthy = (pod: KubeObject) => isHealthy(set, pod, nowMs);
  const step: Step = { create: [], remove: [] };
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(set, pod), pod]));
  const { replicas } = set.spec;
  for (let i = 0; i < replicas; i++) {
    const ordinal = startOf(set) + i;
    const pod = byOrdinal.get(ordinal);
    if (!pod) {
      step.create.push({ ordinal, revision: revisionFor(set, ordinal, revisions) });
    } else if (isOver(pod) && !isTerminating(pod)) {
      // The pod's end frees its name.
      step.remove.push(pod);
    } else if (!isOrdered || healthy(pod)) continue;
    if (isOrdered) return step;
  }
  const condemned = pods
    .filter((pod) => !isWantedOrdinal(set, ordinalOf(set, pod)))
    .sort((a, b) => ordinalOf(set, b) - ordinalOf(set, a));
  for (const pod of condemned) {
    if (isTerminating(pod)) {
      if (isOrdered) return step;
      continue;
    }
    step.remove.push(pod);
    if (isOrdered) return step;
  }
  if (set.spec.updateStrategy.type !== 'RollingUpdate') return step;
  if (step.create.length + step.remove.length > 0) return step;
  const victim = nextUpdated(set, byOrdinal, revisions.update, healthy);
  return victim ? { create: [], remove: [victim] } : step;
}

/** The pod that a rolling update replaces next, from the last ordinal to the first. */
function nextUpdated(
  set: KubeObject,
  byOrdinal: Map<number, KubeObject>,
  update: KubeObject,
  healthy: (pod: KubeObject) => boolean,
): KubeObject | null {
  const last = startOf(set) + set.spec.replicas - 1;
  for (let ordinal = last; ordinal >= Math.max(startOf(set), updateStart(set)); ordinal--) {
    const pod = byOrdinal.get(ordinal);
    if (!pod) return null;
    if (!isOfRevision(pod, update) && !isTerminating(pod)) return pod;
    if (!healthy(pod)) return null;
  }
  return null;
}

/** Pods below the partition of a rolling update stay at the current revision. */
function revisionFor(set: KubeObject, ordinal: number, { current, update }: Revisions): KubeObject {
  const isRolling = set.spec.updateStrategy.type === 'RollingUpdate';
  return isRolling && ordinal < updateStart(set) ? current : update;
}
