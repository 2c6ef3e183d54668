// What controllers of one kind of pod owner have in common.
import { StatusError } from '../apiserver/status.ts';
import { KINDS, type KubeKind } from '../kube/kinds.ts';
import { isEqual, type KubeObject, keyOf } from '../kube/object.ts';
import { type LabelSelector, selects } from '../model/label-selector.ts';
import { type Change, type Cluster, Controller } from './controller.ts';
import { claim, controllerOf, controllerRef, ownedIndex } from './owners.ts';
import { availableInMs } from './pods.ts';

/** Verbs, as reasons of events spell them. */
const VERBS = { create: 'Create', update: 'Update', delete: 'Delete' };
export type Verb = keyof typeof VERBS;

/** Reconciles an owner when the owner or one of its pods changes. */
export abstract class PodOwnerController extends Controller {
  readonly #kind: KubeKind;
  readonly #pods = ownedIndex();

  constructor(cluster: Cluster, component: string, kind: KubeKind) {
    super(cluster, component);
    this.#kind = kind;
    cluster.store.each('pods', (object) => this.#pods.update({ object }));
    this.follow(KINDS[kind].plural, ({ object }) => this.queue.add(keyOf(object)));
    this.subscribe('pods', (event) => this.#onPod(event));
  }

  /** The pods of an owner, with those that it adopts and without those that it releases. */
  protected claimPods(owner: KubeObject, isCandidate?: (pod: KubeObject) => boolean): KubeObject[] {
    return claim(this.cluster, owner, this.#pods, isCandidate);
  }

  /** The pods of an owner after the last write. */
  protected podsOf({ metadata }: KubeObject): KubeObject[] {
    return this.#pods.of(metadata.uid!);
  }

  /**
   * Creates a pod from the template of an owner. Records an event on the owner. Throws StatusError
   * after an event.
   *
   * @param metadata name or generateName, and what is added to the template's metadata.
   */
  protected createPod(
    owner: KubeObject,
    template: KubeObject,
    metadata: object,
    spec: object,
  ): void {
    const { labels, annotations, finalizers } = template.metadata ?? {};
    const added = metadata as Partial<KubeObject['metadata']>;
    let name = added.name ?? '';
    const message = (error?: StatusError) => this.describe(owner, 'create', name, error);
    this.noting(owner, 'create', message, () => {
      const pod = this.cluster.create('Pod', owner.metadata.namespace!, {
        metadata: {
          ...added,
          labels: { ...labels, ...added.labels },
          annotations: { ...annotations, ...added.annotations },
          finalizers: [...(finalizers ?? []), ...(added.finalizers ?? [])],
          ownerReferences: [controllerRef(owner)],
        },
        spec,
      });
      name = pod.metadata.name;
    });
  }

  /** Deletes a pod. Records an event and throws as `createPod` does. */
  protected removePod(owner: KubeObject, pod: KubeObject): void {
    const message = (error?: StatusError) =>
      this.describe(owner, 'delete', pod.metadata.name, error);
    this.noting(owner, 'delete', message, () => this.cluster.remove(pod));
  }

  /** The message of an event about a pod that was written, or could not be. */
  protected describe(_owner: KubeObject, verb: Verb, pod: string, error?: StatusError): string {
    if (error) return `Error ${verb.slice(0, -1)}ing: ${error.message}`;
    return `${VERBS[verb]}d pod: ${pod}`;
  }

  /** Does a write, with an event about it on the owner. Throws StatusError after an event. */
  protected noting(
    owner: KubeObject,
    verb: Verb,
    message: (error?: StatusError) => string,
    write: () => void,
  ): void {
    try {
      write();
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.record(owner, 'Warning', `Failed${VERBS[verb]}`, message(error));
      throw error;
    }
    this.record(owner, 'Normal', `Successful${VERBS[verb]}`, message());
  }

  /** Writes the status of an owner if it differs. */
  protected writeOwnStatus(owner: KubeObject, status: object): void {
    const current = this.cluster.store.at(KINDS[this.#kind].plural, keyOf(owner));
    if (current && !isEqual(status, current.status)) this.cluster.writeStatus(current, status);
  }

  /** A pod can become available without an event. */
  protected awaitAvailable(owner: KubeObject): void {
    const nowMs = this.cluster.clock.unixMs();
    const waits = this.podsOf(owner)
      .map((pod) => availableInMs(pod, owner.spec.minReadySeconds ?? 0, nowMs))
      .filter((ms) => ms !== null && ms > 0) as number[];
    if (waits.length > 0) this.queue.addAfter(keyOf(owner), Math.min(...waits));
  }

  #onPod(change: Change): void {
    const { type, object, old } = change;
    this.#pods.update(change);
    for (const pod of old ? [old, object] : [object]) {
      const owner = controllerOf(pod);
      if (owner?.kind === this.#kind) this.queue.add(`${pod.metadata.namespace}/${owner.name}`);
    }
    if (controllerOf(object) || type === 'DELETED') return;
    const { namespace, labels } = object.metadata;
    for (const owner of this.cluster.store.list(KINDS[this.#kind].plural, namespace)) {
      const selector: LabelSelector = owner.spec.selector;
      if (selects(selector, labels)) this.queue.add(keyOf(owner));
    }
  }
}
