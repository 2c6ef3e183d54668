// ReplicaSets: pkg/controller/replicaset.

import { StatusError } from '../../apiserver/status.ts';
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import { type LabelSelector, selects } from '../../model/label-selector.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { claim, controllerOf, controllerRef, ownedIndex } from '../owners.ts';
import { availableInMs, isActive } from '../pods.ts';
import { sortForDeletion } from './order.ts';
import { type ReplicaFailure, replicaSetStatus } from './status.ts';

/** Pods that one turn creates or deletes. The server handles requests between two turns. */
const BURST_MAX = 25;

/**
 * Keeps the number of pods of every ReplicaSet. It sees its own writes at once, so it needs no
 * record of expected events.
 */
export class ReplicaSetController extends Controller {
  readonly #pods = ownedIndex();
  readonly #sets = ownedIndex();

  constructor(cluster: Cluster) {
    super(cluster, 'replicaset-controller');
    cluster.store.each('pods', (object) => this.#pods.update({ object }));
    this.follow('replicasets', (change) => {
      this.#sets.update(change);
      this.queue.add(keyOf(change.object));
    });
    this.subscribe('pods', (event) => this.#onPod(event));
  }

  #onPod(change: Change): void {
    const { type, object, old } = change;
    this.#pods.update(change);
    for (const pod of old ? [old, object] : [object]) {
      const owner = controllerOf(pod);
      if (owner?.kind === 'ReplicaSet') this.queue.add(`${pod.metadata.namespace}/${owner.name}`);
    }
    if (!controllerOf(object) && type !== 'DELETED') this.#offer(object);
  }

  /** A ReplicaSet that selects a pod without a controller may adopt it. */
  #offer({ metadata }: KubeObject): void {
    for (const set of this.cluster.store.list('replicasets', metadata.namespace)) {
      const selector: LabelSelector = set.spec.selector;
      if (selects(selector, metadata.labels)) this.queue.add(keyOf(set));
    }
  }

  protected reconcile(key: string): void {
    const { store, clock } = this.cluster;
    const set = store.at('replicasets', key);
    if (!set) return;
    const pods = claim(this.cluster, set, this.#pods, isActive);
    let failure: { error: unknown; why: ReplicaFailure } | null = null;
    if (!set.metadata.deletionTimestamp) failure = this.#manage(set, pods);
    const left = this.#pods.of(set.metadata.uid!).filter(isActive);
    const status = replicaSetStatus(set, left, failure?.why ?? null, clock.unixMs());
    // Adoption writes pods only, so `set` is still current.
    if (!isEqual(status, set.status)) this.cluster.writeStatus(set, status);
    if (failure) throw failure.error;
    this.#lookAgain(key, set, left);
  }

  /** Creates or deletes pods up to the wanted number. */
  #manage(set: KubeObject, pods: KubeObject[]): { error: unknown; why: ReplicaFailure } | null {
    const excess = pods.length - set.spec.replicas;
    if (excess === 0) return null;
    // A terminating namespace accepts no pods, and this set will end too.
    if (excess < 0 && this.cluster.isEnding(set.metadata.namespace!)) return null;
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
      this.record(set, 'Warning', reason, `Error ${verb}: ${error.message}`);
      return { error, why: { reason, message: error.message } };
    }
    if (Math.abs(excess) > BURST_MAX) this.queue.add(keyOf(set));
    return null;
  }

  #create(set: KubeObject): void {
    const { metadata = {}, spec } = set.spec.template;
    const { labels, annotations, finalizers } = metadata;
    const pod = this.cluster.create('Pod', set.metadata.namespace!, {
      metadata: {
        generateName: `${set.metadata.name}-`,
        ...(labels && { labels }),
        ...(annotations && { annotations }),
        ...(finalizers && { finalizers }),
        ownerReferences: [controllerRef(set)],
      },
      spec,
    });
    this.record(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
  }

  #delete(set: KubeObject, pod: KubeObject): void {
    this.cluster.remove(pod);
    this.record(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
  }

  /** Pods of all ReplicaSets with the same owner, such as two revisions of a Deployment. */
  #related(set: KubeObject): KubeObject[] {
    const owner = controllerOf(set);
    const sets = owner ? this.#sets.of(owner.uid) : [set];
    return sets.flatMap(({ metadata }) => this.#pods.of(metadata.uid!));
  }

  /** A pod can become available without an event. */
  #lookAgain(key: string, { spec }: KubeObject, pods: KubeObject[]): void {
    const now = this.cluster.clock.unixMs();
    const waits = pods
      .map((pod) => availableInMs(pod, spec.minReadySeconds ?? 0, now))
      .filter((ms) => ms !== null && ms > 0);
    if (waits.length > 0) this.queue.addAfter(key, Math.min(...(waits as number[])));
  }
}
