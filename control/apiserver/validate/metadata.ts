// Rules of metadata for all kinds: apimachinery/pkg/api/validation/objectmeta.go.

import type { KubeObject, ObjectMeta } from '../../kube/object.ts';
import type { ServedKind } from '../kind.ts';
import { type FieldError, forbidden, required, tooLong, wrong } from '../status.ts';
import { DNS_LABEL, matching, QUALIFIED_NAME } from './formats.ts';
import { validateLabels } from './labels.ts';

/** Keys and values together. */
const ANNOTATION_BYTES_MAX = 256 * 1024;
/** Finalizers that need no domain. */
const FINALIZERS = ['foregroundDeletion', 'kubernetes', 'orphan'];

export function validateMetadata(kind: ServedKind, { metadata }: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (!metadata.name) {
    errors.push(required('metadata.name', 'name or generateName is required'));
  } else errors.push(...matching('metadata.name', metadata.name, kind.name));
  if (kind.namespaced) {
    errors.push(...matching('metadata.namespace', metadata.namespace ?? '', DNS_LABEL));
  }
  errors.push(...validateLabels('metadata.labels', metadata.labels));
  const annotations = Object.entries(metadata.annotations ?? {});
  const bytes = annotations.reduce((sum, pair) => sum + Buffer.byteLength(pair.join('')), 0);
  if (bytes > ANNOTATION_BYTES_MAX) {
    errors.push(tooLong('metadata.annotations', ANNOTATION_BYTES_MAX));
  }
  for (const [key] of annotations) {
    if (!QUALIFIED_NAME.test(key.toLowerCase())) {
      errors.push(wrong('metadata.annotations', key, QUALIFIED_NAME.hint));
    }
  }
  return [...errors, ...validateFinalizers(metadata), ...validateOwners(metadata)];
}

function validateFinalizers({ finalizers = [] }: ObjectMeta): FieldError[] {
  return finalizers.flatMap((name) => {
    if (!QUALIFIED_NAME.test(name)) {
      return matching('metadata.finalizers', name, QUALIFIED_NAME);
    }
    if (name.includes('/') || FINALIZERS.includes(name)) return [];
    const detail = 'name is neither a standard finalizer name nor is it fully qualified';
    return [wrong('metadata.finalizers', name, detail)];
  });
}

function validateOwners({ ownerReferences = [] }: ObjectMeta): FieldError[] {
  const field = 'metadata.ownerReferences';
  const [first, second] = ownerReferences.filter((owner) => owner.controller);
  const errors = (['apiVersion', 'kind', 'name', 'uid'] as const).flatMap((part) =>
    ownerReferences.some((owner) => !owner[part])
      ? [wrong(`${field}.${part}`, '', 'must not be empty')]
      : [],
  );
  if (!second) return errors;
  const detail =
    'Only one reference can have Controller set to true. Found "true" in references for ' +
    `${first!.kind}/${first!.name} and ${second.kind}/${second.name}`;
  return [...errors, wrong(field, ownerReferences, detail)];
}

/** The errors of an update in the metadata. */
export function validateIdentity(meta: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter((f) => !old.finalizers?.includes(f));
    if (added.length > 0) {
      const detail =
        'no new finalizers can be added if the object is being deleted, found new finalizers ' +
        `[]string{${added.map((f) => JSON.stringify(f)).join(', ')}}`;
      errors.push(forbidden('metadata.finalizers', detail));
    }
  }
  return errors;
}
