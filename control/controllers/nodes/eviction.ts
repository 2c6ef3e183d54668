// Eviction by taints: pkg/controller/tainteviction.
import { disruptedStatus } from '../../apiserver/verbs/eviction.ts';
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { type Taint, type Toleration, tolerates } from '../scheduler/taints.ts';

/** Deletes pods whose node has a NoExecute taint that they do not tolerate, after their delay. */
export class TaintEviction extends Controller {
  /** Pod -> when its limited toleration started. A restart of the server starts it again. */
  readonly #since = new Map<string, number>();

  constructor(cluster: Cluster) {
    super(cluster, 'taint-eviction-controller');
    this.follow('nodes', (change) => this.#onNode(change));
    this.subscribe('pods', (event) => this.#onPod(event));
  }

  #onNode({ object, old }: Change): void {
    if (isEqual(evicting(object), evicting(old))) return;
    for (const pod of this.cluster.store.list('pods')) {
      if (pod.spec.nodeName === object.metadata.name) this.queue.add(keyOf(pod));
    }
  }

  #onPod({ type, object, old }: Change): void {
    const key = keyOf(object);
    if (type === 'DELETED') this.#since.delete(key);
    else if (object.spec.nodeName && !isEqual(object.spec, old?.spec)) this.queue.add(key);
  }

  protected reconcile(key: string): void {
    const { store, clock } = this.cluster;
    const pod = store.at('pods', key);
    if (!pod || pod.metadata.deletionTimestamp) return;
    const taints = evicting(store.get('nodes', '', pod.spec.nodeName));
    const borneS = Math.min(...taints.map((taint) => borneForS(pod, taint)));
    if (borneS === Number.POSITIVE_INFINITY) return void this.#since.delete(key);
    const nowMs = clock.unixMs();
    const sinceMs = this.#since.get(key) ?? nowMs;
    this.#since.set(key, sinceMs);
    const leftMs = sinceMs + borneS * 1000 - nowMs;
    if (leftMs > 0) return this.queue.addAfter(key, leftMs);
    this.record(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${key}`);
    const why = [
      'DeletionByTaintManager',
      'Taint manager: deleting due to NoExecute taint',
    ] as const;
    this.cluster.writeStatus(pod, disruptedStatus(pod, ...why, nowMs));
    this.cluster.remove(pod);
  }
}

/** NoExecute taints of a node. */
function evicting(node: KubeObject | undefined): Taint[] {
  const taints: Taint[] = node?.spec?.taints ?? [];
  return taints.filter(({ effect }) => effect === 'NoExecute');
}

/** Seconds for which a pod tolerates a taint. */
function borneForS({ spec }: KubeObject, taint: Taint): number {
  const tolerations: Toleration[] = spec.tolerations ?? [];
  const borne = tolerations
    .filter((toleration) => tolerates(toleration, taint))
    .map(({ tolerationSeconds }) => tolerationSeconds ?? Number.POSITIVE_INFINITY);
  return borne.length > 0 ? Math.max(0, Math.min(...borne)) : 0;
}
