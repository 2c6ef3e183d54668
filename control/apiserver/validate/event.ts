import type { KubeObject } from '../../kube/object.ts';
import { type FieldError, wrong } from '../status.ts';

/**
 * An event lies beside what it is about; one about an object of no namespace lies in `default`.
 * Source: pkg/apis/core/validation/events.go (legacyValidateEvent).
 */
export function validateEvent({ metadata, involvedObject }: KubeObject): FieldError[] {
  const { namespace = '' } = (involvedObject ?? {}) as { namespace?: string };
  const expected = namespace === '' ? 'default' : namespace;
  if (metadata.namespace === expected) return [];
  return [wrong('involvedObject.namespace', namespace, 'does not match event.namespace')];
}
