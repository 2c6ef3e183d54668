import type { KubeObject } from '../../kube/object.ts';
import { type FieldError, forbidden } from '../status.ts';

/** Rules of Nodes across fields: pkg/apis/core/validation (ValidateNodeUpdate). */
export function validateNode(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const had = old?.spec?.podCIDR;
  if (!had || object.spec?.podCIDR === had) return [];
  return [
    forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'),
  ];
}
