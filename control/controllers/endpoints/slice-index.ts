import type { KubeObject } from '../../kube/object.ts';

export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
export const MANAGED_BY = 'endpointslice-controller.k8s.io';

/** The controller that mirrors manual Endpoints. */
export const MIRRORED_BY = 'endpointslicemirroring-controller.k8s.io';

/** The slices of one controller by their Service. Ignores slices of other controllers. */
export class SliceIndex {
  readonly #manager: string;
  /** Key of a Service -> slices by name. */
  readonly #slices = new Map<string, Map<string, KubeObject>>();

  constructor(manager: string = MANAGED_BY) {
    this.#manager = manager;
  }

  put(slice: KubeObject): void {
    const key = serviceOf(slice, this.#manager);
    if (!key) return;
    const slices = this.#slices.get(key);
    if (slices) slices.set(slice.metadata.name, slice);
    else this.#slices.set(key, new Map([[slice.metadata.name, slice]]));
  }

  remove(slice: KubeObject): void {
    const key = serviceOf(slice, this.#manager);
    if (!key) return;
    const slices = this.#slices.get(key);
    slices?.delete(slice.metadata.name);
    if (slices?.size === 0) this.#slices.delete(key);
  }

  of(service: string): KubeObject[] {
    return [...(this.#slices.get(service)?.values() ?? [])];
  }
}

/** The key of the Service of a slice. Null for a slice of another controller. */
export function serviceOf({ metadata }: KubeObject, manager: string = MANAGED_BY): string | null {
  const { labels = {}, namespace } = metadata;
  if (labels[MANAGED_BY_LABEL] !== manager) return null;
  return `${namespace}/${labels[SERVICE_NAME_LABEL]}`;
}
