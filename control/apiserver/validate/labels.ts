// Rules of labels and label selectors: apimachinery/pkg/apis/meta/v1/validation.
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { each, LABEL_VALUE, matching, QUALIFIED_NAME } from './formats.ts';

/** The errors of labels in a field. */
export function validateLabels(
  field: string,
  labels: Record<string, string> | undefined,
): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...matching(field, key, QUALIFIED_NAME),
    ...matching(field, value, LABEL_VALUE),
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
  return [
    ...validateLabels(`${field}.matchLabels`, selector?.matchLabels),
    ...each(`${field}.matchExpressions`, selector?.matchExpressions, validateRequirement),
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
  return [
    ...errors,
    ...matching(`${field}.key`, key, QUALIFIED_NAME),
    ...each(`${field}.values`, values, (at, value) => matching(at, value, LABEL_VALUE)),
  ];
}
