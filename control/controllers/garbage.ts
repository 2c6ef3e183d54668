// What goes with what it belongs to: content of namespaces that end, and objects whose owners are gone.
import { SERVED, type ServedKind } from '../apiserver/kinds.ts';
import type { KubeObject } from '../apiserver/object.ts';
import type { StoreEvent } from '../apiserver/store.ts';
import type { Cluster } from './cluster.ts';
import { WorkQueue } from './queue.ts';

const NAMESPACED = SERVED.filter((row) => row.namespaced);

interface Dependent {
  kind: ServedKind;
  namespace: string;
  name: string;
}

/** Empties namespaces that are being deleted, and ends objects without owners in the background. */
export class GarbageCollector {
  /** Keys are `ns/NAME` and `owner/UID`. */
  readonly queue = new WorkQueue((key) => {
    const [what, which] = key.split('/') as [string, string];
    if (what === 'ns') this.#emptyNamespace(which);
    else this.#collectDependents(which);
  });
  readonly #cluster: Cluster;
  /** uid of an owner -> what belongs to it. */
  readonly #dependents = new Map<string, Map<string, Dependent>>();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { store } = cluster;
    for (const kind of SERVED) {
      for (const object of store.list(kind.plural)) this.#onObject(kind, { object });
    }
    this.#unsubscribe = SERVED.map((kind) =>
      store.subscribe(kind.plural, (event) => this.#onObject(kind, event)),
    );
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  #onObject(kind: ServedKind, event: Partial<StoreEvent> & { object: KubeObject }): void {
    const { type, object, old } = event;
    const { namespace = '', name, uid, deletionTimestamp } = object.metadata;
    const key = `${kind.plural}/${namespace}/${name}`;
    for (const owner of old?.metadata.ownerReferences ?? []) {
      this.#dependents.get(owner.uid)?.delete(key);
    }
    if (type === 'DELETED') {
      if (this.#dependents.has(uid!)) this.queue.add(`owner/${uid}`);
      if (namespace && this.#isEnding(namespace)) this.queue.add(`ns/${namespace}`);
      return;
    }
    for (const owner of object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid) ?? new Map<string, Dependent>();
      this.#dependents.set(owner.uid, dependents);
      dependents.set(key, { kind, namespace, name });
    }
    if (kind.kind === 'Namespace' && deletionTimestamp) this.queue.add(`ns/${name}`);
  }

  #isEnding(namespace: string): boolean {
    const found = this.#cluster.store.get('namespaces', '', namespace);
    return found?.metadata.deletionTimestamp !== undefined;
  }

  #emptyNamespace(namespace: string): void {
    const { store, registry } = this.#cluster;
    if (!this.#isEnding(namespace)) return;
    let left = 0;
    for (const kind of NAMESPACED) {
      for (const { metadata } of store.list(kind.plural, namespace)) {
        if (!metadata.deletionTimestamp) {
          registry.remove(kind, { namespace, name: metadata.name }, {});
        }
        if (store.get(kind.plural, namespace, metadata.name)) left++;
      }
    }
    if (left === 0) store.remove('namespaces', '', namespace);
  }

  /** Owners are gone for good: a uid is never given again. */
  #collectDependents(uid: string): void {
    const { store, registry } = this.#cluster;
    const dependents = [...(this.#dependents.get(uid)?.values() ?? [])];
    this.#dependents.delete(uid);
    for (const { kind, namespace, name } of dependents) {
      const object = store.get(kind.plural, namespace, name);
      const owners = object?.metadata.ownerReferences ?? [];
      if (!object || !owners.some((owner) => owner.uid === uid)) continue;
      const others = owners.filter((owner) => owner.uid !== uid);
      if (others.length > 0) {
        const metadata = { ...object.metadata, ownerReferences: others };
        registry.update(kind, { namespace, name }, { ...object, metadata }, false);
      } else if (!object.metadata.deletionTimestamp) {
        registry.remove(kind, { namespace, name }, {});
      }
    }
  }
}
