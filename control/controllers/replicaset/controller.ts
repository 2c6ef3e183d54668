// ReplicaSets: pkg/controller/replicaset.

import { StatusError } from '../../apiserver/status.ts';
import type { StoreEvent } from '../../apiserver/store/store.ts';
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import { type LabelSelector, selects } from '../../model/label-selector.ts';
import { type Cluster, kindOf, placeOf } from '../cluster.ts';
import { EventRecorder } from '../events.ts';
import { claim, controllerOf, controllerRef, OwnedIndex } from '../owners.ts';
import { availableInMs, isActive } from '../pods.ts';
import { WorkQueue } from '../queue.ts';
import { sortForDeletion } from './order.ts';
import { type ReplicaFailure, replicaSetStatus } from './status.ts';

/** Pods that one turn creates or deletes. The server handles requests between two turns. */
const BURST_MAX = 25;
const POD = kindOf('Pod');
const REPLICASET = kindOf('ReplicaSet');

/**
 * Keeps the number of pods of every ReplicaSet. It sees its own writes at once, so it needs no
 * record of expected events.
 */
export class ReplicaSetController {
  readonly queue: WorkQueue;
  readonly #cluster: Cluster;
  readonly #recorder: EventRecorder;
  readonly #pods = new OwnedIndex();
  readonly #sets = new OwnedIndex();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.queue = new WorkQueue((key) => this.#reconcile(key), cluster.clock);
    this.#recorder = new EventRecorder(cluster, 'replicaset-controller');
    const { store } = cluster;
    store.each('pods', (pod) => this.#pods.put(pod));
    store.each('replicasets', (object) => this.#onSet({ object }));
    this.#unsubscribe = [
      store.subscribe('replicasets', (event) => this.#onSet(event)),
      store.subscribe('pods', (event) => this.#onPod(event)),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  #onSet({ type, object, old }: Partial<StoreEvent> & { object: KubeObject }): void {
    if (old) this.#sets.remove(old);
    if (type !== 'DELETED') this.#sets.put(object);
    this.queue.add(keyOf(object));
  }

  #onPod({ type, object, old }: StoreEvent): void {
    if (old) this.#pods.remove(old);
    if (type !== 'DELETED') this.#pods.put(object);
    for (const pod of old ? [old, object] : [object]) {
      const owner = controllerOf(pod);
      if (owner?.kind === 'ReplicaSet') this.queue.add(`${pod.metadata.namespace}/${owner.name}`);
    }
    if (!controllerOf(object) && type !== 'DELETED') this.#offer(object);
  }

  /** A ReplicaSet may adopt a pod without an owner. */
  #offer({ metadata }: KubeObject): void {
    for (const set of this.#cluster.store.list('replicasets', metadata.namespace)) {
      const selector: LabelSelector = set.spec.selector;
      if (selects(selector, metadata.labels)) this.queue.add(keyOf(set));
    }
  }

  #reconcile(key: string): void {
    const { store, registry, clock } = this.#cluster;
    const place = placeOf(key);
    const set = store.get('replicasets', place.namespace, place.name);
    if (!set) return;
    const pods = claim(this.#cluster, POD, set, this.#pods, isActive);
    let failure: { error: unknown; why: ReplicaFailure } | null = null;
    if (!set.metadata.deletionTimestamp) failure = this.#manage(set, pods);
    const left = this.#pods.of(set.metadata.uid!).filter(isActive);
    const status = replicaSetStatus(set, left, failure?.why ?? null, clock.unixMs());
    if (!isEqual(status, set.status)) {
      // Adoption writes pods only, so `set` is still current.
      registry.update(REPLICASET, place, { ...set, status }, true);
    }
    if (failure) throw failure.error;
    this.#lookAgain(key, set, left);
  }

  /** Creates or deletes pods up to the wanted number. */
  #manage(set: KubeObject, pods: KubeObject[]): { error: unknown; why: ReplicaFailure } | null {
    const excess = pods.length - set.spec.replicas;
    if (excess === 0) return null;
    // A terminating namespace accepts no pods, and this set will end too.
    if (excess < 0 && this.#isEnding(set.metadata.namespace!)) return null;
    try {
      if (excess < 0) {
        for (let i = 0; i < Math.min(-excess, BURST_MAX); i++) this.#create(set);
      } else {
        const going = excess < pods.length ? sortForDeletion(pods, this.#related(set)) : pods;
        for (const pod of going.slice(0, Math.min(excess, BURST_MAX))) this.#delete(set, pod);
      }
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const reason = excess < 0 ? 'FailedCreate' : 'FailedDelete';
      const verb = excess < 0 ? 'creating' : 'deleting';
      this.#recorder.record(set, 'Warning', reason, `Error ${verb}: ${error.message}`);
      return { error, why: { reason, message: error.message } };
    }
    if (Math.abs(excess) > BURST_MAX) this.queue.add(keyOf(set));
    return null;
  }

  #isEnding(namespace: string): boolean {
    const found = this.#cluster.store.get('namespaces', '', namespace);
    return found?.metadata.deletionTimestamp !== undefined;
  }

  #create(set: KubeObject): void {
    const { metadata = {}, spec } = set.spec.template;
    const { labels, annotations, finalizers } = metadata;
    const pod = this.#cluster.registry.create(POD, set.metadata.namespace!, {
      metadata: {
        generateName: `${set.metadata.name}-`,
        ...(labels && { labels }),
        ...(annotations && { annotations }),
        ...(finalizers && { finalizers }),
        ownerReferences: [controllerRef(set)],
      },
      spec,
    });
    this.#recorder.record(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
  }

  #delete(set: KubeObject, { metadata }: KubeObject): void {
    const place = { namespace: metadata.namespace!, name: metadata.name };
    this.#cluster.registry.remove(POD, place, {});
    this.#recorder.record(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${metadata.name}`);
  }

  /** Pods of all ReplicaSets with the same owner, such as two revisions of a Deployment. */
  #related(set: KubeObject): KubeObject[] {
    const owner = controllerOf(set);
    const sets = owner ? this.#sets.of(owner.uid) : [set];
    return sets.flatMap(({ metadata }) => this.#pods.of(metadata.uid!));
  }

  /** A pod can become available without an event. */
  #lookAgain(key: string, { spec }: KubeObject, pods: KubeObject[]): void {
    const now = this.#cluster.clock.unixMs();
    const waits = pods
      .map((pod) => availableInMs(pod, spec.minReadySeconds ?? 0, now))
      .filter((ms) => ms !== null && ms > 0);
    if (waits.length > 0) this.queue.addAfter(key, Math.min(...(waits as number[])));
  }
}
