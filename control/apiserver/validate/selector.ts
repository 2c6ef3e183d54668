// Rules for label selectors: apimachinery/pkg/apis/meta/v1/validation (ValidateLabelSelector).
import type { LabelSelector } from '../label-selector.ts';
import { isQualifiedName } from '../names.ts';
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { QUALIFIED_HINT, validateLabels } from './labels.ts';

/** What is wrong with a selector, at the field that holds it. */
export function validateSelector(field: string, selector: LabelSelector): FieldError[] {
  const errors = validateLabels(`${field}.matchLabels`, selector.matchLabels);
  for (const [i, { key, operator, values }] of (selector.matchExpressions ?? []).entries()) {
    const at = `${field}.matchExpressions[${i}]`;
    const count = values?.length ?? 0;
    if (operator === 'In' || operator === 'NotIn') {
      const detail = "must be specified when `operator` is 'In' or 'NotIn'";
      if (count === 0) errors.push(required(`${at}.values`, detail));
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
      if (count > 0) errors.push(forbidden(`${at}.values`, detail));
    } else errors.push(wrong(`${at}.operator`, operator, 'not a valid selector operator'));
    if (!isQualifiedName(key)) errors.push(wrong(`${at}.key`, key, QUALIFIED_HINT));
  }
  return errors;
}
