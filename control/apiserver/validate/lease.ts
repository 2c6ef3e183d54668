import type { KubeObject } from '../object.ts';
import { type FieldError, wrong } from '../status.ts';

/** Rules of Leases across fields: pkg/apis/coordination/validation (ValidateLeaseSpec). */
export function validateLease({ spec }: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (spec?.leaseDurationSeconds <= 0) {
    const value = spec.leaseDurationSeconds;
    errors.push(wrong('spec.leaseDurationSeconds', value, 'must be greater than 0'));
  }
  if (spec?.leaseTransitions < 0) {
    const value = spec.leaseTransitions;
    errors.push(wrong('spec.leaseTransitions', value, 'must be greater than or equal to 0'));
  }
  return errors;
}
