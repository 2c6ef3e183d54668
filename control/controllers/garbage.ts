// Objects whose owners are gone: pkg/controller/garbagecollector, in the background and no other way.
import { SERVED, type ServedKind } from '../apiserver/kinds.ts';
import type { KubeObject, OwnerReference } from '../apiserver/object.ts';
import type { StoreEvent } from '../apiserver/store.ts';
import type { Cluster } from './cluster.ts';
import { WorkQueue } from './queue.ts';

interface Dependent {
  kind: ServedKind;
  namespace: string;
  name: string;
}

const SERVED_KINDS = new Set(SERVED.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`));

/** Deletes what belongs to nothing any more. An object with several owners goes with the last of them. */
export class GarbageCollector {
  /** Keys are uids of owners that are gone. */
  readonly queue = new WorkQueue((uid) => this.#collect(uid));
  readonly #cluster: Cluster;
  /** uid of an owner -> what belongs to it. */
  readonly #dependents = new Map<string, Map<string, Dependent>>();
  readonly #alive = new Set<string>();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { store } = cluster;
    const all = SERVED.map((kind) => ({ kind, objects: store.list(kind.plural) }));
    // Owners of any kind are known before the first look at what belongs to them.
    for (const { objects } of all)
      for (const { metadata } of objects) this.#alive.add(metadata.uid!);
    for (const { kind, objects } of all) for (const object of objects) this.#put(kind, object);
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
    if (type === 'ADDED') this.#alive.add(uid);
    const isSame = old?.metadata.ownerReferences === object.metadata.ownerReferences;
    if (type === 'MODIFIED' && isSame) return;
    if (old) this.#drop(kind, old);
    if (type !== 'DELETED') return this.#put(kind, object);
    this.#alive.delete(uid);
    if (this.#dependents.has(uid)) this.queue.add(uid);
  }

  #put(kind: ServedKind, object: KubeObject): void {
    const { namespace = '', name, ownerReferences } = object.metadata;
    for (const owner of ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid) ?? new Map<string, Dependent>();
      this.#dependents.set(owner.uid, dependents);
      dependents.set(keyOf(kind, object), { kind, namespace, name });
      if (this.#isGone(owner)) this.queue.add(owner.uid);
    }
  }

  #drop(kind: ServedKind, object: KubeObject): void {
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(uid);
      dependents?.delete(keyOf(kind, object));
      if (dependents?.size === 0) this.#dependents.delete(uid);
    }
  }

  /** An owner of a kind that is not served here cannot be looked for. */
  #isGone({ apiVersion, kind, uid }: OwnerReference): boolean {
    return SERVED_KINDS.has(`${apiVersion} ${kind}`) && !this.#alive.has(uid);
  }

  /** Owners are gone for good: a uid is never given again. */
  #collect(uid: string): void {
    if (this.#alive.has(uid)) return;
    const { store, registry } = this.#cluster;
    for (const { kind, namespace, name } of [...(this.#dependents.get(uid)?.values() ?? [])]) {
      const object = store.get(kind.plural, namespace, name);
      const owners = object?.metadata.ownerReferences ?? [];
      if (!object || !owners.some((owner) => owner.uid === uid)) continue;
      const others = owners.filter((owner) => !this.#isGone(owner));
      if (others.length > 0) {
        const metadata = { ...object.metadata, ownerReferences: others };
        registry.update(kind, { namespace, name }, { ...object, metadata }, false);
      } else if (!object.metadata.deletionTimestamp) {
        registry.remove(kind, { namespace, name }, {});
      }
    }
  }
}

function keyOf({ plural }: ServedKind, { metadata }: KubeObject): string {
  return `${plural}/${metadata.namespace ?? ''}/${metadata.name}`;
}
