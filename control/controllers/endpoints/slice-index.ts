import type { KubeObject } from '../../kube/object.ts';
import { ObjectIndex } from '../object-index.ts';

export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
export const HEADLESS_LABEL = 'service.kubernetes.io/headless';
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
export const MANAGED_BY = 'endpointslice-controller.k8s.io';

/** The controller that mirrors manual Endpoints. */
export const MIRRORED_BY = 'endpointslicemirroring-controller.k8s.io';

/** The slices of one controller by the keys of their Services. Ignores other slices. */
export function sliceIndex(manager: string): ObjectIndex {
  return new ObjectIndex((slice) => {
    const service = serviceOf(slice, manager);
    return service === null ? [] : [service];
  });
}

/** The key of the Service of a slice. Null for a slice of another controller. */
export function serviceOf({ metadata }: KubeObject, manager: string): string | null {
  const { labels = {}, namespace } = metadata;
  if (labels[MANAGED_BY_LABEL] !== manager) return null;
  return `${namespace}/${labels[SERVICE_NAME_LABEL]}`;
}
