// Garbage collection by owner: pkg/controller/garbagecollector.

import type { StoreEvent } from '../apiserver/store/store.ts';
import { FOREGROUND, ORPHAN } from '../apiserver/verbs/deletion.ts';
import { SERVED } from '../apiserver/verbs/kinds.ts';
import { type KubeObject, keyOf, type OwnerReference } from '../kube/object.ts';
import { type Cluster, Controller } from './controller.ts';
import { Groups } from './object-index.ts';
import { dropFinalizer } from './owners.ts';

/** The kind of an object, by its plural name, and its key. */
interface Spot {
  plural: string;
  key: string;
}

const SERVED_KINDS = new Set(SERVED.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`));

/**
 * Deletes objects whose owners are all gone. Releases dependents of an owner that orphans them.
 * Deletes dependents before an owner that waits for them. Keys are uids of owners that are gone, or
 * that stay in deletion until their dependents are handled.
 */
export class GarbageCollector extends Controller {
  /** uid of an owner -> its dependents. */
  readonly #dependents = new Groups<Spot>();
  readonly #alive = new Map<string, Spot>();

  constructor(cluster: Cluster) {
    super(cluster);
    // All owners must be known before the first dependent.
    for (const { plural } of SERVED) cluster.store.each(plural, (o) => this.#live(plural, o));
    for (const { plural } of SERVED) cluster.store.each(plural, (o) => this.#put(plural, o));
    for (const { plural } of SERVED) this.subscribe(plural, (e) => this.#onObject(plural, e));
  }

  #onObject(plural: string, { type, object, old }: StoreEvent): void {
    const uid = object.metadata.uid!;
    if (type !== 'DELETED') this.#live(plural, object);
    const isSame = old?.metadata.ownerReferences === object.metadata.ownerReferences;
    if (type === 'MODIFIED' && isSame) return;
    if (old) this.#drop(plural, old);
    if (type !== 'DELETED') return this.#put(plural, object);
    this.#alive.delete(uid);
    if (this.#dependents.get(uid)) this.queue.add(uid);
  }

  #live(plural: string, object: KubeObject): void {
    const { uid, deletionTimestamp, finalizers } = object.metadata;
    if (!this.#alive.has(uid!)) this.#alive.set(uid!, { plural, key: keyOf(object) });
    if (deletionTimestamp && finalizers) this.queue.add(uid!);
  }

  #put(plural: string, object: KubeObject): void {
    const key = keyOf(object);
    for (const owner of object.metadata.ownerReferences ?? []) {
      this.#dependents.put(owner.uid, `${plural}/${key}`, { plural, key });
      if (this.#isGone(owner)) this.queue.add(owner.uid);
    }
  }

  #drop(plural: string, object: KubeObject): void {
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      this.#dependents.remove(uid, `${plural}/${keyOf(object)}`);
      // Its owner may wait for the end of this dependent.
      const owner = this.#find(this.#alive.get(uid));
      if (owner?.metadata.deletionTimestamp) this.queue.add(uid);
    }
  }

  /** True if the owner no longer exists. Owners of other servers' kinds count as existing. */
  #isGone({ apiVersion, kind, uid }: OwnerReference): boolean {
    return SERVED_KINDS.has(`${apiVersion} ${kind}`) && !this.#alive.has(uid);
  }

  #find(spot: Spot | undefined): KubeObject | undefined {
    return spot && this.cluster.store.at(spot.plural, spot.key);
  }

  protected reconcile(uid: string): void {
    const spot = this.#alive.get(uid);
    if (!spot) return this.#collect(uid, false);
    const owner = this.#find(spot);
    const { deletionTimestamp, finalizers = [] } = owner?.metadata ?? {};
    if (!owner || !deletionTimestamp) return;
    if (finalizers.includes(ORPHAN)) {
      for (const object of this.#dependentsOf(uid)) this.#release(object, [uid]);
      dropFinalizer(this.cluster, owner, ORPHAN);
    } else if (finalizers.includes(FOREGROUND)) {
      this.#collect(uid, true);
      const isHeld = this.#dependentsOf(uid).some(({ metadata }) =>
        metadata.ownerReferences?.some((o) => o.uid === uid && o.blockOwnerDeletion),
      );
      if (!isHeld) dropFinalizer(this.cluster, owner, FOREGROUND);
    }
  }

  /**
   * Deletes dependents that have no other owner. A uid is never used again, so a missing owner
   * stays missing.
   */
  #collect(uid: string, foreground: boolean): void {
    for (const object of this.#dependentsOf(uid)) {
      const owners = object.metadata.ownerReferences!;
      const lost = owners.filter((owner) => owner.uid === uid || this.#isGone(owner));
      if (lost.length < owners.length) {
        const uids = lost.map((owner) => owner.uid);
        this.#release(object, uids);
      } else if (!object.metadata.deletionTimestamp) {
        const hasOwn = this.#dependents.get(object.metadata.uid!) !== undefined;
        const options = foreground && hasOwn ? { propagationPolicy: 'Foreground' } : {};
        this.cluster.remove(object, options);
      }
    }
  }

  #dependentsOf(uid: string): KubeObject[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])].flatMap((spot) => {
      const object = this.#find(spot);
      const isOwned = object?.metadata.ownerReferences?.some((owner) => owner.uid === uid);
      return object && isOwned ? [object] : [];
    });
  }

  /** Removes owners from an object. */
  #release(object: KubeObject, uids: string[]): void {
    const owners = object.metadata.ownerReferences!.filter(({ uid }) => !uids.includes(uid));
    const ownerReferences = owners.length > 0 ? owners : null;
    this.cluster.patch(object, { metadata: { ownerReferences } });
  }
}
