// The next step of a DaemonSet: pkg/controller/daemon (podsShouldBeOnNode, rollingUpdate).
import type { KubeObject } from '../../kube/object.ts';
import { REVISION_LABEL } from '../history.ts';
import { availableInMs, isOver } from '../pods.ts';
import { fitOf, nodeOf } from './nodes.ts';

/** Pods to create, by the names of their nodes, and pods to delete. */
export interface Step {
  create: string[];
  remove: KubeObject[];
  /** Pods that ran to their end. The controller deletes a failed one after a delay. */
  ended: KubeObject[];
}

type Update = Omit<Step, 'ended'>;

/** What a DaemonSet has and wants on one node. */
export interface Spot {
  node: string;
  starts: boolean;
  stays: boolean;
  /** Pods that do not terminate, the oldest first. */
  pods: KubeObject[];
  hasTerminating: boolean;
}

/** One spot per node, and one for each node that is gone and still has pods. */
export function spotsOf(set: KubeObject, nodes: KubeObject[], pods: KubeObject[]): Spot[] {
  const byNode = Map.groupBy(pods, nodeOf);
  const age = ({ metadata }: KubeObject) => Date.parse(metadata.creationTimestamp ?? '') || 0;
  const spot = (node: string, fit: { starts: boolean; stays: boolean }): Spot => {
    const all = (byNode.get(node) ?? []).toSorted((a, b) => age(a) - age(b));
    const left = all.filter(({ metadata }) => !metadata.deletionTimestamp);
    return { node, ...fit, pods: left, hasTerminating: left.length < all.length };
  };
  const known = new Set(nodes.map(({ metadata }) => metadata.name));
  const gone = [...byNode.keys()].filter((node) => !known.has(node));
  return [
    ...nodes.map((node) => spot(node.metadata.name, fitOf(set.spec.template, node))),
    ...gone.map((node) => spot(node, { starts: false, stays: false })),
  ];
}

/** The next step. `hash` is that of the newest revision. */
export function nextStep(set: KubeObject, spots: Spot[], hash: string, nowMs: number): Step {
  const step: Step = { create: [], remove: [], ended: [] };
  const surge = maxSurge(set, spots);
  for (const { node, starts, stays, pods, hasTerminating } of spots) {
    if (!stays) {
      step.remove.push(...pods);
      continue;
    }
    const ended = pods.filter(isOver);
    step.ended.push(...ended);
    const alive = pods.filter((pod) => !isOver(pod));
    // A pod that terminates holds its place, except while a new one may run beside it.
    if (alive.length === 0 && ended.length === 0 && starts && (!hasTerminating || surge > 0)) {
      step.create.push(node);
    }
    // One pod stays, or the oldest of the old and of the new revision during a surge.
    const [olds, news] = split(alive, hash);
    step.remove.push(...(surge > 0 ? [...olds.slice(1), ...news.slice(1)] : alive.slice(1)));
  }
  const isRolling = set.spec.updateStrategy.type === 'RollingUpdate';
  if (step.create.length + step.remove.length > 0 || !isRolling) return step;
  const update =
    surge > 0 ? surgeStep(set, spots, hash, surge, nowMs) : rollingStep(set, spots, hash, nowMs);
  return { ...update, ended: step.ended };
}

/** Deletes old pods: unavailable ones at once, others while few enough are unavailable. */
function rollingStep(set: KubeObject, spots: Spot[], hash: string, nowMs: number): Update {
  const broken: KubeObject[] = [];
  const candidates: KubeObject[] = [];
  let unavailable = 0;
  for (const { stays, starts, pods } of spots) {
    if (!stays && !starts) continue;
    const alive = pods.filter((pod) => !isOver(pod));
    const [olds, news] = split(alive, hash);
    const isUp = alive.some((pod) => isAvailable(set, pod, nowMs));
    if (starts && !isUp) unavailable++;
    const [old] = olds;
    if (!old || news.length > 0) continue;
    (isAvailable(set, old, nowMs) ? candidates : broken).push(old);
  }
  const left = Math.max(0, maxUnavailable(set, spots) - unavailable);
  return { create: [], remove: [...broken, ...candidates.slice(0, left)] };
}

/** Creates new pods beside old ones, and deletes an old pod when the new one is available. */
function surgeStep(
  set: KubeObject,
  spots: Spot[],
  hash: string,
  surge: number,
  nowMs: number,
): Update {
  const step: Update = { create: [], remove: [] };
  const candidates: string[] = [];
  let used = 0;
  for (const { node, starts, pods } of spots) {
    const [[old], [fresh]] = split(pods, hash);
    if (!old || isOver(old)) continue;
    if (fresh) {
      if (isAvailable(set, fresh, nowMs)) step.remove.push(old);
      else used++;
    } else if (starts) {
      if (isAvailable(set, old, nowMs)) candidates.push(node);
      else step.remove.push(old);
    }
  }
  step.create = candidates.slice(0, Math.max(0, surge - used));
  return step;
}

function split(pods: KubeObject[], hash: string): [olds: KubeObject[], news: KubeObject[]] {
  const isNew = (pod: KubeObject) => pod.metadata.labels?.[REVISION_LABEL] === hash;
  return [pods.filter((pod) => !isNew(pod)), pods.filter(isNew)];
}

function isAvailable({ spec }: KubeObject, pod: KubeObject, nowMs: number): boolean {
  return availableInMs(pod, spec.minReadySeconds ?? 0, nowMs) === 0;
}

export function maxSurge({ spec }: KubeObject, spots: Spot[]): number {
  return shareOf(spec.updateStrategy.rollingUpdate?.maxSurge ?? 0, spots);
}

export function maxUnavailable({ spec }: KubeObject, spots: Spot[]): number {
  return shareOf(spec.updateStrategy.rollingUpdate?.maxUnavailable ?? 0, spots);
}

/** A number or a percentage of the nodes that get a pod, rounded up. */
function shareOf(value: number | string, spots: Spot[]): number {
  if (typeof value === 'number') return value;
  const wanted = spots.filter(({ starts }) => starts).length;
  return Math.ceil((Number.parseInt(value, 10) * wanted) / 100);
}

/** The status of a DaemonSet. */
export function statusOf(set: KubeObject, spots: Spot[], hash: string, nowMs: number): object {
  const wanted = spots.filter(({ starts }) => starts);
  const count = (test: (pod: KubeObject) => boolean) =>
    wanted.filter(({ pods }) => pods.some(test)).length;
  const available = count((pod) => isAvailable(set, pod, nowMs));
  const numbers = {
    updatedNumberScheduled: count((pod) => pod.metadata.labels?.[REVISION_LABEL] === hash),
    numberAvailable: available,
    numberUnavailable: wanted.length - available,
  };
  return {
    currentNumberScheduled: count(() => true),
    numberMisscheduled: spots.filter(({ starts, pods }) => !starts && pods.length > 0).length,
    desiredNumberScheduled: wanted.length,
    numberReady: count((pod) => availableInMs(pod, 0, nowMs) === 0),
    observedGeneration: set.metadata.generation,
    // Upstream omits zeros.
    ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0)),
  };
}
