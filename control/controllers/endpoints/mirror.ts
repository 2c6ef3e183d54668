// EndpointSlices of manual Endpoints: pkg/controller/endpointslicemirroring.
import { isIP } from 'node:net';
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { controllerRef } from '../owners.ts';
import { type Address, portsKey, type SlicePort } from './desired.ts';
import {
  MANAGED_BY_LABEL,
  MIRRORED_BY,
  SERVICE_NAME_LABEL,
  serviceOf,
  sliceIndex,
} from './slice-index.ts';

const SKIP_LABEL = 'endpointslice.kubernetes.io/skip-mirror';
/** Marks Endpoints that are a lock of older leader elections. */
const LEADER_ANNOTATION = 'control-plane.alpha.kubernetes.io/leader';
/** Annotations that are not copied. */
const OWN_ANNOTATIONS = [
  'endpoints.kubernetes.io/last-change-trigger-time',
  'kubectl.kubernetes.io/last-applied-configuration',
];
/** Limit of addresses in a subset, and in a slice. */
const ADDRESSES_MAX = 1000;

interface Subset {
  addresses?: Address[];
  notReadyAddresses?: Address[];
  ports?: SlicePort[];
}

/** The contents of a slice: endpoints of one family with equal ports. */
interface Mirror {
  addressType: string;
  ports: SlicePort[];
  /** By identity, so that duplicates count once. */
  endpoints: Map<string, object>;
}

/**
 * For Endpoints of a Service without a selector keeps one slice for each family and set of ports.
 */
export class MirroringController extends Controller {
  readonly #slices = sliceIndex(MIRRORED_BY);

  constructor(cluster: Cluster) {
    super(cluster, 'endpoint-slice-mirroring-controller');
    this.follow('endpointslices', (change) => this.#onSlice(change));
    this.follow('endpoints', ({ object }) => this.queue.add(keyOf(object)));
    this.subscribe('services', ({ object }) => this.queue.add(keyOf(object)));
  }

  /** Undoes changes of other writers. */
  #onSlice(change: Change): void {
    const { object, old } = change;
    this.#slices.update(change);
    for (const slice of old ? [old, object] : [object]) {
      const key = serviceOf(slice, MIRRORED_BY);
      if (key) this.queue.add(key);
    }
  }

  protected reconcile(key: string): void {
    const { store } = this.cluster;
    const endpoints = store.at('endpoints', key);
    const service = store.at('services', key);
    const left = new Set(this.#slices.of(key));
    if (endpoints && isMirrored(endpoints, service)) {
      const namespace = endpoints.metadata.namespace!;
      const isEnding = this.cluster.isEnding(namespace);
      for (const [group, mirror] of this.#mirrorsOf(endpoints)) {
        const slice = [...left].find((found) => groupOf(found) === group);
        if (slice) left.delete(slice);
        const wanted = sliceOf(endpoints, mirror);
        if (slice) this.#update(slice, wanted);
        else if (!isEnding) this.cluster.create('EndpointSlice', namespace, wanted);
      }
    }
    for (const slice of left) this.cluster.remove(slice);
  }

  #update(slice: KubeObject, wanted: ReturnType<typeof sliceOf>): void {
    const { generateName: _, ...metadata } = wanted.metadata;
    const changed = {
      ...slice,
      endpoints: wanted.endpoints,
      metadata: { ...slice.metadata, ...metadata },
    };
    if (!isEqual(changed, slice)) this.cluster.replace(changed);
  }

  /** Groups the endpoints by family and ports. Records an event about what it leaves out. */
  #mirrorsOf(endpoints: KubeObject): Map<string, Mirror> {
    const mirrors = new Map<string, Mirror>();
    let skipped = 0;
    for (const subset of (endpoints.subsets ?? []) as Subset[]) {
      const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
      const all = [
        ...addresses.map((address) => ({ address, ready: true })),
        ...notReadyAddresses.map((address) => ({ address, ready: false })),
      ];
      skipped += Math.max(0, all.length - ADDRESSES_MAX);
      for (const { address, ready } of all.slice(0, ADDRESSES_MAX)) {
        const addressType = isIP(address.ip) === 6 ? 'IPv6' : 'IPv4';
        const group = `${addressType} ${portsKey(ports)}`;
        const mirror = mirrors.get(group) ?? { addressType, ports, endpoints: new Map() };
        mirrors.set(group, mirror);
        const { ip, hostname, targetRef } = address;
        const key = JSON.stringify([ip, hostname, targetRef]);
        if (mirror.endpoints.size === ADDRESSES_MAX && !mirror.endpoints.has(key)) skipped++;
        else if (!mirror.endpoints.has(key)) mirror.endpoints.set(key, endpointOf(address, ready));
      }
    }
    if (skipped > 0) {
      const message =
        `A max of ${ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per Endpoints ` +
        `subset. ${skipped} addresses were skipped`;
      this.record(endpoints, 'Warning', 'TooManyAddressesToMirror', message);
    }
    return mirrors;
  }
}

/** Endpoints of a Service with a selector have their slices from its pods. */
function isMirrored({ metadata }: KubeObject, service: KubeObject | undefined): boolean {
  const { labels = {}, annotations = {}, deletionTimestamp } = metadata;
  if (!service || Object.keys(service.spec.selector ?? {}).length > 0) return false;
  if (deletionTimestamp || labels[SKIP_LABEL] === 'true') return false;
  return annotations[LEADER_ANNOTATION] === undefined;
}

function groupOf({ addressType, ports }: KubeObject): string {
  return `${addressType} ${portsKey(ports as SlicePort[] | undefined)}`;
}

function endpointOf({ ip, hostname, nodeName, targetRef }: Address, ready: boolean): object {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname && { hostname }),
    ...(nodeName && { nodeName }),
    ...(targetRef && { targetRef }),
  };
}

function sliceOf(endpoints: KubeObject, { addressType, ports, endpoints: rows }: Mirror) {
  const { name, labels, annotations = {} } = endpoints.metadata;
  const shared = Object.entries(annotations).filter(([key]) => !OWN_ANNOTATIONS.includes(key));
  return {
    metadata: {
      generateName: `${name}-`,
      labels: { ...labels, [SERVICE_NAME_LABEL]: name, [MANAGED_BY_LABEL]: MIRRORED_BY },
      annotations: Object.fromEntries(shared),
      ownerReferences: [controllerRef(endpoints)],
    },
    addressType,
    endpoints: [...rows.values()],
    ports: ports.map(({ name: port = '', ...rest }) => ({ name: port, ...rest })),
  };
}
