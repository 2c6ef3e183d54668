// Endpoints objects, the older form of EndpointSlices. k8s pkg/controller/endpoint.

import type { StoreEvent } from '../../apiserver/store/store.ts';
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import { type Cluster, kindOf, placeOf } from '../cluster.ts';
import { WorkQueue } from '../queue.ts';
import { hasSelector } from './desired.ts';
import { SliceIndex, serviceOf } from './slice-index.ts';

const ENDPOINTS = kindOf('Endpoints');
const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const CAPACITY_ANNOTATION = 'endpoints.kubernetes.io/over-capacity';
/** Further addresses are left out, and an annotation says so. */
const ADDRESSES_MAX = 1000;

interface Endpoint {
  addresses: string[];
  conditions?: { ready?: boolean; terminating?: boolean };
  hostname?: string;
  nodeName?: string;
  targetRef?: object;
}

interface Address {
  ip: string;
}

interface Subset {
  addresses: Address[];
  notReadyAddresses: Address[];
  ports: object[];
}

/** Keeps the Endpoints of every Service with a selector in step with its slices. */
export class EndpointsController {
  readonly queue = new WorkQueue((key) => this.#reconcile(key));
  readonly #cluster: Cluster;
  readonly #slices = new SliceIndex();
  readonly #unsubscribe: (() => void)[];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { store } = cluster;
    store.each('endpointslices', (slice) => this.#slices.put(slice));
    for (const service of store.list('services')) this.queue.add(keyOf(service));
    this.#unsubscribe = [
      store.subscribe('services', ({ object }) => this.queue.add(keyOf(object))),
      store.subscribe('endpointslices', (event) => this.#onSlice(event)),
      store.subscribe('endpoints', ({ object }) => this.#onEndpoints(object)),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  /** Endpoints without a Service wait for it. */
  #onEndpoints(object: KubeObject): void {
    const { namespace = '', name } = object.metadata;
    if (this.#cluster.store.get('services', namespace, name)) this.queue.add(keyOf(object));
  }

  #onSlice({ type, object, old }: StoreEvent): void {
    if (old) this.#slices.remove(old);
    if (type !== 'DELETED') this.#slices.put(object);
    for (const slice of old ? [old, object] : [object]) {
      const key = serviceOf(slice);
      if (key) this.queue.add(key);
    }
  }

  #reconcile(key: string): void {
    const { store, registry } = this.#cluster;
    const place = placeOf(key);
    const { namespace, name } = place;
    const service = store.get('services', namespace, name);
    const before = store.get('endpoints', namespace, name);
    if (!service) {
      if (before) registry.remove(ENDPOINTS, place, {});
      return;
    }
    // Endpoints of a Service without a selector are manual.
    if (!hasSelector(service) || service.metadata.deletionTimestamp) return;
    const { subsets, truncated } = subsetsOf(this.#slices.of(key));
    const labels = labelsOf(service);
    if (!before) {
      if (store.get('namespaces', '', namespace)?.status?.phase === 'Terminating') return;
      registry.create(ENDPOINTS, namespace, { metadata: { name, labels }, subsets });
      return;
    }
    const { [CAPACITY_ANNOTATION]: _, ...annotations } = before.metadata.annotations ?? {};
    if (truncated) annotations[CAPACITY_ANNOTATION] = 'truncated';
    const metadata = { ...before.metadata, labels, annotations };
    const wanted = { ...before, metadata, subsets };
    const isSame =
      isEqual(subsets, before.subsets ?? []) &&
      isEqual(labels, before.metadata.labels ?? {}) &&
      isEqual(annotations, before.metadata.annotations ?? {});
    if (!isSame) registry.update(ENDPOINTS, place, wanted, false);
  }
}

/** One subset for each set of ports, without terminating endpoints. */
function subsetsOf(slices: KubeObject[]): { subsets: object[]; truncated: boolean } {
  const byPorts = new Map<string, Subset>();
  let left = ADDRESSES_MAX;
  let truncated = false;
  for (const slice of slices) {
    const ports = (slice.ports ?? []) as object[];
    const key = JSON.stringify(ports);
    const subset = byPorts.get(key) ?? { addresses: [], notReadyAddresses: [], ports };
    byPorts.set(key, subset);
    for (const endpoint of (slice.endpoints ?? []) as Endpoint[]) {
      const { ready = true, terminating = false } = endpoint.conditions ?? {};
      if (terminating && !ready) continue;
      if (left === 0) truncated = true;
      else {
        left--;
        (ready ? subset.addresses : subset.notReadyAddresses).push(addressOf(endpoint));
      }
    }
  }
  const found = [...byPorts.values()].filter(
    (subset) => subset.addresses.length + subset.notReadyAddresses.length > 0,
  );
  return { subsets: found.map(withoutEmpty), truncated };
}

function addressOf({ addresses, hostname, nodeName, targetRef }: Endpoint): Address {
  return {
    ip: addresses[0]!,
    ...(hostname && { hostname }),
    ...(nodeName && { nodeName }),
    ...(targetRef && { targetRef }),
  };
}

function withoutEmpty({ addresses, notReadyAddresses, ports }: Subset): object {
  const sorted = (list: Address[]) => list.sort((a, b) => (a.ip < b.ip ? -1 : 1));
  return {
    ...(addresses.length > 0 && { addresses: sorted(addresses) }),
    ...(notReadyAddresses.length > 0 && { notReadyAddresses: sorted(notReadyAddresses) }),
    ...(ports.length > 0 && { ports }),
  };
}

/** Endpoints have the labels of their Service. */
function labelsOf({ metadata, spec }: KubeObject): Record<string, string> {
  return { ...metadata.labels, ...(spec.clusterIP === 'None' && { [HEADLESS_LABEL]: '' }) };
}
