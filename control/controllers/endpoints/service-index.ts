import type { KubeObject } from '../../kube/object.ts';
import { selects } from '../../model/label-selector.ts';
import { Groups } from '../object-index.ts';
import { hasSelector } from './desired.ts';
import { keysOf, labelKey } from './pod-index.ts';

interface Entry {
  /** Key of the Service: `namespace/name`. */
  key: string;
  selector: Record<string, string>;
  label: string;
}

/** Services by one label of their selector, so that a pod checks only a few of them. */
export class ServiceIndex {
  readonly #byKey = new Map<string, Entry>();
  /** `namespace/key=value` -> Services found under this label. */
  readonly #byLabel = new Groups<Entry>();

  /** Replaces the Service with this key. A Service without a selector selects nothing. */
  put(key: string, service: KubeObject): void {
    this.remove(key);
    if (!hasSelector(service)) return;
    const selector: Record<string, string> = service.spec.selector;
    const label = this.#rarest(service.metadata.namespace!, selector);
    const entry = { key, selector, label };
    this.#byKey.set(key, entry);
    this.#byLabel.put(label, key, entry);
  }

  remove(key: string): void {
    const entry = this.#byKey.get(key);
    if (!entry) return;
    this.#byKey.delete(key);
    this.#byLabel.remove(entry.label, key);
  }

  /** Keys of the Services that select a pod. */
  *choosing(pod: KubeObject): Generator<string> {
    for (const label of keysOf(pod)) {
      for (const { key, selector } of this.#byLabel.get(label)?.values() ?? []) {
        if (selects({ matchLabels: selector }, pod.metadata.labels)) yield key;
      }
    }
  }

  /** Uses the rarest label: a common one, such as `tier: backend`, would find many Services. */
  #rarest(namespace: string, selector: Record<string, string>): string {
    let rarest = '';
    let fewest = Number.POSITIVE_INFINITY;
    for (const [key, value] of Object.entries(selector)) {
      const label = labelKey(namespace, key, value);
      const size = this.#byLabel.get(label)?.size ?? 0;
      if (size >= fewest) continue;
      rarest = label;
      fewest = size;
    }
    return rarest;
  }
}
