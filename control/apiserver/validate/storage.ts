// Rules of claims, volumes and classes: pkg/apis/core/validation, pkg/apis/storage/validation.
import { isEqual, isObject, type KubeObject } from '../../kube/object.ts';
import { parseQuantity } from '../../model/quantity.ts';
import { type FieldError, forbidden, notSupported, required, wrong } from '../status.ts';
import { optional, SUBDOMAIN } from './formats.ts';
import { validateLabelSelector } from './labels.ts';

const ACCESS_MODES = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const VOLUME_MODES = ['Block', 'Filesystem'];
const RECLAIM_POLICIES = ['Delete', 'Recycle', 'Retain'];
const BINDING_MODES = ['Immediate', 'WaitForFirstConsumer'];
const IMMUTABLE = 'field is immutable';
/** Fields of a volume that are no source. */
const NOT_A_SOURCE = new Set([
  ...['accessModes', 'capacity', 'claimRef', 'mountOptions', 'nodeAffinity'],
  ...['persistentVolumeReclaimPolicy', 'storageClassName', 'volumeAttributesClassName'],
  'volumeMode',
]);

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function validateClaim(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors = validateClaimSpec('spec', object.spec);
  if (old) errors.push(...validateClaimUpdate(object, old));
  return errors;
}

/** @param at the path of the spec, in a claim or in a template of claims. */
export function validateClaimSpec(at: string, spec: any): FieldError[] {
  const { selector, resources, storageClassName } = spec;
  const errors = validateModes(at, spec, 'at least 1 access mode is required');
  errors.push(...validateLabelSelector(`${at}.selector`, selector));
  errors.push(...validateSize(`${at}.resources[storage]`, resources?.requests?.storage));
  errors.push(...optional(`${at}.storageClassName`, storageClassName, SUBDOMAIN));
  for (const name of ['dataSource', 'dataSourceRef']) {
    errors.push(...validateDataSource(`${at}.${name}`, spec[name]));
  }
  return errors;
}

function validateDataSource(at: string, source: any): FieldError[] {
  if (!source) return [];
  const { name, kind, apiGroup = '' } = source;
  const errors = [];
  if (!name) errors.push(required(`${at}.name`));
  if (!kind) errors.push(required(`${at}.kind`));
  if (apiGroup === '' && kind && kind !== 'PersistentVolumeClaim') {
    const detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    errors.push(wrong(at, kind, detail));
  }
  return errors;
}

function validateModes(at: string, { accessModes = [], volumeMode }: any, hint = ''): FieldError[] {
  const field = `${at}.accessModes`;
  const errors: FieldError[] = accessModes
    .filter((mode: string) => !ACCESS_MODES.includes(mode))
    .map((mode: string) => notSupported(field, mode, ACCESS_MODES));
  if (accessModes.length === 0) errors.push(required(field, hint));
  if (accessModes.includes('ReadWriteOncePod') && accessModes.length > 1) {
    errors.push(forbidden(field, 'may not use ReadWriteOncePod with other access modes'));
  }
  if (!VOLUME_MODES.includes(volumeMode)) {
    errors.push(notSupported(`${at}.volumeMode`, volumeMode, VOLUME_MODES));
  }
  return errors;
}

function validateSize(field: string, size: string | undefined): FieldError[] {
  if (size === undefined) return [required(field)];
  return parseQuantity(size) > 0 ? [] : [wrong(field, size, 'must be greater than zero')];
}

/** A claim can get a volume and a class once. Its requests can grow once it is bound. */
function validateClaimUpdate(
  { spec }: KubeObject,
  { spec: before, status }: KubeObject,
): FieldError[] {
  const still = ({ volumeName, storageClassName, ...rest }: any) => ({
    ...rest,
    ...(before.volumeName && { volumeName }),
    ...(before.storageClassName !== undefined && { storageClassName }),
    ...(status?.phase === 'Bound' && { resources: { ...rest.resources, requests: undefined } }),
  });
  if (!isEqual(still(spec), still(before))) {
    const detail =
      'spec is immutable after creation except resources.requests and volumeAttributesClassName ' +
      'for bound claims';
    return [forbidden('spec', detail)];
  }
  const size = (given: any) => parseQuantity(given.resources.requests.storage);
  if (size(spec) >= size(before)) return [];
  const detail = 'field can not be less than status.capacity';
  return [forbidden('spec.resources.requests.storage', detail)];
}

export function validateVolume(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  const { capacity, storageClassName, persistentVolumeReclaimPolicy: policy, nodeAffinity } = spec;
  const errors = validateModes('spec', spec);
  if (!capacity) errors.push(required('spec.capacity'));
  else if (capacity.storage === undefined || Object.keys(capacity).length > 1) {
    errors.push(notSupported('spec.capacity', capacity, ['storage']));
  } else errors.push(...validateSize('spec.capacity[storage]', capacity.storage));
  const [first, ...others] = Object.keys(sourceOf(spec));
  if (!first) errors.push(required('spec', 'must specify a volume type'));
  for (const name of others) {
    errors.push(forbidden(`spec.${name}`, 'may not specify more than 1 volume type'));
  }
  errors.push(...validatePath('spec.hostPath', spec.hostPath));
  errors.push(...validatePath('spec.local', spec.local));
  if (spec.local && !nodeAffinity) {
    errors.push(required('spec.nodeAffinity', 'Local volume requires node affinity'));
  }
  if (!RECLAIM_POLICIES.includes(policy)) {
    errors.push(notSupported('spec.persistentVolumeReclaimPolicy', policy, RECLAIM_POLICIES));
  }
  errors.push(...optional('spec.storageClassName', storageClassName, SUBDOMAIN));
  if (!old) return errors;
  if (!isEqual(sourceOf(spec), sourceOf(old.spec))) {
    const field = 'spec.persistentvolumesource';
    errors.push(forbidden(field, `${field} is immutable after creation`));
  }
  if (spec.volumeMode !== old.spec.volumeMode) {
    errors.push(wrong('spec.volumeMode', spec.volumeMode, IMMUTABLE));
  }
  return errors;
}

function sourceOf(spec: object): object {
  const sources = Object.entries(spec).filter(([name, value]) => {
    return isObject(value) && !NOT_A_SOURCE.has(name);
  });
  return Object.fromEntries(sources);
}

function validatePath(at: string, source: { path?: string } | undefined): FieldError[] {
  if (!source) return [];
  if (!source.path) return [required(`${at}.path`)];
  if (!source.path.split('/').includes('..')) return [];
  return [wrong(`${at}.path`, source.path, "must not contain '..'")];
}

export function validateStorageClass(
  object: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const { provisioner, reclaimPolicy, volumeBindingMode } = object as Record<string, any>;
  const errors: FieldError[] = [];
  if (!provisioner) errors.push(required('provisioner'));
  if (reclaimPolicy !== 'Delete' && reclaimPolicy !== 'Retain') {
    errors.push(notSupported('reclaimPolicy', reclaimPolicy, ['Delete', 'Retain']));
  }
  if (!BINDING_MODES.includes(volumeBindingMode)) {
    errors.push(notSupported('volumeBindingMode', volumeBindingMode, BINDING_MODES));
  }
  if (!old) return errors;
  for (const field of ['parameters', 'provisioner']) {
    if (isEqual(object[field], old[field])) continue;
    errors.push(forbidden(field, `updates to ${field} are forbidden.`));
  }
  for (const field of ['reclaimPolicy', 'volumeBindingMode']) {
    if (object[field] !== old[field]) errors.push(wrong(field, object[field], IMMUTABLE));
  }
  return errors;
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
