// Pods to nodes: pkg/scheduler in its simplest form.
import { isEqual, type KubeObject, timestamp } from '../apiserver/object.ts';
import type { StoreEvent } from '../apiserver/store.ts';
import type { Cluster } from './cluster.ts';
import { matchesLabels } from './endpoints/pod-index.ts';
import { WorkQueue } from './queue.ts';

interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

/** Gives each pod without a node the fitting one that has the fewest pods like it, then the fewest at all. */
export class Scheduler {
  readonly queue = new WorkQueue((key) => this.#schedule(key));
  readonly #cluster: Cluster;
  /** Node -> its pods by key. */
  readonly #podsOn = new Map<string, Map<string, KubeObject>>();
  readonly #waiting = new Set<string>();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { store } = cluster;
    for (const object of store.list('pods')) this.#onPod({ object });
    this.#unsubscribe = [
      store.subscribe('pods', (event) => this.#onPod(event)),
      store.subscribe('nodes', () => {
        for (const key of this.#waiting) this.queue.add(key);
      }),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  #onPod({ type, object, old }: Partial<StoreEvent> & { object: KubeObject }): void {
    const key = keyOf(object);
    if (old?.spec.nodeName) this.#podsOn.get(old.spec.nodeName)?.delete(key);
    this.#waiting.delete(key);
    if (type === 'DELETED') return;
    const node = object.spec.nodeName;
    if (node) {
      const pods = this.#podsOn.get(node);
      if (pods) pods.set(key, object);
      else this.#podsOn.set(node, new Map([[key, object]]));
    } else if (!object.metadata.deletionTimestamp) {
      this.#waiting.add(key);
      this.queue.add(key);
    }
  }

  #schedule(key: string): void {
    const [namespace, name] = key.split('/') as [string, string];
    const { store } = this.#cluster;
    const pod = store.get('pods', namespace, name);
    if (!pod || pod.spec.nodeName || pod.metadata.deletionTimestamp) return;
    const reasons = new Map<string, number>();
    const nodes = store.list('nodes');
    const fitting = nodes.filter((node) => {
      const reason = refusal(pod, node, this.#podsOn.get(node.metadata.name)?.size ?? 0);
      if (reason) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      return reason === null;
    });
    if (fitting.length === 0) {
      const why = [...reasons].map(([reason, count]) => `${count} ${reason}`).join(', ');
      const message = `0/${nodes.length} nodes are available${why && `: ${why}`}.`;
      this.#write(pod, pod.spec, { status: 'False', reason: 'Unschedulable', message });
      return;
    }
    const nodeName = this.#best(pod, fitting);
    this.#write(pod, { ...pod.spec, nodeName }, { status: 'True' });
  }

  #best(pod: KubeObject, nodes: KubeObject[]): string {
    const scores = nodes.map(({ metadata: { name } }) => {
      const pods = [...(this.#podsOn.get(name)?.values() ?? [])];
      const alike = pods.filter((other) => isAlike(pod, other)).length;
      return { name, alike, all: pods.length };
    });
    scores.sort((a, b) => a.alike - b.alike || a.all - b.all || (a.name < b.name ? -1 : 1));
    return scores[0]!.name;
  }

  #write(pod: KubeObject, spec: unknown, condition: Omit<Condition, 'type'>): void {
    const conditions: Condition[] = pod.status?.conditions ?? [];
    const old = conditions.find((c) => c.type === 'PodScheduled');
    const { lastTransitionTime: _, ...bare } = old ?? { type: '', status: '' };
    const wanted = { type: 'PodScheduled', ...condition };
    if (spec === pod.spec && isEqual(bare, wanted)) return;
    const scheduled = { ...wanted, lastTransitionTime: timestamp() };
    const others = conditions.filter((c) => c.type !== 'PodScheduled');
    const status = { ...pod.status, conditions: [...others, scheduled] };
    this.#cluster.store.update('pods', { ...pod, spec, status });
  }
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

/** Pods of one owner, or with the same labels, are spread over nodes. */
function isAlike(pod: KubeObject, other: KubeObject): boolean {
  if (pod.metadata.namespace !== other.metadata.namespace) return false;
  const owner = pod.metadata.ownerReferences?.find((o) => o.controller)?.uid;
  if (owner) return other.metadata.ownerReferences?.some((o) => o.uid === owner) === true;
  return isEqual(pod.metadata.labels ?? {}, other.metadata.labels ?? {});
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}
