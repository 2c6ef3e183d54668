// Lists: what is there, sorted by name, page by page.
import type { ServedKind } from './kinds.ts';
import type { KubeObject } from './object.ts';
import type { Matcher } from './selectors.ts';
import { badRequest } from './status.ts';
import type { Store } from './store.ts';

export interface ListOptions {
  kind: ServedKind;
  /** '' for all. */
  namespace: string;
  matches: Matcher;
  /** 0: everything at once. */
  limit: number;
  /** Where the page before ended; '' for the first one. */
  continue: string;
}

/** One page, and what its metadata says. */
export interface Page {
  items: KubeObject[];
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
}

/** A page of what matches. Later pages show what is there when they are asked for, not when the first one was. */
export function listObjects(store: Store, options: ListOptions): Page {
  const { kind, namespace, matches, limit } = options;
  const after = options.continue === '' ? '' : decode(options.continue);
  const all = store
    .list(kind.plural, namespace || undefined)
    .filter(matches)
    .map((object): [string, KubeObject] => [keyOf(object), object])
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .filter(([key]) => key > after);
  const page = limit > 0 ? all.slice(0, limit) : all;
  const rest = all.length - page.length;
  return {
    metadata: {
      resourceVersion: String(store.resourceVersion),
      ...(rest > 0 && { continue: encode(page.at(-1)![0]), remainingItemCount: rest }),
    },
    items: page.map(([, object]) => object),
  };
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

function encode(key: string): string {
  return Buffer.from(key).toString('base64url');
}

function decode(token: string): string {
  const key = Buffer.from(token, 'base64url').toString();
  if (!key.includes('/')) throw badRequest('continue key is not valid');
  return key;
}
