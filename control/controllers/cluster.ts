import type { Place, ServedKind } from '../apiserver/kind.ts';
import type { Store } from '../apiserver/store/store.ts';
import { SERVED } from '../apiserver/verbs/kinds.ts';
import type { Registry } from '../apiserver/verbs/registry.ts';
import type { WallClock } from '../clock.ts';

/** What controllers work on: objects to read, and verbs to change them. */
export interface Cluster {
  store: Store;
  registry: Registry;
  clock: WallClock;
}

/** The served kind with this name. */
export function kindOf(name: string): ServedKind {
  return SERVED.find((row) => row.kind === name)!;
}

/** The place of an object, from its key `namespace/name`. */
export function placeOf(key: string): Place {
  const [namespace, name] = key.split('/') as [string, string];
  return { namespace, name };
}
