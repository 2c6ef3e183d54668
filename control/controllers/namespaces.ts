import { SERVED } from '../apiserver/verbs/kinds.ts';
import { type Change, type Cluster, Controller } from './controller.ts';

const NAMESPACED = SERVED.filter((row) => row.namespaced);

/** Deletes the content of namespaces in deletion, then the namespaces. The keys are their names. */
export class NamespaceController extends Controller {
  /** Namespaces in deletion that still have content. */
  readonly #ending = new Set<string>();

  constructor(cluster: Cluster) {
    super(cluster);
    this.follow('namespaces', (change) => this.#onNamespace(change));
    for (const { plural } of NAMESPACED) {
      this.subscribe(plural, ({ type, object: { metadata } }) => {
        const isLast = type === 'DELETED' && this.#ending.has(metadata.namespace!);
        if (isLast) this.queue.add(metadata.namespace!);
      });
    }
  }

  #onNamespace({ type, object: { metadata } }: Change): void {
    if (type === 'DELETED') this.#ending.delete(metadata.name);
    else if (metadata.deletionTimestamp) {
      this.#ending.add(metadata.name);
      this.queue.add(metadata.name);
    }
  }

  protected reconcile(name: string): void {
    const { store } = this.cluster;
    if (!this.cluster.isEnding(name)) return;
    let left = 0;
    for (const { plural } of NAMESPACED) {
      for (const object of store.list(plural, name)) {
        if (!object.metadata.deletionTimestamp) this.cluster.remove(object);
        if (store.get(plural, name, object.metadata.name)) left++;
      }
    }
    // The namespace stays until other writers have removed their finalizers.
    const isHeld = store.get('namespaces', '', name)?.metadata.finalizers?.length;
    if (left === 0 && !isHeld) store.remove('namespaces', '', name);
  }
}
