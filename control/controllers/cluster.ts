import { SERVED, type ServedKind } from '../apiserver/kinds.ts';
import type { Store } from '../apiserver/store/store.ts';
import type { Place, Registry } from '../apiserver/verbs/registry.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Clock } from './clock.ts';

/** What controllers work on: objects to look at, and the verbs to change them. */
export interface Cluster {
  store: Store;
  registry: Registry;
  clock: Clock;
}

/** The served kind of that name. */
export function kindOf(name: string): ServedKind {
  return SERVED.find((row) => row.kind === name)!;
}

/** Key of an object in a queue: `namespace/name`. */
export function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** What {@link keyOf} has put together. */
export function placeOf(key: string): Place {
  const [namespace, name] = key.split('/') as [string, string];
  return { namespace, name };
}
