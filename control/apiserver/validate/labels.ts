// Rules of labels and label selectors: apimachinery/pkg/apis/meta/v1/validation.
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { isLabelValue, isQualifiedName } from './names.ts';

export const QUALIFIED_HINT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and " +
  "end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex " +
  "used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
export const LABEL_VALUE_HINT =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or " +
  "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or " +
  "'my_value',  or '12345', regex used for validation is " +
  "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/** The errors of labels in a field. */
export function validateLabels(
  field: string,
  labels: Record<string, string> | undefined,
): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...(isQualifiedName(key) ? [] : [wrong(field, key, QUALIFIED_HINT)]),
    ...(isLabelValue(value) ? [] : [wrong(field, value, LABEL_VALUE_HINT)]),
  ]);
}

interface Requirement {
  key?: string;
  operator?: string;
  values?: string[];
}

/** The errors of a selector. An absent selector has none. */
export function validateLabelSelector(
  field: string,
  selector: { matchLabels?: Record<string, string>; matchExpressions?: Requirement[] } | undefined,
): FieldError[] {
  const expressions = selector?.matchExpressions ?? [];
  return [
    ...validateLabels(`${field}.matchLabels`, selector?.matchLabels),
    ...expressions.flatMap((row, i) => validateRequirement(`${field}.matchExpressions[${i}]`, row)),
  ];
}

function validateRequirement(
  field: string,
  { key = '', operator = '', values = [] }: Requirement,
): FieldError[] {
  const errors: FieldError[] = [];
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length === 0) {
      const detail = "must be specified when `operator` is 'In' or 'NotIn'";
      errors.push(required(`${field}.values`, detail));
    }
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length > 0) {
      const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
      errors.push(forbidden(`${field}.values`, detail));
    }
  } else errors.push(wrong(`${field}.operator`, operator, 'not a valid selector operator'));
  if (!isQualifiedName(key)) errors.push(wrong(`${field}.key`, key, QUALIFIED_HINT));
  for (const [i, value] of values.entries()) {
    if (!isLabelValue(value)) errors.push(wrong(`${field}.values[${i}]`, value, LABEL_VALUE_HINT));
  }
  return errors;
}
