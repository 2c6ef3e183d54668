import { SERVED, type ServedKind } from '../apiserver/kinds.ts';
import type { Registry } from '../apiserver/registry.ts';
import type { Store } from '../apiserver/store.ts';

/** What controllers work on: objects to look at, and the verbs to change them. */
export interface Cluster {
  store: Store;
  registry: Registry;
}

/** The served kind of that name. */
export function kindOf(name: string): ServedKind {
  return SERVED.find((row) => row.kind === name)!;
}
