// Options of deletes, and what delays the end of an object.
import type { KubeObject, ObjectMeta } from '../../kube/object.ts';
import type { ServedKind } from '../kind.ts';
import { invalid, notSupported, preconditionFailed } from '../status.ts';

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
  /** What happens to dependents, by default `Background`. */
  propagationPolicy?: string;
  /** With ['All'] the request is a dry run: it deletes nothing. */
  dryRun?: string[];
  /** The form of propagationPolicy that older clients use. */
  orphanDependents?: boolean;
}

/** Finalizer: dependents lose their owner reference before the owner is removed. */
export const ORPHAN = 'orphan';
/** Finalizer: dependents are removed before their owner. */
export const FOREGROUND = 'foregroundDeletion';

const FINALIZERS: Record<string, string[]> = {
  Background: [],
  Foreground: [FOREGROUND],
  Orphan: [ORPHAN],
};
const OPTIONS = { kind: 'DeleteOptions', group: 'meta.k8s.io', plural: 'deleteoptions' };

/**
 * The finalizers of an object with these delete options. Throws StatusError Invalid for an unknown
 * policy.
 */
export function finalizersFor(finalizers: string[] = [], options: DeleteOptions): string[] {
  const { orphanDependents, propagationPolicy } = options;
  if (propagationPolicy === undefined && orphanDependents === undefined) return finalizers;
  const policy = propagationPolicy ?? (orphanDependents ? 'Orphan' : 'Background');
  if (!Object.hasOwn(FINALIZERS, policy)) {
    const known = Object.keys(FINALIZERS).sort();
    throw invalid(OPTIONS, '', [notSupported('propagationPolicy', policy, known)]);
  }
  const others = finalizers.filter((name) => name !== ORPHAN && name !== FOREGROUND);
  return [...others, ...FINALIZERS[policy]!];
}

/** Throws StatusError Conflict if a delete names another uid or resourceVersion. */
export function checkPreconditions(
  kind: ServedKind,
  { name, uid, resourceVersion }: ObjectMeta,
  asked: DeleteOptions['preconditions'],
): void {
  if (asked?.uid && asked.uid !== uid) {
    throw preconditionFailed(kind, name, ['UID', asked.uid, uid]);
  }
  if (asked?.resourceVersion && asked.resourceVersion !== resourceVersion) {
    const versions = [asked.resourceVersion, resourceVersion] as const;
    throw preconditionFailed(kind, name, ['ResourceVersion', ...versions]);
  }
}

/** True if finalizers delay the end of an object. */
export function isHolding(kind: ServedKind, { metadata, spec }: KubeObject): boolean {
  if ((metadata.finalizers?.length ?? 0) > 0) return true;
  return kind.kind === 'Namespace' && spec?.finalizers?.length > 0;
}

/** True if an object in deletion can end now. */
export function isReleased({ kind, metadata, spec }: KubeObject): boolean {
  if (!metadata.deletionTimestamp || (metadata.finalizers?.length ?? 0) > 0) return false;
  if (kind === 'Namespace') return (spec?.finalizers?.length ?? 0) === 0;
  return (metadata.deletionGracePeriodSeconds ?? 0) === 0;
}
