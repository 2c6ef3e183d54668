import type { KubeObject } from '../../kube/object.ts';
import { selects } from '../../model/label-selector.ts';
import { ObjectIndex } from '../object-index.ts';

type Labels = Record<string, string>;

/** Pods by label, so that a selector reads only pods with one of its labels. */
export function podIndex(): ObjectIndex {
  return new ObjectIndex(keysOf);
}

/** Pods of a namespace with all these labels. At least one label is required. */
export function selectPods(index: ObjectIndex, namespace: string, selector: Labels): KubeObject[] {
  const labels = Object.entries(selector).map(([key, value]) => labelKey(namespace, key, value));
  const [rarest] = labels.sort((a, b) => index.size(a) - index.size(b));
  return index
    .of(rarest!)
    .filter(({ metadata }) => selects({ matchLabels: selector }, metadata.labels));
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
