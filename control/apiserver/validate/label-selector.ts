// Rules of LabelSelectors: apimachinery/pkg/apis/meta/v1/validation (ValidateLabelSelector).

import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { LABEL_VALUE_HINT, QUALIFIED_HINT, validateLabels } from './labels.ts';
import { isLabelValue, isQualifiedName } from './names.ts';

interface Requirement {
  key?: string;
  operator?: string;
  values?: string[];
}

/** Absent is fine: whether a selector must be there is for its owner to say. */
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
