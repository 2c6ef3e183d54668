// Pods to nodes: pkg/scheduler in its simplest form.
import { type KubeObject, timestamp } from '../apiserver/object.ts';
import type { StoreEvent } from '../apiserver/store.ts';
import type { Cluster } from './cluster.ts';
import { matchesLabels } from './endpoints/pod-index.ts';
import { WorkQueue } from './queue.ts';
import { isOver, Spread } from './spread.ts';

interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

/** The scheduler of pods that name none; others are left to whoever they name. */
const SCHEDULER = 'default-scheduler';

/** Gives each pod without a node the fitting one that has the fewest pods like it, then the fewest at all. */
export class Scheduler {
  readonly queue = new WorkQueue((key) => this.#schedule(key));
  readonly #cluster: Cluster;
  readonly #spread = new Spread();
  /** Keys of pods without a node. */
  readonly #waiting = new Set<string>();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { store } = cluster;
    for (const object of store.list('pods')) this.#onPod({ object });
    this.#unsubscribe = [
      store.subscribe('pods', (event) => this.#onPod(event)),
      store.subscribe('nodes', () => this.#retryWaiting()),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  #onPod({ type, object, old }: Partial<StoreEvent> & { object: KubeObject }): void {
    const key = keyOf(object);
    this.#waiting.delete(key);
    if (old) this.#spread.remove(old);
    const takesPlace = type !== 'DELETED' && !isOver(object);
    if (type !== 'DELETED') this.#spread.add(object);
    // A place that is free again may be what another pod waits for.
    if (old?.spec.nodeName && !isOver(old) && !takesPlace) this.#retryWaiting();
    if (!takesPlace || !isToSchedule(object)) return;
    this.#waiting.add(key);
    this.queue.add(key);
  }

  #retryWaiting(): void {
    for (const key of this.#waiting) this.queue.add(key);
  }

  #schedule(key: string): void {
    const [namespace, name] = key.split('/') as [string, string];
    const { store } = this.#cluster;
    const pod = store.get('pods', namespace, name);
    if (!pod || !isToSchedule(pod)) return;
    const reasons = new Map<string, number>();
    const nodes = store.list('nodes');
    const fitting: string[] = [];
    for (const node of nodes) {
      const reason = refusal(pod, node, this.#spread.size(node.metadata.name));
      if (reason) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      else fitting.push(node.metadata.name);
    }
    if (fitting.length === 0) {
      const message = explain(nodes.length, reasons);
      this.#write(pod, pod.spec, { status: 'False', reason: 'Unschedulable', message });
      return;
    }
    const nodeName = this.#spread.best(pod, fitting);
    this.#write(pod, { ...pod.spec, nodeName }, { status: 'True' });
  }

  #write(pod: KubeObject, spec: unknown, condition: Omit<Condition, 'type'>): void {
    const conditions: Condition[] = pod.status?.conditions ?? [];
    const old = conditions.find((c) => c.type === 'PodScheduled');
    const isSame = old?.status === condition.status;
    if (spec === pod.spec && isSame && old.message === condition.message) return;
    const lastTransitionTime = isSame ? old.lastTransitionTime : timestamp();
    const scheduled = { type: 'PodScheduled', ...condition, lastTransitionTime };
    const others = conditions.filter((c) => c.type !== 'PodScheduled');
    const status = { ...pod.status, conditions: [...others, scheduled] };
    this.#cluster.store.update('pods', { ...pod, spec, status });
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

/** Why a node cannot take a pod, in the scheduler's own words; null if it can. */
function refusal(pod: KubeObject, node: KubeObject, pods: number): string | null {
  const conditions: Condition[] = node.status?.conditions ?? [];
  if (node.spec?.unschedulable) return 'node(s) were unschedulable';
  if (!conditions.some((c) => c.type === 'Ready' && c.status === 'True')) {
    return 'node(s) were not ready';
  }
  if (!matchesLabels(pod.spec.nodeSelector ?? {}, node.metadata.labels)) {
    return "node(s) didn't match Pod's node affinity/selector";
  }
  const capacity = Number(node.status?.allocatable?.pods ?? Number.POSITIVE_INFINITY);
  return pods >= capacity ? 'Too many pods' : null;
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}
