import { type KubeObject, own } from '../../kube/object.ts';

type Labels = Record<string, string>;

/** Pods by label, so that a selector reads only pods with one of its labels. */
export class PodIndex {
  /** `namespace/key=value` -> pods by name. */
  readonly #byLabel = new Map<string, Map<string, KubeObject>>();

  put(pod: KubeObject): void {
    for (const key of keysOf(pod)) {
      const pods = this.#byLabel.get(key);
      if (pods) pods.set(pod.metadata.name, pod);
      else this.#byLabel.set(key, new Map([[pod.metadata.name, pod]]));
    }
  }

  remove(pod: KubeObject): void {
    for (const key of keysOf(pod)) {
      const pods = this.#byLabel.get(key);
      pods?.delete(pod.metadata.name);
      if (pods?.size === 0) this.#byLabel.delete(key);
    }
  }

  /** Pods of a namespace with all these labels. At least one label is required. */
  *select(namespace: string, selector: Labels): Generator<KubeObject> {
    let fewest: Map<string, KubeObject> | undefined;
    for (const [key, value] of Object.entries(selector)) {
      const pods = this.#byLabel.get(labelKey(namespace, key, value));
      if (!pods) return;
      if (!fewest || pods.size < fewest.size) fewest = pods;
    }
    for (const pod of fewest?.values() ?? []) {
      if (matchesLabels(selector, pod.metadata.labels)) yield pod;
    }
  }
}

/** True if labels contain all labels of a selector. */
export function matchesLabels(selector: Labels, labels: Labels | undefined): boolean {
  for (const key in selector) if (own(labels, key) !== selector[key]) return false;
  return true;
}

/** Index keys of a pod's labels. */
export function keysOf({ metadata }: KubeObject): string[] {
  return Object.entries(metadata.labels ?? {}).map(([key, value]) =>
    labelKey(metadata.namespace!, key, value),
  );
}

export function labelKey(namespace: string, key: string, value: string): string {
  return `${namespace}/${key}=${value}`;
}
