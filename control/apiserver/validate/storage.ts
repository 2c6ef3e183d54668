// Defaults and rules of claims, volumes and storage classes: pkg/apis/core/validation
// (ValidatePersistentVolume, ValidatePersistentVolumeClaim), pkg/apis/storage.
import { isEqual, type KubeObject } from '../../kube/object.ts';
import { parseQuantity } from '../../model/quantity.ts';
import { type FieldError, forbidden, notSupported, required, wrong } from '../status.ts';

const ACCESS_MODES = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const RECLAIM_POLICIES = ['Delete', 'Retain'];
const BINDING_MODES = ['Immediate', 'WaitForFirstConsumer'];
const IMMUTABLE =
  'spec is immutable after creation except resources.requests and volumeAttributesClassName for ' +
  'bound claims';
/** Fields of a volume that are no source. */
const PLAIN_FIELDS = new Set([
  ...['accessModes', 'capacity', 'claimRef', 'mountOptions', 'nodeAffinity', 'storageClassName'],
  ...['persistentVolumeReclaimPolicy', 'volumeAttributesClassName', 'volumeMode'],
]);

export function defaultClaim(object: KubeObject): void {
  object.spec ??= {};
  object.spec.volumeMode ??= 'Filesystem';
}

export function defaultVolume(object: KubeObject): void {
  object.spec ??= {};
  object.spec.volumeMode ??= 'Filesystem';
  object.spec.persistentVolumeReclaimPolicy ??= 'Retain';
}

export function defaultClass(object: KubeObject): void {
  object.reclaimPolicy ??= 'Delete';
  object.volumeBindingMode ??= 'Immediate';
}

export function validateClaim(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors = validateClaimSpec('spec', object.spec);
  if (!old) return errors;
  // A controller sets the class and the volume of a claim that has none.
  const still = (spec: KubeObject['spec']) => ({
    ...spec,
    resources: undefined,
    storageClassName: old.spec.storageClassName === undefined ? '' : spec.storageClassName,
    volumeName: old.spec.volumeName === undefined ? '' : spec.volumeName,
  });
  if (!isEqual(still(object.spec), still(old.spec))) errors.push(forbidden('spec', IMMUTABLE));
  return errors;
}

/** @param at the path of the spec: `spec`, or that of a template. */
export function validateClaimSpec(at: string, spec: KubeObject['spec']): FieldError[] {
  const errors = validateModes(`${at}.accessModes`, spec.accessModes ?? []);
  const storage: string | undefined = spec.resources?.requests?.storage;
  const field = `${at}.resources.requests.storage`;
  if (storage === undefined) errors.push(required(field));
  else if (parseQuantity(storage) <= 0) {
    errors.push(wrong(field, storage, 'must be greater than zero'));
  }
  if (spec.volumeMode !== 'Filesystem' && spec.volumeMode !== undefined) {
    errors.push(notSupported(`${at}.volumeMode`, spec.volumeMode, ['Filesystem']));
  }
  return errors;
}

export function validateVolume({ spec }: KubeObject): FieldError[] {
  const errors = validateModes('spec.accessModes', spec.accessModes ?? []);
  if (spec.capacity?.storage === undefined) errors.push(required('spec.capacity'));
  const policy = spec.persistentVolumeReclaimPolicy;
  if (!RECLAIM_POLICIES.includes(policy)) {
    errors.push(notSupported('spec.persistentVolumeReclaimPolicy', policy, RECLAIM_POLICIES));
  }
  if (!Object.keys(spec).some((name) => !PLAIN_FIELDS.has(name))) {
    errors.push(required('spec', 'must specify a volume type'));
  }
  return errors;
}

export function validateClass(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (!object.provisioner) errors.push(required('provisioner'));
  const choices = { reclaimPolicy: RECLAIM_POLICIES, volumeBindingMode: BINDING_MODES };
  for (const [field, known] of Object.entries(choices)) {
    if (!known.includes(String(object[field]))) {
      errors.push(notSupported(field, object[field], known));
    }
  }
  return errors;
}

function validateModes(field: string, modes: string[]): FieldError[] {
  if (modes.length === 0) return [required(field, 'at least 1 access mode is required')];
  return modes
    .filter((mode) => !ACCESS_MODES.includes(mode))
    .map((mode) => notSupported(field, mode, ACCESS_MODES));
}
