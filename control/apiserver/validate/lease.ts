import type { KubeObject } from '../../kube/object.ts';
import { type FieldError, wrong } from '../status.ts';

/** Rules of Leases: pkg/apis/coordination/validation. */
export function validateLease({ spec = {} }: KubeObject): FieldError[] {
  const { leaseDurationSeconds, leaseTransitions } = spec;
  const errors: FieldError[] = [];
  if (leaseDurationSeconds <= 0) {
    const field = 'spec.leaseDurationSeconds';
    errors.push(wrong(field, leaseDurationSeconds, 'must be greater than 0'));
  }
  if (leaseTransitions < 0) {
    const field = 'spec.leaseTransitions';
    errors.push(wrong(field, leaseTransitions, 'must be greater than or equal to 0'));
  }
  return errors;
}
