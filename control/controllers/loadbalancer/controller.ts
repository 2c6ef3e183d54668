// Addresses of load balancers: k8s cloud-provider/controllers/service.
import { formatAddress, parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { type KubeObject, keyOf } from '../../kube/object.ts';
import { type Cluster, Controller } from '../controller.ts';

const EXTERNAL_IP = 'ExternalIP';

interface Ingress {
  ip?: string;
  ipMode?: string;
}

/**
 * Assigns each Service of type LoadBalancer an address of the public range, from the top down, and
 * releases it. Ignores Services with a loadBalancerClass.
 */
export class LoadBalancerController extends Controller {
  readonly #first: number;
  readonly #last: number;
  /** Offset in the range -> key of its Service. */
  readonly #holders = new Map<number, string>();
  /** Services that wait for an address. */
  readonly #waiting = new Set<string>();

  constructor(cluster: Cluster, publicRange: string) {
    super(cluster, 'service-controller');
    const { address, mask } = parseRange(publicRange)!;
    // The first and the last address of the range are not assigned.
    this.#first = (address >>> 0) + 1;
    this.#last = ((address | ~mask) >>> 0) - 1;
    // Registers assigned addresses first.
    cluster.store.each('services', (service) => this.#remember(service));
    this.follow('services', ({ type, object }) => {
      if (type === 'DELETED') this.#release(keyOf(object));
      else if (isOurs(object) || this.#addressOf(object) !== null) this.queue.add(keyOf(object));
    });
  }

  #remember(service: KubeObject): void {
    const address = this.#addressOf(service);
    if (address !== null && isOurs(service) && !this.#holders.has(address)) {
      this.#holders.set(address, keyOf(service));
    }
  }

  protected reconcile(key: string): void {
    const service = this.cluster.store.at('services', key);
    // A Service in deletion keeps its address until it is gone.
    if (!service || service.metadata.deletionTimestamp) return;
    if (!isOurs(service)) return this.#takeBack(key, service);
    const held = this.#addressOf(service);
    const wanted: string | undefined = service.spec.loadBalancerIP || undefined;
    if (held !== null && this.#holders.get(held) === key) {
      if (wanted === undefined || wanted === formatAddress(held | 0)) return;
    }
    const found = wanted === undefined ? this.#free() : this.#asked(wanted, key);
    if (typeof found === 'string') return this.#wait(key, service, found);
    this.#release(key);
    this.#holders.set(found, key);
    this.#write(service, [{ ip: formatAddress(found | 0), ipMode: 'VIP' }]);
    const message = `Ensured load balancer: ${formatAddress(found | 0)}`;
    this.record(service, 'Normal', 'EnsuredLoadBalancer', message);
  }

  /** A Service of another controller keeps the addresses from that controller. */
  #takeBack(key: string, service: KubeObject): void {
    const held = this.#addressOf(service);
    if (held !== null && this.#holders.get(held) === key) this.#write(service, []);
    this.#release(key);
  }

  #wait(key: string, service: KubeObject, why: string): void {
    const held = this.#addressOf(service);
    if (held !== null) this.#write(service, []);
    this.#release(key);
    this.#waiting.add(key);
    const message = `Error syncing load balancer: ${why}`;
    this.record(service, 'Warning', 'SyncLoadBalancerFailed', message);
  }

  /** The highest free address, or a message if there is none. */
  #free(): number | string {
    const nodes = this.#nodeAddresses();
    for (let address = this.#last; address >= this.#first; address--) {
      if (!this.#holders.has(address) && !nodes.has(address)) return address;
    }
    return 'every address of the public range is taken';
  }

  #asked(text: string, key: string): number | string {
    const address = (parseAddress(text) ?? 0) >>> 0;
    if (address < this.#first || address > this.#last) {
      const range = `${formatAddress(this.#first | 0)}-${formatAddress(this.#last | 0)}`;
      return `loadBalancerIP ${text} is not in the public range ${range}`;
    }
    const holder = this.#holders.get(address);
    const isOfNode = this.#nodeAddresses().has(address);
    const other = holder !== undefined && holder !== key ? holder : isOfNode && 'a node';
    return other ? `loadBalancerIP ${text} is that of ${other}` : address;
  }

  #nodeAddresses(): Set<number> {
    const found = new Set<number>();
    for (const { status } of this.cluster.store.list('nodes')) {
      for (const { type, address } of status?.addresses ?? []) {
        if (type === EXTERNAL_IP) found.add((parseAddress(address) ?? 0) >>> 0);
      }
    }
    return found;
  }

  /** The address of the range in a Service's status, unsigned. Null for none. */
  #addressOf({ status }: KubeObject): number | null {
    const ingress: Ingress[] = status?.loadBalancer?.ingress ?? [];
    for (const { ip } of ingress) {
      const address = (parseAddress(ip ?? '') ?? 0) >>> 0;
      if (address >= this.#first && address <= this.#last) return address;
    }
    return null;
  }

  /** Releases the address of a Service and wakes waiting Services. */
  #release(key: string): void {
    this.#waiting.delete(key);
    for (const [address, holder] of this.#holders) {
      if (holder !== key) continue;
      this.#holders.delete(address);
      for (const waiting of this.#waiting) this.queue.add(waiting);
    }
  }

  #write(service: KubeObject, ingress: Ingress[]): void {
    const loadBalancer = ingress.length > 0 ? { ingress } : {};
    this.cluster.writeStatus(service, { ...service.status, loadBalancer });
  }
}

function isOurs({ spec }: KubeObject): boolean {
  return spec.type === 'LoadBalancer' && !spec.loadBalancerClass;
}
