// What becomes of an object's dependents when it is deleted:
// apiserver/pkg/registry/generic/registry (deletionFinalizersForGarbageCollection).

import { invalid, notSupported } from '../status.ts';
import type { DeleteOptions } from './registry.ts';

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
