// What an update takes from the stored object.
import type { KubeObject, ObjectMeta } from '../../kube/object.ts';
import type { ServedKind } from '../kind.ts';
import { preconditionFailed } from '../status.ts';

/** Restores metadata that no update can change. Throws StatusError Conflict for another uid. */
export function keepIdentity(kind: ServedKind, metadata: ObjectMeta, old: ObjectMeta): void {
  if (metadata.uid && metadata.uid !== old.uid) {
    throw preconditionFailed(kind, old.name, ['UID', metadata.uid, old.uid]);
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

/** The stored object with the given status. */
export function withStatus(old: KubeObject, given: KubeObject): KubeObject {
  const { resourceVersion, uid } = given.metadata;
  const metadata = {
    ...old.metadata,
    ...(resourceVersion && { resourceVersion }),
    ...(uid && { uid }),
  };
  // In Go the status is a plain value and always exists.
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

/** Metadata without the resourceVersion. */
export function bare({ metadata }: KubeObject): object {
  return { ...metadata, resourceVersion: '' };
}

/** All except status and metadata. `generation` counts its changes. */
export function specOf({ status: _status, metadata: _metadata, ...rest }: KubeObject): object {
  return rest;
}
