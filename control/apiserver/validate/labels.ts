// Rules for labels and selectors of equal labels: apimachinery/pkg/apis/meta/v1/validation.

import { type FieldError, wrong } from '../status.ts';
import { isLabelValue, isQualifiedName } from './names.ts';

export const QUALIFIED_HINT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
export const LABEL_VALUE_HINT =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/** What is wrong with labels, at the field that holds them. */
export function validateLabels(
  field: string,
  labels: Record<string, string> | undefined,
): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...(isQualifiedName(key) ? [] : [wrong(field, key, QUALIFIED_HINT)]),
    ...(isLabelValue(value) ? [] : [wrong(field, value, LABEL_VALUE_HINT)]),
  ]);
}
