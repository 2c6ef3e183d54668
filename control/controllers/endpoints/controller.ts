// EndpointSlices of Services that have a selector.
import { isEqual, type KubeObject } from '../../apiserver/object.ts';
import type { StoreEvent } from '../../apiserver/store.ts';
import { type Cluster, kindOf } from '../cluster.ts';
import { WorkQueue } from '../queue.ts';
import { desiredGroups, hasSelector } from './desired.ts';
import { placeEndpoints } from './place.ts';
import { keysOf, labelKey, matchesLabels, PodIndex } from './pod-index.ts';

export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
const MANAGED_BY = 'endpointslice-controller.k8s.io';
const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const ZONE_LABEL = 'topology.kubernetes.io/zone';

const SLICE = kindOf('EndpointSlice');

/** Keeps the slices of every Service with a selector equal to its pods. */
export class EndpointSliceController {
  readonly queue = new WorkQueue((key) => this.#reconcile(key));
  readonly #cluster: Cluster;
  readonly #pods = new PodIndex();
  /** First label of a selector, as {@link labelKey} -> keys of Services. */
  readonly #services = new Map<string, Set<string>>();
  /** Key of a Service -> its slices of this controller, by name. */
  readonly #slices = new Map<string, Map<string, KubeObject>>();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { store } = cluster;
    for (const pod of store.list('pods')) this.#pods.put(pod);
    for (const slice of store.list('endpointslices')) this.#onSlice({ object: slice });
    for (const service of store.list('services')) this.#onService({ object: service });
    this.#unsubscribe = [
      store.subscribe('pods', (event) => this.#onPod(event)),
      store.subscribe('services', (event) => this.#onService(event)),
      store.subscribe('endpointslices', (event) => this.#onSlice(event)),
      store.subscribe('nodes', (event) => this.#onNode(event)),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  #onPod({ type, object, old }: StoreEvent): void {
    if (old) this.#pods.remove(old);
    if (type !== 'DELETED') this.#pods.put(object);
    if (old) this.#enqueueFor(old);
    if (!old || !isEqual(old.metadata.labels, object.metadata.labels)) this.#enqueueFor(object);
  }

  #enqueueFor(pod: KubeObject): void {
    for (const label of keysOf(pod)) {
      for (const key of this.#services.get(label) ?? []) {
        const service = this.#service(key);
        if (service && matchesLabels(service.spec.selector, pod.metadata.labels)) {
          this.queue.add(key);
        }
      }
    }
  }

  #onService({ type, object, old }: Partial<StoreEvent> & { object: KubeObject }): void {
    const key = keyOf(object);
    if (old && hasSelector(old)) this.#services.get(firstLabel(old))?.delete(key);
    if (type !== 'DELETED' && hasSelector(object)) {
      const label = firstLabel(object);
      const services = this.#services.get(label);
      if (services) services.add(key);
      else this.#services.set(label, new Set([key]));
    }
    this.queue.add(key);
  }

  #onSlice({ type, object, old }: Partial<StoreEvent> & { object: KubeObject }): void {
    const { labels = {}, namespace, name } = object.metadata;
    if (labels[MANAGED_BY_LABEL] !== MANAGED_BY) return;
    const key = `${namespace}/${labels[SERVICE_NAME_LABEL]}`;
    const slices = this.#slices.get(key) ?? new Map<string, KubeObject>();
    this.#slices.set(key, slices);
    if (type === 'DELETED') slices.delete(name);
    else slices.set(name, object);
    if (slices.size === 0) this.#slices.delete(key);
    // Somebody else's change is taken back; one's own is equal and does nothing.
    if (old) this.queue.add(key);
  }

  #onNode({ type, object, old }: StoreEvent): void {
    if (type !== 'DELETED' && old && zoneOf(old) === zoneOf(object)) return;
    for (const services of this.#services.values()) for (const key of services) this.queue.add(key);
  }

  #service(key: string): KubeObject | undefined {
    const [namespace, name] = key.split('/') as [string, string];
    return this.#cluster.store.get('services', namespace, name);
  }

  #reconcile(key: string): void {
    const service = this.#service(key);
    const slices = [...(this.#slices.get(key)?.values() ?? [])];
    if (!service || service.metadata.deletionTimestamp || !hasSelector(service)) {
      for (const slice of slices) this.#remove(slice);
      return;
    }
    const { store, registry } = this.#cluster;
    const namespace = service.metadata.namespace!;
    const groups = desiredGroups(
      service,
      this.#pods.select(namespace, service.spec.selector),
      (n) => zoneOf(store.get('nodes', '', n)),
    );
    const { create, update, remove } = placeEndpoints(groups, slices);
    const labels = labelsOf(service);
    const updated = new Set(update.map(({ slice }) => slice));
    for (const { slice, endpoints } of update) {
      const metadata = { ...slice.metadata, labels };
      registry.update(SLICE, placeOf(slice), { ...slice, metadata, endpoints }, false);
    }
    for (const slice of slices) {
      if (updated.has(slice) || remove.includes(slice)) continue;
      if (isEqual(slice.metadata.labels, labels)) continue;
      const metadata = { ...slice.metadata, labels };
      registry.update(SLICE, placeOf(slice), { ...slice, metadata }, false);
    }
    for (const parts of create) registry.create(SLICE, namespace, sliceOf(service, labels, parts));
    for (const slice of remove) this.#remove(slice);
  }

  #remove(slice: KubeObject): void {
    this.#cluster.registry.remove(SLICE, placeOf(slice), {});
  }
}

function sliceOf(service: KubeObject, labels: Record<string, string>, parts: object): object {
  const { name, uid } = service.metadata;
  return {
    metadata: {
      generateName: `${name}-`,
      labels,
      ownerReferences: [
        {
          apiVersion: 'v1',
          kind: 'Service',
          name,
          uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    addressType: 'IPv4',
    ...parts,
  };
}

/** Labels of a Service are those of its slices, so that both are selected together. */
function labelsOf(service: KubeObject): Record<string, string> {
  return {
    ...service.metadata.labels,
    ...(service.spec.clusterIP === 'None' && { [HEADLESS_LABEL]: '' }),
    [SERVICE_NAME_LABEL]: service.metadata.name,
    [MANAGED_BY_LABEL]: MANAGED_BY,
  };
}

function firstLabel({ metadata, spec }: KubeObject): string {
  const [key, value] = Object.entries(spec.selector as Record<string, string>)[0]!;
  return labelKey(metadata.namespace!, key, value);
}

function zoneOf(node: KubeObject | undefined): string | undefined {
  return node?.metadata.labels?.[ZONE_LABEL];
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function placeOf({ metadata }: KubeObject) {
  return { namespace: metadata.namespace!, name: metadata.name };
}
