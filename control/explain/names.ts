// What names of a cluster come from: the zone of its DNS server, and the resolvers of its pods.
import { formatAddress, parseAddress } from '../../datapath/wire/address.ts';
import { addressBytes } from '../dns/record.ts';
import { type Resolver, resolverOf, usesNodeResolver } from '../dns/resolver.ts';
import { readNamespaceName, readPodRow, readServiceRow, readSliceRow } from '../dns/rows.ts';
import { POD_MODES, type PodMode, Zone } from '../dns/zone.ts';
import type { EndpointSlice, Pod, Service } from '../kube/kinds.ts';
import { objectKey } from '../model/parse.ts';
import type { ClusterObjects } from './objects.ts';

export interface NameOptions {
  /** First address of the Service range, where the objects have no Service `kubernetes`. */
  rangeStart: number;
  /** resolv.conf of the nodes; null if it is not known. */
  machine: string | null;
  /**
   * True if a cluster without a DNS Service has no DNS. False for files, which may omit the
   * Service.
   */
  isWhole: boolean;
}

const DNS_LABEL = 'k8s-app';
const DNS_NAME = 'kube-dns';
/** The cluster's DNS Service has the tenth address of the range, `kubernetes` the first. */
const DNS_HOST = 10;
const LABEL_SERVICE = 'kubernetes.io/service-name';

export class Names {
  readonly isWhole: boolean;
  readonly objects: ClusterObjects;
  readonly services: ReadonlyMap<string, Service>;
  readonly pods: ReadonlyMap<string, Pod>;
  readonly namespaces: ReadonlySet<string>;
  readonly #machine: string | null;
  readonly #rangeStart: number;
  readonly #slices: Map<string, EndpointSlice[]>;
  #zone: Zone | null = null;

  constructor(objects: ClusterObjects, { rangeStart, machine, isWhole }: NameOptions) {
    const { services, pods, namespaces, slices } = objects;
    this.isWhole = isWhole;
    this.#machine = machine;
    this.#rangeStart = rangeStart;
    this.objects = objects;
    this.services = new Map(services.map((service) => [objectKey(service.metadata), service]));
    this.pods = new Map(pods.map((pod) => [objectKey(pod.metadata), pod]));
    // A Namespace that the files leave out exists if something is in it.
    const places = [...services, ...pods].map(({ metadata }) => metadata?.namespace ?? 'default');
    this.namespaces = new Set([...namespaces.map(readNamespaceName), ...places]);
    this.#slices = Map.groupBy(slices, ({ metadata }) =>
      objectKey({ ...metadata, name: metadata?.labels?.[LABEL_SERVICE] ?? '' }),
    );
  }

  /** The Service of the cluster's DNS server. */
  get dns(): Service | undefined {
    const found = this.services.get(`kube-system/${DNS_NAME}`);
    return found ?? [...this.services.values()].find(isDns);
  }

  /** The address that pods have as their name server. */
  get dnsAddress(): string {
    const own = this.dns?.spec?.clusterIP ?? '';
    if (parseAddress(own) !== null) return own;
    const first = parseAddress(this.services.get('default/kubernetes')?.spec?.clusterIP ?? '');
    const start = first === null ? this.#rangeStart : first - 1;
    return formatAddress(start + DNS_HOST);
  }

  /** A pod's resolver. Null if the pod uses its node's, which is not known. */
  resolverOf(pod: Pod): Resolver | null {
    if (this.#machine === null && usesNodeResolver(pod.spec)) return null;
    return resolverOf(pod, this.dnsAddress, this.#machine ?? '');
  }

  /** Upstream servers of a lab's DNS server; null if unknown. */
  get upstream(): string | null {
    return this.#dnsOption('upstream');
  }

  slicesOf(key: string): EndpointSlice[] {
    return this.#slices.get(key) ?? [];
  }

  get zone(): Zone {
    this.#zone ??= this.#makeZone();
    return this.#zone;
  }

  #makeZone(): Zone {
    const mode = this.#dnsOption('pods') as PodMode | null;
    const pods = mode !== null && POD_MODES.includes(mode) ? mode : 'insecure';
    const clock = () => 0;
    const own = addressBytes(this.dnsAddress);
    const zone = new Zone({ domain: 'cluster.local', pods, ownAddresses: own ? [own] : [], clock });
    for (const name of this.namespaces) zone.putNamespace(name);
    for (const service of this.objects.services) zone.putService(readServiceRow(service));
    for (const slice of this.objects.slices) zone.putSlice(readSliceRow(slice), null);
    for (const [key, pod] of this.pods) zone.putPod(key, readPodRow(pod), null);
    zone.isSynced = true;
    return zone;
  }

  /** An argument of the lab's DNS pods. */
  #dnsOption(name: string): string | null {
    const pod = [...this.pods.values()].find(isDns);
    const args = pod?.spec?.containers.flatMap((container) => container.args ?? []) ?? [];
    return args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? null;
  }
}

function isDns({ metadata }: Service | Pod): boolean {
  return metadata?.namespace === 'kube-system' && metadata.labels?.[DNS_LABEL] === DNS_NAME;
}
