// Endpoints objects, the older form of EndpointSlices. k8s pkg/controller/endpoint.
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { type Address, hasSelector } from './desired.ts';
import { HEADLESS_LABEL, MANAGED_BY, serviceOf, sliceIndex } from './slice-index.ts';

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

interface Subset {
  addresses: Address[];
  notReadyAddresses: Address[];
  ports: object[];
}

/** Keeps the Endpoints of every Service with a selector in step with its slices. */
export class EndpointsController extends Controller {
  readonly #slices = sliceIndex(MANAGED_BY);

  constructor(cluster: Cluster) {
    super(cluster);
    const { store } = cluster;
    store.each('endpointslices', (object) => this.#slices.update({ object }));
    this.follow('services', ({ object }) => this.queue.add(keyOf(object)));
    this.subscribe('endpointslices', (event) => this.#onSlice(event));
    // Endpoints without a Service change when their Service appears.
    this.subscribe('endpoints', ({ object }) => {
      if (store.at('services', keyOf(object))) this.queue.add(keyOf(object));
    });
  }

  #onSlice(change: Change): void {
    const { object, old } = change;
    this.#slices.update(change);
    for (const slice of old ? [old, object] : [object]) {
      const key = serviceOf(slice, MANAGED_BY);
      if (key) this.queue.add(key);
    }
  }

  protected reconcile(key: string): void {
    const { store } = this.cluster;
    const service = store.at('services', key);
    const before = store.at('endpoints', key);
    if (!service) {
      if (before) this.cluster.remove(before);
      return;
    }
    // Endpoints of a Service without a selector are manual.
    if (!hasSelector(service) || service.metadata.deletionTimestamp) return;
    const { subsets, truncated } = subsetsOf(this.#slices.of(key));
    const labels = labelsOf(service);
    if (!before) {
      const { namespace = '', name } = service.metadata;
      if (this.cluster.isEnding(namespace)) return;
      this.cluster.create('Endpoints', namespace, { metadata: { name, labels }, subsets });
      return;
    }
    const { [CAPACITY_ANNOTATION]: _, ...annotations } = before.metadata.annotations ?? {};
    if (truncated) annotations[CAPACITY_ANNOTATION] = 'truncated';
    const metadata = { ...before.metadata, labels, annotations };
    const isSame =
      isEqual(subsets, before.subsets ?? []) &&
      isEqual(labels, before.metadata.labels ?? {}) &&
      isEqual(annotations, before.metadata.annotations ?? {});
    if (!isSame) this.cluster.replace({ ...before, metadata, subsets });
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
