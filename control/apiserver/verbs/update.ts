// What an update keeps of the stored object.
import type { KubeObject, ObjectMeta } from '../../kube/object.ts';
import type { ServedKind } from '../kind.ts';
import { conflict } from '../status.ts';

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

/** The stored object with another status. */
export function withStatus(old: KubeObject, given: KubeObject): KubeObject {
  const { resourceVersion, uid } = given.metadata;
  const metadata = {
    ...old.metadata,
    ...(resourceVersion && { resourceVersion }),
    ...(uid && { uid }),
  };
  // In Go a status is a plain value, which is always there.
  return { ...old, metadata, status: given.status ?? {} };
}

/** The given object with the stored status. */
export function withoutStatus(kind: ServedKind, old: KubeObject, given: KubeObject): KubeObject {
  if (!kind.hasStatus) return given;
  const object = { ...given };
  if (old.status === undefined) delete object.status;
  else object.status = old.status;
  return object;
}

/** Metadata without what every write changes. */
export function bare({ metadata }: KubeObject): object {
  return { ...metadata, resourceVersion: '' };
}

/** All that is neither status nor metadata: what `generation` counts changes of. */
export function specOf({ status: _status, metadata: _metadata, ...rest }: KubeObject): object {
  return rest;
}
