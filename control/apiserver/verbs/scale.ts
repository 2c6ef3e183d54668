// The scale subresource, autoscaling/v1: pkg/registry/apps/deployment/storage (ScaleREST).

import { isObject, type KubeObject } from '../../kube/object.ts';
import type { Place, ServedKind } from '../kind.ts';
import { badRequest, invalid, wrong } from '../status.ts';
import type { Patcher } from './patch.ts';
import type { Registry, WriteOptions } from './registry.ts';
import { formatSelector } from './selectors.ts';

const SCALE = { kind: 'Scale', apiVersion: 'autoscaling/v1' };
const RESOURCE = { kind: 'Scale', group: 'autoscaling', plural: 'scales' };

/** The Scale of an object. */
export function scaleOf({ metadata, spec, status }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  return {
    ...SCALE,
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion,
      creationTimestamp,
    } as KubeObject['metadata'],
    spec: { replicas: spec.replicas },
    status: { replicas: status?.replicas ?? 0, selector: formatSelector(spec.selector) },
  };
}

/**
 * Replaces the Scale of an object, or with `patcher` patches it. Returns the Scale. Throws
 * StatusError.
 */
export function writeScale(
  registry: Registry,
  kind: ServedKind,
  place: Place,
  body: unknown,
  options: WriteOptions,
  patcher?: Patcher,
): KubeObject {
  const current = scaleOf(registry.get(kind, place));
  const wanted = patcher ? patcher(current, body) : body;
  if (!isObject(wanted)) throw badRequest('the body of the request must be a JSON object');
  for (const field of ['apiVersion', 'kind'] as const) {
    if ((wanted[field] ?? SCALE[field]) === SCALE[field]) continue;
    const given = JSON.stringify(wanted[field]);
    throw badRequest(
      `the object provided is not a Scale of ${SCALE.apiVersion}: ${field} is ${given}`,
    );
  }
  for (const field of ['metadata', 'spec'] as const) {
    const part = wanted[field] ?? {};
    if (!isObject(part)) throw badRequest(`${field} of a Scale must be an object`);
  }
  const { metadata, spec } = wanted as unknown as Partial<KubeObject>;
  const replicas = spec?.replicas ?? 0;
  if (!Number.isInteger(replicas)) {
    throw badRequest(
      `spec.replicas of a Scale must be a whole number, not ${JSON.stringify(replicas)}`,
    );
  }
  if (replicas < 0) {
    const error = wrong('spec.replicas', replicas, 'must be greater than or equal to 0');
    throw invalid(RESOURCE, place.name, [error]);
  }
  const { uid, resourceVersion } = metadata ?? {};
  const identity = { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) };
  const change = { metadata: identity, spec: { replicas } };
  const scaled = registry.patch(kind, place, change, false, { ...options, subresource: 'scale' });
  return scaleOf(scaled);
}
