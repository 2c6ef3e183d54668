// Which object is meant, and which incarnation of it.

import type { ObjectMeta } from '../../kube/object.ts';
import type { ServedKind } from '../kinds.ts';
import { conflict } from '../status.ts';
import type { DeleteOptions } from './registry.ts';

/**
 * What an update cannot change, whatever it says. Throws StatusError Conflict for another
 * incarnation's uid.
 */
export function keepIdentity(kind: ServedKind, metadata: ObjectMeta, old: ObjectMeta): void {
  if (metadata.uid && metadata.uid !== old.uid) {
    const why = `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.uid}`;
    throw conflict(kind, old.name, why);
  }
  const kept = [
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
  ] as const;
  for (const field of kept) {
    if (old[field] === undefined) delete metadata[field];
    else Object.assign(metadata, { [field]: old[field] });
  }
}

/** Throws StatusError Conflict if a delete is meant for another incarnation or version. */
export function checkPreconditions(
  kind: ServedKind,
  { name, uid, resourceVersion }: ObjectMeta,
  asked: DeleteOptions['preconditions'],
): void {
  if (asked?.uid && asked.uid !== uid) {
    const why = `Precondition failed: UID in precondition: ${asked.uid}, UID in object meta: ${uid}`;
    throw conflict(kind, name, why);
  }
  if (asked?.resourceVersion && asked.resourceVersion !== resourceVersion) {
    const why = `Precondition failed: ResourceVersion in precondition: ${asked.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`;
    throw conflict(kind, name, why);
  }
}
