// What a delete asks for, and what holds an object until its end.
import type { KubeObject, ObjectMeta } from '../../kube/object.ts';
import type { ServedKind } from '../kind.ts';
import { conflict, invalid, notSupported } from '../status.ts';

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
  /** What becomes of dependents: `Background` if nothing is said. */
  propagationPolicy?: string;
  /** ['All']: nothing is deleted. */
  dryRun?: string[];
  /** What older clients say in its place. */
  orphanDependents?: boolean;
}

/** Dependents are let go before their owner ends. */
export const ORPHAN = 'orphan';
/** Dependents end before their owner does. */
export const FOREGROUND = 'foregroundDeletion';

const FINALIZERS: Record<string, string[]> = {
  Background: [],
  Foreground: [FOREGROUND],
  Orphan: [ORPHAN],
};
const OPTIONS = { kind: 'DeleteOptions', group: 'meta.k8s.io', plural: 'deleteoptions' };

/**
 * The finalizers of an object that is being deleted. Throws StatusError Invalid for a policy that
 * nobody knows.
 */
export function finalizersFor(finalizers: string[] = [], options: DeleteOptions): string[] {
  const { orphanDependents, propagationPolicy } = options;
  const said =
    orphanDependents === undefined ? undefined : orphanDependents ? 'Orphan' : 'Background';
  const policy = propagationPolicy ?? said;
  if (policy === undefined) return finalizers;
  if (!Object.hasOwn(FINALIZERS, policy)) {
    const known = Object.keys(FINALIZERS).sort();
    throw invalid(OPTIONS, '', [notSupported('propagationPolicy', policy, known)]);
  }
  const others = finalizers.filter((name) => name !== ORPHAN && name !== FOREGROUND);
  return [...others, ...FINALIZERS[policy]!];
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

/** A namespace is held by its content; other kinds by their finalizers. */
export function isHolding(kind: ServedKind, { metadata, spec }: KubeObject): boolean {
  if ((metadata.finalizers?.length ?? 0) > 0) return true;
  return kind.kind === 'Namespace' && spec?.finalizers?.length > 0;
}

/** True if nothing holds an object any more whose end has begun. */
export function isReleased({ kind, metadata, spec }: KubeObject): boolean {
  if (!metadata.deletionTimestamp || (metadata.finalizers?.length ?? 0) > 0) return false;
  if (kind === 'Namespace') return (spec?.finalizers?.length ?? 0) === 0;
  return (metadata.deletionGracePeriodSeconds ?? 0) === 0;
}
