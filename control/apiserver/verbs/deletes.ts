// Requests that delete: what they ask for besides, and what they are answered.

import { isObject } from '../../kube/object.ts';
import { integerOf } from '../http/list-options.ts';
import type { Route } from '../http/route.ts';
import { deleted, invalid, notSupported } from '../status.ts';
import { decodeFields } from '../validate/fields.ts';
import type { DeleteOptions, Registry } from './registry.ts';
import type { Matcher } from './selectors.ts';

/**
 * Kinds whose objects are the answer to their own delete; of others a Status tells (upstream:
 * ReturnDeletedObject).
 */
const SHOWN_DELETED = new Set(['Pod', 'Service', 'ServiceAccount']);
const POLICIES = ['Background', 'Foreground', 'Orphan'];
const RESOURCE = { kind: 'DeleteOptions', plural: '', group: 'meta.k8s.io' };

/**
 * Options of a delete: the body's, then the query's, which both may name. Throws StatusError
 * Invalid.
 */
export function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const given = decodeOptions(body);
  const grace = integerOf(query, 'gracePeriodSeconds');
  if (grace !== undefined) given.gracePeriodSeconds = grace;
  if (query.has('dryRun')) given.dryRun = query.getAll('dryRun').filter((value) => value !== '');
  given.propagationPolicy ??= query.get('propagationPolicy') ?? undefined;
  const odd = given.dryRun?.find((value) => value !== 'All');
  if (odd !== undefined) throw invalid(RESOURCE, '', [notSupported('dryRun', odd, ['All'])]);
  const policy = given.propagationPolicy;
  if (policy && !POLICIES.includes(policy)) {
    throw invalid(RESOURCE, '', [notSupported('propagationPolicy', policy, POLICIES)]);
  }
  return given;
}

function decodeOptions(body: unknown): DeleteOptions {
  const copy = isObject(body) ? structuredClone(body) : {};
  decodeFields({ kind: 'DeleteOptions', version: 'v1' }, copy, { dryRun: false, strict: false });
  return copy as DeleteOptions;
}

/** Deletes an object, or begins to. Returns what the client is answered. Throws StatusError. */
export function removeOne(
  registry: Registry,
  { kind, namespace, name }: Route,
  options: DeleteOptions,
): object {
  const dryRun = isDry(options);
  const object = registry.remove(kind, { namespace, name }, options, dryRun);
  const isGone = dryRun || !registry.store.get(kind.plural, namespace, name);
  if (!isGone || SHOWN_DELETED.has(kind.kind)) return object;
  return deleted(kind, name, object.metadata.uid!);
}

/** Deletes what matches, object by object. */
export function removeAll(
  registry: Registry,
  { kind, namespace }: Route,
  matches: Matcher,
  options: DeleteOptions,
): object {
  const items = registry.store
    .list(kind.plural, namespace || undefined)
    .filter(matches)
    .map((object) => {
      const { name, namespace: own = '', uid } = object.metadata;
      // Each is deleted as what it was when the list was made.
      const each = { ...options, preconditions: { uid: uid! } };
      removeOne(registry, { kind, namespace: own, name, subresource: '' }, each);
      return object;
    });
  const metadata = { resourceVersion: String(registry.store.resourceVersion) };
  return { kind: `${kind.kind}List`, apiVersion: kind.apiVersion, metadata, items };
}

function isDry({ dryRun }: DeleteOptions): boolean {
  return (dryRun?.length ?? 0) > 0;
}
