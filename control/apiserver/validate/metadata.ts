// Rules for the metadata of every kind: apimachinery/pkg/api/validation/objectmeta.go.
import type { ServedKind } from '../kinds.ts';
import { DNS_LABEL_HINT, isDnsLabel, isQualifiedName } from '../names.ts';
import type { KubeObject, ObjectMeta } from '../object.ts';
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { QUALIFIED_HINT, validateLabels } from './labels.ts';

export function validateMetadata(kind: ServedKind, { metadata }: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (!metadata.name) {
    errors.push(required('metadata.name', 'name or generateName is required'));
  } else if (!kind.name.test(metadata.name)) {
    errors.push(wrong('metadata.name', metadata.name, kind.name.hint));
  }
  if (kind.namespaced && !isDnsLabel(metadata.namespace ?? '')) {
    errors.push(wrong('metadata.namespace', metadata.namespace, DNS_LABEL_HINT));
  }
  errors.push(...validateLabels('metadata.labels', metadata.labels));
  for (const key of Object.keys(metadata.annotations ?? {})) {
    if (!isQualifiedName(key.toLowerCase())) {
      errors.push(wrong('metadata.annotations', key, QUALIFIED_HINT));
    }
  }
  return errors;
}

/** Fields of an object's identity, which no update changes. */
export function validateIdentity(meta: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter((f) => !old.finalizers?.includes(f));
    if (added.length > 0) {
      const detail = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((f) => JSON.stringify(f)).join(', ')}}`;
      errors.push(forbidden('metadata.finalizers', detail));
    }
  }
  return errors;
}
