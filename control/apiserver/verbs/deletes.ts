// Deletes of one object and of a collection, with their answers.

import type { Place, ServedKind } from '../kind.ts';
import { deleted } from '../status.ts';
import type { DeleteOptions } from './deletion.ts';
import type { Registry } from './registry.ts';
import type { Matcher } from './selectors.ts';

/**
 * Kinds whose delete returns the object. Others return a Status (upstream: ReturnDeletedObject).
 */
const SHOWN_DELETED = new Set(['Pod', 'Service', 'ServiceAccount']);

/**
 * Deletes an object, or starts its deletion. Returns the answer for the client. Throws StatusError.
 */
export function removeOne(
  registry: Registry,
  { kind, namespace, name }: Place & { kind: ServedKind },
  options: DeleteOptions,
): object {
  const dryRun = isDry(options);
  const object = registry.remove(kind, { namespace, name }, options, dryRun);
  const isGone = dryRun || !registry.store.get(kind.plural, namespace, name);
  if (!isGone || SHOWN_DELETED.has(kind.kind)) return object;
  return deleted(kind, name, object.metadata.uid!);
}

/** Deletes all matching objects. */
export function removeAll(
  registry: Registry,
  { kind, namespace }: { kind: ServedKind; namespace: string },
  matches: Matcher,
  options: DeleteOptions,
): object {
  const items = registry.store
    .list(kind.plural, namespace || undefined)
    .filter(matches)
    .map((object) => {
      const { name, namespace: own = '', uid } = object.metadata;
      // The uid makes sure that the delete hits the listed object.
      const each = { ...options, preconditions: { uid: uid! } };
      removeOne(registry, { kind, namespace: own, name }, each);
      return object;
    });
  const metadata = { resourceVersion: String(registry.store.resourceVersion) };
  return { kind: `${kind.kind}List`, apiVersion: kind.apiVersion, metadata, items };
}

export function isDry({ dryRun }: DeleteOptions): boolean {
  return (dryRun?.length ?? 0) > 0;
}
