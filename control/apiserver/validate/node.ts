import type { KubeObject } from '../../kube/object.ts';
import { type FieldError, forbidden, wrong } from '../status.ts';

/** Rules of Nodes across fields: pkg/apis/core/validation (ValidateNodeUpdate). */
export function validateNode(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const had = old?.spec?.podCIDR;
  if (!had || object.spec?.podCIDR === had) return [];
  return [
    forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'),
  ];
}

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

/**
 * An event is in the namespace of its object, or in `default` for a cluster-scoped object. Source:
 * pkg/apis/core/validation/events.go (legacyValidateEvent).
 */
export function validateEvent({ metadata, involvedObject }: KubeObject): FieldError[] {
  const { namespace = '' } = (involvedObject ?? {}) as { namespace?: string };
  const expected = namespace === '' ? 'default' : namespace;
  if (metadata.namespace === expected) return [];
  return [wrong('involvedObject.namespace', namespace, 'does not match event.namespace')];
}
