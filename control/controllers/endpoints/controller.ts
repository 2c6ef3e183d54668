// EndpointSlices of Services that have a selector.

import type { StoreEvent } from '../../apiserver/store/store.ts';
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import { type Cluster, kindOf } from '../cluster.ts';
import { WorkQueue } from '../queue.ts';
import { desiredGroups, hasSelector } from './desired.ts';
import { placeEndpoints } from './place.ts';
import { PodIndex } from './pod-index.ts';
import { ServiceIndex } from './service-index.ts';
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  SERVICE_NAME_LABEL,
  SliceIndex,
  serviceOf,
} from './slice-index.ts';

const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const ZONE_LABEL = 'topology.kubernetes.io/zone';

const SLICE = kindOf('EndpointSlice');

/** Keeps the slices of every Service with a selector in step with its pods. */
export class EndpointSliceController {
  readonly queue = new WorkQueue((key) => this.#reconcile(key));
  readonly #cluster: Cluster;
  readonly #pods = new PodIndex();
  readonly #services = new ServiceIndex();
  readonly #slices = new SliceIndex();
  readonly #unsubscribe: (() => void)[];
  /** The Service whose slices the controller writes now. Their events need no work. */
  #writing = '';

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { store } = cluster;
    store.each('pods', (pod) => this.#pods.put(pod));
    store.each('endpointslices', (slice) => this.#slices.put(slice));
    store.each('services', (object) => this.#onService({ object }));
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
    for (const key of this.#services.choosing(pod)) this.queue.add(key);
  }

  #onService({ type, object }: Partial<StoreEvent> & { object: KubeObject }): void {
    const key = keyOf(object);
    if (type === 'DELETED') this.#services.remove(key);
    else this.#services.put(key, object);
    this.queue.add(key);
  }

  /** Undoes changes of other writers. */
  #onSlice({ type, object, old }: StoreEvent): void {
    if (old) this.#slices.remove(old);
    if (type !== 'DELETED') this.#slices.put(object);
    for (const slice of old ? [old, object] : [object]) {
      const key = serviceOf(slice);
      if (key && key !== this.#writing) this.queue.add(key);
    }
  }

  #onNode({ type, object, old }: StoreEvent): void {
    const before = type === 'DELETED' ? zoneOf(object) : zoneOf(old);
    const after = type === 'DELETED' ? undefined : zoneOf(object);
    if (before === after) return;
    for (const pod of this.#cluster.store.list('pods')) {
      if (pod.spec.nodeName === object.metadata.name) this.#enqueueFor(pod);
    }
  }

  #reconcile(key: string): void {
    this.#writing = key;
    try {
      this.#write(key);
    } finally {
      this.#writing = '';
    }
  }

  #write(key: string): void {
    const { store, registry } = this.#cluster;
    const [namespace, name] = key.split('/') as [string, string];
    const service = store.get('services', namespace, name);
    const found = this.#slices.of(key);
    if (!service || service.metadata.deletionTimestamp || !hasSelector(service)) {
      for (const slice of found) this.#remove(slice);
      return;
    }
    const [slices, foreign] = partition(found, (slice) => isOwnedBy(slice, service));
    const chosen = this.#pods.select(namespace, service.spec.selector);
    const groups = desiredGroups(service, chosen, (n) => zoneOf(store.get('nodes', '', n)));
    const { create, update, remove } = placeEndpoints(groups, slices);
    const labels = labelsOf(service);
    const changed = new Map(update.map(({ slice, endpoints }) => [slice, endpoints]));
    for (const slice of slices) {
      const endpoints = changed.get(slice);
      if (remove.includes(slice)) continue;
      if (!endpoints && isEqual(slice.metadata.labels, labels)) continue;
      const metadata = { ...slice.metadata, labels };
      const wanted = { ...slice, metadata, ...(endpoints && { endpoints }) };
      registry.update(SLICE, placeOf(slice), wanted, false);
    }
    // New slices come before old ones go, so that watchers never see a gap.
    for (const parts of create) registry.create(SLICE, namespace, sliceOf(service, labels, parts));
    for (const slice of [...remove, ...foreign]) this.#remove(slice);
  }

  #remove(slice: KubeObject): void {
    this.#cluster.registry.remove(SLICE, placeOf(slice), {});
  }
}

/**
 * A new Service must not take over slices of a deleted one with the same name. The collector
 * removes those.
 */
function isOwnedBy({ metadata }: KubeObject, service: KubeObject): boolean {
  return metadata.ownerReferences?.some(({ uid }) => uid === service.metadata.uid) === true;
}

function partition<T>(items: T[], test: (item: T) => boolean): [T[], T[]] {
  const { yes = [], no = [] } = Object.groupBy(items, (item) => (test(item) ? 'yes' : 'no'));
  return [yes, no];
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

/** Slices have the labels of their Service, so that selectors find both. */
function labelsOf({ metadata, spec }: KubeObject): Record<string, string> {
  const { [HEADLESS_LABEL]: _, ...labels } = metadata.labels ?? {};
  return {
    ...labels,
    ...(spec.clusterIP === 'None' && { [HEADLESS_LABEL]: '' }),
    [SERVICE_NAME_LABEL]: metadata.name,
    [MANAGED_BY_LABEL]: MANAGED_BY,
  };
}

function zoneOf(node: KubeObject | undefined): string | undefined {
  return node?.metadata.labels?.[ZONE_LABEL];
}

function placeOf({ metadata }: KubeObject) {
  return { namespace: metadata.namespace!, name: metadata.name };
}
