// Conditions and taints of an unreachable node and its pods: pkg/controller/nodelifecycle.
import {
  type Condition,
  conditionOf,
  conditionsOf,
  isEqual,
  type KubeObject,
  timestamp,
} from '../../kube/object.ts';
import type { Taint } from '../scheduler/taints.ts';

const SILENT = 'NodeStatusUnknown';
const POD_SILENT = 'NodeNotReady';
const UNREACHABLE = 'node.kubernetes.io/unreachable';
const EFFECTS = ['NoSchedule', 'NoExecute'];

/** True if a node counts as unreachable. */
export function isGivenUp(node: KubeObject): boolean {
  return conditionOf(node, 'Ready')?.reason === SILENT;
}

/** The status of an unreachable node. */
export function silentStatus(node: KubeObject, nowMs: number): object {
  const message = 'The agent of the node stopped renewing its lease.';
  return withReady(node, { status: 'Unknown', reason: SILENT, message }, nowMs);
}

/** The status of a node that is reachable again. */
export function renewedStatus(node: KubeObject, nowMs: number): object {
  const message = 'the lease of the node is renewed';
  return withReady(node, { status: 'True', reason: 'LeaseRenewed', message }, nowMs);
}

/** The wanted taints of a node. The same list if nothing changes. */
export function taintsOf(old: Taint[], isSilent: boolean, nowMs: number): Taint[] {
  const others = old.filter(({ key }) => key !== UNREACHABLE);
  if (!isSilent) return others.length === old.length ? old : others;
  const missing = EFFECTS.filter(
    (effect) => !old.some((taint) => taint.key === UNREACHABLE && taint.effect === effect),
  );
  if (missing.length === 0) return old;
  const timeAdded = timestamp(nowMs);
  return [...old, ...missing.map((effect) => ({ key: UNREACHABLE, effect, timeAdded }))];
}

/** True if a pod is ready, or not ready only because its node is unreachable. */
export function isToChange(pod: KubeObject, isSilent: boolean): boolean {
  const ready = conditionOf(pod, 'Ready');
  if (isSilent) return ready?.status === 'True';
  return ready?.reason === POD_SILENT && isReadyByItself(pod);
}

/** The status of a pod after its node became unreachable or reachable. */
export function podStatus(pod: KubeObject, isSilent: boolean, nowMs: number): object {
  if (!isSilent) return withReady(pod, { status: 'True' }, nowMs);
  const message = 'The node of the pod is not ready.';
  return withReady(pod, { status: 'False', reason: POD_SILENT, message }, nowMs);
}

/**
 * True if the containers and readiness gates of a pod are ready, by the last report of its node.
 * The state of the node does not count.
 */
function isReadyByItself(pod: KubeObject): boolean {
  const gates: { conditionType: string }[] = pod.spec.readinessGates ?? [];
  const needed = ['ContainersReady', ...gates.map(({ conditionType }) => conditionType)];
  return needed.every((type) => conditionOf(pod, type)?.status === 'True');
}

function withReady(object: KubeObject, ready: Omit<Condition, 'type'>, nowMs: number): object {
  const old = conditionsOf(object);
  const condition = { type: 'Ready', ...ready, lastTransitionTime: timestamp(nowMs) };
  const conditions = old.some(({ type }) => type === 'Ready')
    ? old.map((c) => (c.type === 'Ready' ? condition : c))
    : [...old, condition];
  return { ...object.status, conditions };
}

/** True if two versions of a node are equal in all fields that this controller reads. */
export function isSameNode(a: KubeObject, b: KubeObject | undefined): boolean {
  const isSameReady = isEqual(conditionOf(a, 'Ready'), conditionOf(b, 'Ready'));
  return isSameReady && isEqual(a.spec?.taints, b?.spec?.taints);
}
