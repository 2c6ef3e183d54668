// Lists: the objects at one version, sorted by name, in pages.

import { type KubeObject, keyOf } from '../../kube/object.ts';
import type { ServedKind } from '../kind.ts';
import { badRequest, StatusError } from '../status.ts';
import type { Store } from '../store/store.ts';
import type { Matcher } from './selectors.ts';

export interface ListOptions {
  kind: ServedKind;
  /** '' for all. */
  namespace: string;
  matches: Matcher;
  /** `matches` can exclude objects. Then the answer has no remaining count, as upstream. */
  isSelective: boolean;
  /** 0: everything at once. */
  limit: number;
  /** The token of the page before, '' for the first page. */
  continue: string;
  /** '' and '0' mean the current objects. */
  resourceVersion: string;
  /** Exactly that version, or that version or newer. */
  match: 'Exact' | 'NotOlderThan';
}

/** One page with its metadata. */
export interface Page {
  items: KubeObject[];
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
}

/**
 * The end of a page. `version` is that of the first page. -1 continues with the current objects.
 */
interface Token {
  version: number;
  after: string;
}

const TOKEN_OLD =
  'The provided continue parameter is too old to display a consistent list result. You can ' +
  'start a new list without the continue parameter, or use the continue token in this ' +
  'response to retrieve the remainder of the results. Continuing with the provided token ' +
  'results in an inconsistent list - objects that were created, modified, or deleted between ' +
  'the time the first chunk was returned and now may show up in the list.';
const VERSION_OLD = 'The resourceVersion for the provided list is too old.';

/**
 * A page of matching objects. Later pages have the version of the first. Throws StatusError 400,
 * 410 Expired for a version that the store no longer has, 504 Timeout for a future version.
 */
export function listObjects(store: Store, options: ListOptions): Page {
  const { kind, namespace, matches, limit, isSelective } = options;
  const token = options.continue === '' ? null : decode(options.continue);
  const version = token ? versionOfToken(store, kind, token) : versionAsked(store, options);
  const objects =
    version === store.resourceVersion
      ? store.list(kind.plural, namespace || undefined)
      : store.listAt(kind.plural, version, namespace || undefined);
  if (!objects) throw new StatusError(410, 'Expired', VERSION_OLD);
  const all = objects
    .filter(matches)
    .map((object): [string, KubeObject] => [keyOf(object), object])
    .filter(([key]) => !token || key > token.after)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const page = limit > 0 ? all.slice(0, limit) : all;
  const rest = all.length - page.length;
  return {
    metadata: {
      resourceVersion: String(version),
      ...(rest > 0 && { continue: encode({ version, after: page.at(-1)![0] }) }),
      ...(rest > 0 && !isSelective && { remainingItemCount: rest }),
    },
    items: page.map(([, object]) => object),
  };
}

function versionOfToken(store: Store, { plural }: ServedKind, token: Token): number {
  if (token.version === -1) return store.resourceVersion;
  if (token.version <= store.resourceVersion && token.version >= store.watchableFrom(plural)) {
    return token.version;
  }
  const again = { continue: encode({ version: -1, after: token.after }) };
  throw new StatusError(410, 'Expired', TOKEN_OLD, {}, again);
}

function versionAsked(store: Store, { resourceVersion, match }: ListOptions): number {
  if (resourceVersion === '' || resourceVersion === '0') return store.resourceVersion;
  const asked = Number(resourceVersion);
  if (!Number.isSafeInteger(asked) || asked < 0) {
    throw badRequest(`invalid resource version ${JSON.stringify(resourceVersion)}`);
  }
  if (asked > store.resourceVersion) {
    const message = `Too large resource version: ${asked}, current: ${store.resourceVersion}`;
    throw new StatusError(504, 'Timeout', message, {
      causes: [
        { reason: 'ResourceVersionTooLarge', message: 'Too large resource version', field: '' },
      ],
      retryAfterSeconds: 1,
    });
  }
  return match === 'Exact' ? asked : store.resourceVersion;
}

function encode({ version, after }: Token): string {
  const token = { v: 'meta.k8s.io/v1', rv: version, start: after };
  return Buffer.from(JSON.stringify(token)).toString('base64url');
}

function decode(text: string): Token {
  try {
    const { rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString()) as {
      rv: unknown;
      start: unknown;
    };
    if (Number.isSafeInteger(rv) && typeof start === 'string' && start.includes('/')) {
      return { version: rv as number, after: start };
    }
  } catch {
    // Falls through to the refusal.
  }
  throw badRequest('continue key is not valid');
}
