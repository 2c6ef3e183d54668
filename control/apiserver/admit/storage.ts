// Defaults and admission of storage: pkg/apis/core/v1/defaults.go, pkg/apis/storage/v1/defaults.go,
// plugin/pkg/admission/storage.
import type { KubeObject } from '../../kube/object.ts';
import { parseQuantity } from '../../model/quantity.ts';
import { CLAIM_PROTECTION, defaultClass, VOLUME_PROTECTION } from '../../model/storage.ts';
import type { Lookup } from '../kind.ts';
import { refused } from '../status.ts';
import { fill } from './pod.ts';

const CLAIMS = { plural: 'persistentvolumeclaims', group: '', kind: 'PersistentVolumeClaim' };

export function defaultClaim(object: KubeObject, old: KubeObject | undefined): void {
  object.spec ??= {};
  fill(object.spec, { volumeMode: 'Filesystem', resources: {} });
  const { limits, requests } = object.spec.resources;
  // A limit without a request is also the request.
  if (limits) object.spec.resources.requests = { ...limits, ...requests };
  if (!old) protect(object, CLAIM_PROTECTION);
}

export function defaultVolume(object: KubeObject, old: KubeObject | undefined): void {
  object.spec ??= {};
  const { spec } = object;
  fill(spec, { persistentVolumeReclaimPolicy: 'Retain', volumeMode: 'Filesystem' });
  if (spec.hostPath) fill(spec.hostPath, { type: '' });
  if (!old) protect(object, VOLUME_PROTECTION);
}

export function defaultStorageClass(object: KubeObject): void {
  fill(object, { reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' });
}

function protect({ metadata }: KubeObject, finalizer: string): void {
  if (metadata.finalizers?.includes(finalizer)) return;
  metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
}

/**
 * Gives a new claim the default class. Throws StatusError Forbidden for a claim that grows and
 * whose class does not allow it.
 */
export function admitClaim(
  others: Lookup,
  claim: KubeObject,
  name: string,
  old?: KubeObject,
): void {
  if (!old) {
    if (claim.spec.storageClassName !== undefined) return;
    const found = defaultClass(others.list('storageclasses'));
    if (found) claim.spec.storageClassName = found.metadata.name;
    return;
  }
  const size = ({ spec }: KubeObject) => parseQuantity(String(spec.resources.requests?.storage));
  if (size(claim) <= size(old)) return;
  const storageClass = others.get('storageclasses', '', claim.spec.storageClassName ?? '');
  if (storageClass?.allowVolumeExpansion) return;
  const why =
    'only dynamically provisioned pvc can be resized and the storageclass that provisions the ' +
    'pvc must support resize';
  throw refused(CLAIMS, name, why);
}
