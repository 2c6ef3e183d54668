// Garbage collection by owner: pkg/controller/garbagecollector.

import type { ServedKind } from '../apiserver/kind.ts';
import type { StoreEvent } from '../apiserver/store/store.ts';
import { FOREGROUND, ORPHAN } from '../apiserver/verbs/deletion.ts';
import { SERVED } from '../apiserver/verbs/kinds.ts';
import { type KubeObject, keyOf, type OwnerReference } from '../kube/object.ts';
import type { Cluster } from './cluster.ts';
import { WorkQueue } from './queue.ts';

/** The place of an object. */
interface Spot {
  kind: ServedKind;
  namespace: string;
  name: string;
}

const SERVED_KINDS = new Set(SERVED.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`));

/**
 * Deletes objects whose owners are all gone. Releases dependents of an owner that orphans them.
 * Deletes dependents before an owner that waits for them.
 */
export class GarbageCollector {
  /** Keys are uids of owners that are gone, or in deletion with a finalizer about dependents. */
  readonly queue: WorkQueue;
  readonly #cluster: Cluster;
  /** uid of an owner -> its dependents. */
  readonly #dependents = new Map<string, Map<string, Spot>>();
  readonly #alive = new Map<string, Spot>();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.queue = new WorkQueue((uid) => this.#look(uid), cluster.clock);
    const { store } = cluster;
    // All owners must be known before the first dependent.
    for (const kind of SERVED) store.each(kind.plural, (object) => this.#live(kind, object));
    for (const kind of SERVED) store.each(kind.plural, (object) => this.#put(kind, object));
    this.#unsubscribe = SERVED.map((kind) =>
      store.subscribe(kind.plural, (event) => this.#onObject(kind, event)),
    );
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  #onObject(kind: ServedKind, { type, object, old }: StoreEvent): void {
    const uid = object.metadata.uid!;
    if (type !== 'DELETED') this.#live(kind, object);
    const isSame = old?.metadata.ownerReferences === object.metadata.ownerReferences;
    if (type === 'MODIFIED' && isSame) return;
    if (old) this.#drop(kind, old);
    if (type !== 'DELETED') return this.#put(kind, object);
    this.#alive.delete(uid);
    if (this.#dependents.has(uid)) this.queue.add(uid);
  }

  #live(kind: ServedKind, { metadata }: KubeObject): void {
    const { uid, namespace = '', name } = metadata;
    if (!this.#alive.has(uid!)) this.#alive.set(uid!, { kind, namespace, name });
    if (metadata.deletionTimestamp && metadata.finalizers) this.queue.add(uid!);
  }

  #put(kind: ServedKind, object: KubeObject): void {
    const { namespace = '', name, ownerReferences } = object.metadata;
    for (const owner of ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid) ?? new Map<string, Spot>();
      this.#dependents.set(owner.uid, dependents);
      dependents.set(`${kind.plural}/${keyOf(object)}`, { kind, namespace, name });
      if (this.#isGone(owner)) this.queue.add(owner.uid);
    }
  }

  #drop(kind: ServedKind, object: KubeObject): void {
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(uid);
      dependents?.delete(`${kind.plural}/${keyOf(object)}`);
      if (dependents?.size === 0) this.#dependents.delete(uid);
      // Its owner may wait for this.
      const owner = this.#find(this.#alive.get(uid));
      if (owner?.metadata.deletionTimestamp) this.queue.add(uid);
    }
  }

  /** True if the owner no longer exists. Owners of other servers' kinds count as existing. */
  #isGone({ apiVersion, kind, uid }: OwnerReference): boolean {
    return SERVED_KINDS.has(`${apiVersion} ${kind}`) && !this.#alive.has(uid);
  }

  #find(spot: Spot | undefined): KubeObject | undefined {
    return spot && this.#cluster.store.get(spot.kind.plural, spot.namespace, spot.name);
  }

  #look(uid: string): void {
    const spot = this.#alive.get(uid);
    if (!spot) return this.#collect(uid, false);
    const owner = this.#find(spot);
    const { deletionTimestamp, finalizers = [] } = owner?.metadata ?? {};
    if (!owner || !deletionTimestamp) return;
    if (finalizers.includes(ORPHAN)) {
      for (const { spot, object } of this.#dependentsOf(uid)) this.#release(spot, object, [uid]);
      this.#finish(spot, owner, ORPHAN);
    } else if (finalizers.includes(FOREGROUND)) {
      this.#collect(uid, true);
      const isHeld = this.#dependentsOf(uid).some(({ object }) =>
        object.metadata.ownerReferences?.some((o) => o.uid === uid && o.blockOwnerDeletion),
      );
      if (!isHeld) this.#finish(spot, owner, FOREGROUND);
    }
  }

  /**
   * Deletes dependents that have no other owner. A uid is never used again, so a missing owner
   * stays missing.
   */
  #collect(uid: string, foreground: boolean): void {
    for (const { spot, object } of this.#dependentsOf(uid)) {
      const owners = object.metadata.ownerReferences!;
      const lost = owners.filter((owner) => owner.uid === uid || this.#isGone(owner));
      if (lost.length < owners.length) {
        this.#release(
          spot,
          object,
          lost.map((owner) => owner.uid),
        );
      } else if (!object.metadata.deletionTimestamp) {
        const hasOwn = this.#dependents.has(object.metadata.uid!);
        const propagationPolicy = foreground && hasOwn ? 'Foreground' : undefined;
        const options = propagationPolicy ? { propagationPolicy } : {};
        this.#cluster.registry.remove(spot.kind, spot, options);
      }
    }
  }

  #dependentsOf(uid: string): { spot: Spot; object: KubeObject }[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])].flatMap((spot) => {
      const object = this.#find(spot);
      const isOwned = object?.metadata.ownerReferences?.some((owner) => owner.uid === uid);
      return object && isOwned ? [{ spot, object }] : [];
    });
  }

  /** Removes owners from an object. */
  #release(spot: Spot, object: KubeObject, uids: string[]): void {
    const owners = object.metadata.ownerReferences!.filter(({ uid }) => !uids.includes(uid));
    const ownerReferences = owners.length > 0 ? owners : null;
    this.#cluster.registry.patch(spot.kind, spot, { metadata: { ownerReferences } }, false);
  }

  #finish(spot: Spot, owner: KubeObject, finalizer: string): void {
    const left = owner.metadata.finalizers!.filter((name) => name !== finalizer);
    const finalizers = left.length > 0 ? left : null;
    this.#cluster.registry.patch(spot.kind, spot, { metadata: { finalizers } }, false);
  }
}
