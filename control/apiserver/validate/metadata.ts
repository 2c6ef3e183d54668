// Rules for the metadata of every kind: apimachinery/pkg/api/validation/objectmeta.go.
import type { ServedKind } from '../kinds.ts';
import { DNS_LABEL_HINT, isDnsLabel, isLabelValue, isQualifiedName } from '../names.ts';
import type { KubeObject, ObjectMeta } from '../object.ts';
import { type FieldError, forbidden, required, wrong } from '../status.ts';

const QUALIFIED_HINT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_HINT =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

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

export function validateLabels(
  field: string,
  labels: Record<string, string> | undefined,
): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...(isQualifiedName(key) ? [] : [wrong(field, key, QUALIFIED_HINT)]),
    ...(isLabelValue(value) ? [] : [wrong(field, value, LABEL_VALUE_HINT)]),
  ]);
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
