// The next step of a StatefulSet: pkg/controller/statefulset/stateful_set_control.go
// (updateStatefulSet).
import type { KubeObject } from '../../kube/object.ts';
import { isOver } from '../pods.ts';
import {
  isAvailable,
  isOfRevision,
  isTerminating,
  isWantedOrdinal,
  ordinalOf,
  startOf,
} from './identity.ts';

/** Revisions of a StatefulSet. `current` is that of pods below the partition. */
export interface Revisions {
  current: KubeObject;
  update: KubeObject;
}

export interface Step {
  /** Ordinals of pods to create, the lowest first. */
  create: number[];
  remove: KubeObject[];
}

/** The pods of a set: by ordinal in the range of the spec, and those beyond it, highest first. */
interface Parts {
  /** Index 0 is the first ordinal. Undefined where there is no pod. */
  replicas: (KubeObject | undefined)[];
  condemned: KubeObject[];
}

const NOTHING: Step = { create: [], remove: [] };

/**
 * The next step. OrderedReady takes one pod at a time and waits until all pods before it are
 * available. Parallel does not wait. Pods first, then the scale, then the update.
 */
export function nextStep(
  set: KubeObject,
  pods: KubeObject[],
  update: KubeObject,
  nowMs: number,
): Step {
  const parts = partPods(set, pods);
  const isUp = (pod: KubeObject | undefined) =>
    pod !== undefined && !isTerminating(pod) && isAvailable(set, pod, nowMs);
  const isOrdered = set.spec.podManagementPolicy !== 'Parallel';
  const step = isOrdered ? orderedStep(set, parts, isUp) : parallelStep(set, parts);
  if (step) return step;
  const { type, rollingUpdate } = set.spec.updateStrategy;
  if (type !== 'RollingUpdate') return NOTHING;
  const isOld = (pod: KubeObject) => !isOfRevision(pod, update) && !isTerminating(pod);
  const remove =
    rollingUpdate.maxUnavailable === undefined
      ? nextOld(set, parts, isOld, isUp)
      : oldWithin(set, parts, isOld, isUp);
  return { create: [], remove };
}

type Test = (pod: KubeObject) => boolean;
type IsUp = (pod: KubeObject | undefined) => boolean;

function partPods(set: KubeObject, pods: KubeObject[]): Parts {
  const replicas: Parts['replicas'] = new Array(set.spec.replicas).fill(undefined);
  const condemned: KubeObject[] = [];
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (isWantedOrdinal(set, ordinal)) replicas[ordinal - startOf(set)] = pod;
    else condemned.push(pod);
  }
  return { replicas, condemned: condemned.sort((a, b) => ordinalOf(set, b) - ordinalOf(set, a)) };
}

/** Null if all pods of the spec are available and no other is left. */
function orderedStep(set: KubeObject, { replicas, condemned }: Parts, isUp: IsUp): Step | null {
  for (const [index, pod] of replicas.entries()) {
    if (!pod) return { create: [startOf(set) + index], remove: [] };
    // The next pod of the name is created when this one is gone.
    if (isOver(pod)) return { create: [], remove: isTerminating(pod) ? [] : [pod] };
    if (!isUp(pod)) return NOTHING;
  }
  const [highest] = condemned;
  if (!highest) return null;
  if (isTerminating(highest)) return NOTHING;
  // All pods of the spec are available, so the first unavailable pod is one of these. Unlike
  // upstream, the set does not wait for a pod that has ended: it never becomes available.
  const first = condemned.findLast((pod) => !isUp(pod) && !isOver(pod));
  const mayGo = isUp(highest) || isOver(highest) || highest === first;
  return mayGo ? { create: [], remove: [highest] } : NOTHING;
}

/** Null if there is nothing to create or delete. */
function parallelStep(set: KubeObject, { replicas, condemned }: Parts): Step | null {
  const step: Step = { create: [], remove: [] };
  for (const [index, pod] of replicas.entries()) {
    if (!pod) step.create.push(startOf(set) + index);
    else if (isOver(pod) && !isTerminating(pod)) step.remove.push(pod);
  }
  step.remove.push(...condemned.filter((pod) => !isTerminating(pod)));
  return step.create.length + step.remove.length > 0 ? step : null;
}

/** The highest pod of another revision, once all pods above it are available. */
function nextOld(set: KubeObject, { replicas }: Parts, isOld: Test, isUp: IsUp): KubeObject[] {
  for (const pod of replicas.slice(partitionOf(set)).reverse()) {
    if (pod && isOld(pod)) return [pod];
    if (!isUp(pod)) return [];
  }
  return [];
}

/** As many pods of other revisions as maxUnavailable allows, highest first. */
function oldWithin(set: KubeObject, { replicas }: Parts, isOld: Test, isUp: IsUp): KubeObject[] {
  const allowed = unavailableMax(set) - replicas.filter((pod) => !isUp(pod)).length;
  const old = replicas.slice(partitionOf(set)).filter((pod) => pod !== undefined && isOld(pod));
  return (old as KubeObject[]).reverse().slice(0, Math.max(0, allowed));
}

/** Upstream rounds a percentage up, and takes at least one. */
function unavailableMax({ spec }: KubeObject): number {
  const { maxUnavailable } = spec.updateStrategy.rollingUpdate;
  if (typeof maxUnavailable === 'number') return maxUnavailable;
  return Math.max(1, Math.ceil((Number.parseInt(maxUnavailable, 10) * spec.replicas) / 100));
}

/** The number of pods, from the first ordinal on, that a rolling update does not reach. */
function partitionOf({ spec }: KubeObject): number {
  return spec.updateStrategy.rollingUpdate?.partition ?? 0;
}

/** Pods below the partition of a rolling update stay at the current revision. */
export function revisionFor(
  set: KubeObject,
  ordinal: number,
  { current, update }: Revisions,
): KubeObject {
  const isRolling = set.spec.updateStrategy.type === 'RollingUpdate';
  return isRolling && ordinal < startOf(set) + partitionOf(set) ? current : update;
}
