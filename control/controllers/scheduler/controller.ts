// The scheduler: pkg/scheduler.
import {
  type Condition,
  conditionOf,
  conditionsOf,
  type KubeObject,
  keyOf,
  timestamp,
} from '../../kube/object.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { isOver } from '../pods.ts';
import { PodClaims } from './claims.ts';
import { HostPorts, refusal } from './fit.ts';
import { keepsAway, PodAffinity } from './pod-affinity.ts';
import { NodeResources, requestsOf } from './resources.ts';
import { Spread } from './spread.ts';
import { disliked } from './taints.ts';
import { TopologySpread } from './topology.ts';

interface Rules {
  requests: ReturnType<typeof requestsOf>;
  ports: HostPorts;
  topology: TopologySpread;
  affinity: PodAffinity;
  claims: PodClaims;
}

/** The default scheduler name. Pods with another name are ignored. */
const SCHEDULER = 'default-scheduler';

/**
 * Assigns each pod without a node to a fitting node. It prefers the node with the fewest pods of
 * the same group, then with the fewest pods.
 */
export class Scheduler extends Controller {
  readonly #spread = new Spread();
  readonly #resources = new NodeResources();
  /** Keys of pods with anti-affinity. */
  readonly #guarded = new Set<string>();
  /** Keys of pods without a node. */
  readonly #waiting = new Set<string>();

  constructor(cluster: Cluster) {
    super(cluster, SCHEDULER);
    this.follow('pods', (change) => this.#onPod(change));
    for (const kind of ['nodes', 'persistentvolumeclaims', 'persistentvolumes']) {
      this.subscribe(kind, () => this.#retryWaiting());
    }
  }

  #onPod({ type, object, old }: Change): void {
    const key = keyOf(object);
    this.#waiting.delete(key);
    for (const counts of [this.#spread, this.#resources]) {
      if (old) counts.count(old, -1);
      if (type !== 'DELETED') counts.count(object, 1);
    }
    const takesPlace = type !== 'DELETED' && !isOver(object);
    if (takesPlace && keepsAway(object)) this.#guarded.add(key);
    else this.#guarded.delete(key);
    // A pod may wait for the free place.
    if (old?.spec.nodeName && !isOver(old) && !takesPlace) this.#retryWaiting();
    if (!takesPlace || !isToSchedule(object)) return;
    this.#waiting.add(key);
    this.queue.add(key);
  }

  #retryWaiting(): void {
    for (const key of this.#waiting) this.queue.add(key);
  }

  protected reconcile(key: string): void {
    const { store } = this.cluster;
    const pod = store.at('pods', key);
    if (!pod || !isToSchedule(pod)) return;
    const nodes = store.list('nodes');
    const rules = this.#rulesFor(pod, nodes);
    const { problem } = rules.claims;
    if (problem) return this.#giveUp(pod, `0/${nodes.length} nodes are available: ${problem}.`);
    const reasons = new Map<string, number>();
    const fitting: { name: string; dislike: number; cost: number }[] = [];
    for (const node of nodes) {
      const { name } = node.metadata;
      const refusals = this.#refusals(pod, node, rules);
      for (const reason of refusals) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      if (refusals.length === 0)
        fitting.push({ name, dislike: disliked(pod, node), cost: rules.topology.cost(node) });
    }
    if (fitting.length === 0) return this.#giveUp(pod, explain(nodes.length, reasons));
    const [best] = fitting.toSorted((a, b) => a.dislike - b.dislike || a.cost - b.cost);
    const equals = fitting.filter((n) => n.dislike === best!.dislike && n.cost === best!.cost);
    const nodeName = this.#spread.best(
      pod,
      equals.map((node) => node.name),
    );
    // The pod is scheduled again when its claims are bound.
    if (rules.claims.reserve(this.cluster, store.get('nodes', '', nodeName)!)) return;
    this.#write(pod, { ...pod.spec, nodeName }, { status: 'True' });
    this.record(pod, 'Normal', 'Scheduled', `Successfully assigned ${key} to ${nodeName}`);
  }

  /** Why a node cannot take a pod: all missing resources, or the first other reason. */
  #refusals(pod: KubeObject, node: KubeObject, rules: Rules): string[] {
    const { ports, topology, affinity, requests, claims } = rules;
    const first = refusal(pod, node) ?? ports.refusal(node);
    if (first) return [first];
    const lacks = this.#resources.refusals(requests, node);
    if (lacks.length > 0) return lacks;
    const last = claims.refusal(node) ?? topology.refusal(node) ?? affinity.refusal(node);
    return last ? [last] : [];
  }

  /** Constraints of a pod that depend on other pods. */
  #rulesFor(pod: KubeObject, nodes: KubeObject[]): Rules {
    const { store } = this.cluster;
    const guarded = [...this.#guarded].flatMap((key) => store.at('pods', key) ?? []);
    return {
      requests: requestsOf(pod),
      ports: new HostPorts(pod, () => store.list('pods')),
      topology: new TopologySpread(pod, nodes, () => store.list('pods', pod.metadata.namespace)),
      affinity: new PodAffinity(store, pod, guarded),
      claims: new PodClaims(store, pod),
    };
  }

  #giveUp(pod: KubeObject, message: string): void {
    const condition = { status: 'False', reason: 'Unschedulable', message };
    if (!this.#write(pod, pod.spec, condition)) return;
    this.record(pod, 'Warning', 'FailedScheduling', message);
  }

  /** False if nothing changed. */
  #write(pod: KubeObject, spec: unknown, condition: Omit<Condition, 'type'>): boolean {
    const old = conditionOf(pod, 'PodScheduled');
    const isSame = old?.status === condition.status;
    if (spec === pod.spec && isSame && old.message === condition.message) return false;
    const lastTransitionTime = isSame ? old.lastTransitionTime : timestamp();
    const scheduled = { type: 'PodScheduled', ...condition, lastTransitionTime };
    const others = conditionsOf(pod).filter((c) => c.type !== 'PodScheduled');
    const status = { ...pod.status, conditions: [...others, scheduled] };
    this.cluster.store.update('pods', { ...pod, spec, status });
    return true;
  }
}

function isToSchedule({ metadata, spec }: KubeObject): boolean {
  if (spec.nodeName || metadata.deletionTimestamp) return false;
  return (spec.schedulerName ?? SCHEDULER) === SCHEDULER;
}

/** Why no node can take a pod, as the scheduler words it: framework.FitError. */
function explain(nodes: number, reasons: Map<string, number>): string {
  if (nodes === 0) return 'no nodes available to schedule pods';
  const why = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodes} nodes are available: ${why.join(', ')}.`;
}
