import { SERVED } from '../apiserver/verbs/kinds.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Cluster } from './cluster.ts';
import { WorkQueue } from './queue.ts';

const NAMESPACED = SERVED.filter((row) => row.namespaced);

/** Deletes the content of namespaces in deletion, then the namespaces. */
export class NamespaceController {
  /** Keys are names of namespaces. */
  readonly queue = new WorkQueue((name) => this.#empty(name));
  readonly #cluster: Cluster;
  /** Namespaces in deletion that still have content. */
  readonly #ending = new Set<string>();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { store } = cluster;
    store.each('namespaces', (namespace) => this.#onNamespace(namespace));
    this.#unsubscribe = [
      store.subscribe('namespaces', ({ type, object }) => {
        if (type === 'DELETED') this.#ending.delete(object.metadata.name);
        else this.#onNamespace(object);
      }),
      ...NAMESPACED.map(({ plural }) =>
        store.subscribe(plural, ({ type, object: { metadata } }) => {
          const isLast = type === 'DELETED' && this.#ending.has(metadata.namespace!);
          if (isLast) this.queue.add(metadata.namespace!);
        }),
      ),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  #onNamespace({ metadata }: KubeObject): void {
    if (!metadata.deletionTimestamp) return;
    this.#ending.add(metadata.name);
    this.queue.add(metadata.name);
  }

  #empty(name: string): void {
    const { store, registry } = this.#cluster;
    const namespace = store.get('namespaces', '', name);
    if (!namespace?.metadata.deletionTimestamp) return;
    let left = 0;
    for (const kind of NAMESPACED) {
      for (const { metadata } of store.list(kind.plural, name)) {
        const place = { namespace: name, name: metadata.name };
        if (!metadata.deletionTimestamp) registry.remove(kind, place, {});
        if (store.get(kind.plural, name, metadata.name)) left++;
      }
    }
    // Finalizers of other writers hold the namespace until those remove them.
    const isHeld = (namespace.metadata.finalizers?.length ?? 0) > 0;
    if (left === 0 && !isHeld) store.remove('namespaces', '', name);
  }
}
