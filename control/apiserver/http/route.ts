// Paths of the API.

import type { ServedKind } from '../kind.ts';
import { servedAt } from '../verbs/kinds.ts';

/** What a path names: a collection, an object, or a part of an object. */
export interface Route {
  kind: ServedKind;
  /** '' for all namespaces and for cluster-scoped kinds. */
  namespace: string;
  /** '' for the collection. */
  name: string;
  subresource: '' | 'status' | 'scale' | 'eviction';
}

const CORE = /^\/api\/(v1)\/(.+)$/;
const GROUP = /^\/apis\/([^/]+\/[^/]+)\/(.+)$/;

/** Null if the server has nothing at this path. */
export function parseRoute(path: string): Route | null {
  const found = CORE.exec(path) ?? GROUP.exec(path);
  if (!found) return null;
  const apiVersion = found[1]!;
  const parts = found[2]!.split('/').map(decode);
  if (parts.some((part) => part === null || part === '')) return null;
  return resolve(apiVersion, parts as string[]);
}

function resolve(apiVersion: string, parts: string[]): Route | null {
  // `namespaces/NAME/KIND` is in a namespace, unless KIND is a subresource of the Namespace.
  const inside = parts[0] === 'namespaces' && parts.length > 2 && parts[2] !== 'status';
  const namespace = inside ? parts[1]! : '';
  const [plural, name = '', subresource = '', ...more] = inside ? parts.slice(2) : parts;
  const kind = servedAt(apiVersion, plural!);
  if (!kind || more.length > 0) return null;
  if (inside !== kind.namespaced && (inside || name !== '')) return null;
  const served: Record<string, boolean> = {
    '': true,
    status: kind.hasStatus,
    scale: kind.hasScale,
    eviction: kind.kind === 'Pod',
  };
  if (!Object.hasOwn(served, subresource) || !served[subresource]) return null;
  return { kind, namespace, name, subresource: subresource as Route['subresource'] };
}

function decode(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
