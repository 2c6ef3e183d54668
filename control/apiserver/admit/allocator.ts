// Allocates ClusterIPs and node ports to Services.
import { formatAddress, parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { type KubeObject, keyOf } from '../../kube/object.ts';
import { type FieldError, invalid, StatusError, wrong } from '../status.ts';

const SERVICES = { plural: 'services', group: '', kind: 'Service' };
/** Size of the band of node ports for manual choice. Dynamic ports start above it (KEP-3668). */
const NODE_PORT_STATIC = 86;
const PROVIDED = 'provided port is already allocated';
const OUT_OF_RANGE = 'provided port is not in the valid range. The range of valid ports is';

export interface AllocatorRanges {
  /** Such as 10.96.0.0/16. */
  serviceRange: string;
  nodePortMin: number;
  nodePortMax: number;
}

/** The allocated fields of a Service's spec. */
interface Spec {
  type?: string;
  clusterIP?: string;
  clusterIPs?: string[];
  allocateLoadBalancerNodePorts?: boolean;
  externalTrafficPolicy?: string;
  healthCheckNodePort?: number;
  ports?: { port: number; protocol: string; nodePort?: number }[];
}

/**
 * Allocates and releases addresses and ports of Services. It records the holder of each, so a
 * repeated call changes nothing.
 */
export class Allocator {
  readonly #base: number;
  readonly #size: number;
  readonly #ranges: AllocatorRanges;
  /** Offset in the Service range -> `namespace/name`. */
  readonly #addresses = new Map<number, string>();
  /** `TCP/30080` -> `namespace/name`. */
  readonly #ports = new Map<string, string>();
  #nextAddress: number;
  #nextPort: number;

  constructor(ranges: AllocatorRanges) {
    const range = parseRange(ranges.serviceRange)!;
    this.#ranges = ranges;
    this.#base = range.address;
    this.#size = (~range.mask >>> 0) + 1;
    this.#nextAddress = this.#firstDynamic();
    this.#nextPort = this.#firstDynamicPort();
  }

  /**
   * Fills in clusterIP, nodePorts and healthCheckNodePort of a Service and keeps those that it has.
   * Throws StatusError Invalid, or InternalError when the range is full.
   */
  allocateService(object: KubeObject, old: KubeObject | undefined): void {
    const holder = keyOf(object);
    const spec = object.spec as Spec;
    const taken: (() => void)[] = [this.mark()];
    try {
      this.#allocateAddress(object, spec, holder, taken);
      // A health check port that the client names must not go to another port.
      const isNamed = Boolean(spec.healthCheckNodePort);
      if (isNamed) this.#allocateHealthPort(object, spec, taken);
      this.#allocatePorts(object, spec, holder, taken);
      if (!isNamed) this.#allocateHealthPort(object, spec, taken);
    } catch (error) {
      for (const giveBack of taken) giveBack();
      throw error;
    }
    if (old) this.#releaseRest(old.spec as Spec, spec, object);
  }

  /** Remembers the next address and port. The result restores them. */
  mark(): () => void {
    const [address, port] = [this.#nextAddress, this.#nextPort];
    return () => {
      this.#nextAddress = address;
      this.#nextPort = port;
    };
  }

  /** Releases everything that a Service holds. */
  releaseService(object: KubeObject): void {
    this.#releaseRest(object.spec as Spec, {}, object);
  }

  #allocateAddress(object: KubeObject, spec: Spec, holder: string, taken: (() => void)[]): void {
    if (spec.type === 'ExternalName' || spec.clusterIP === 'None') return;
    const wanted = spec.clusterIP ? this.#offsetOf(object, spec.clusterIP) : this.#freeAddress();
    const has = this.#addresses.get(wanted);
    if (has !== undefined && has !== holder) {
      const detail = `failed to allocate IP ${spec.clusterIP}: provided IP is already allocated`;
      throw refuse(object, [wrong('spec.clusterIPs', [spec.clusterIP], detail)]);
    }
    if (has === undefined) {
      this.#addresses.set(wanted, holder);
      taken.push(() => this.#addresses.delete(wanted));
    }
    spec.clusterIP = formatAddress((this.#base + wanted) | 0);
    spec.clusterIPs = [spec.clusterIP];
  }

  #offsetOf(object: KubeObject, address: string): number {
    const offset = (parseAddress(address)! - this.#base) >>> 0;
    if (offset > 0 && offset < this.#size - 1) return offset;
    const detail =
      `failed to allocate IP ${address}: the provided IP (${address}) is not in the valid ` +
      `range. The range of valid IPs is ${this.#ranges.serviceRange}`;
    throw refuse(object, [wrong('spec.clusterIPs', [address], detail)]);
  }

  /**
   * Prefers addresses above the band for manual choice, and uses the band when all others are
   * taken.
   */
  #freeAddress(): number {
    const first = this.#firstDynamic();
    const range = { min: 1, first, max: this.#size - 2, next: this.#nextAddress };
    const offset = findFree(range, (at) => this.#addresses.has(at));
    if (offset === null) throw full('serviceIP');
    if (offset >= first) this.#nextAddress = offset + 1;
    return offset;
  }

  #allocatePorts(object: KubeObject, spec: Spec, holder: string, taken: (() => void)[]): void {
    if (spec.type !== 'NodePort' && spec.type !== 'LoadBalancer') return;
    const draws = spec.type === 'NodePort' || spec.allocateLoadBalancerNodePorts !== false;
    const ports = spec.ports ?? [];
    const take = (i: number) =>
      this.#takePort(object, `spec.ports[${i}].nodePort`, ports[i]!, holder, taken);
    // Ports that the client names come first, so that no other port gets them.
    for (const [i, port] of ports.entries()) if (port.nodePort) take(i);
    for (const [i, port] of ports.entries()) {
      if (port.nodePort || !draws) continue;
      // One number can serve several protocols of a Service.
      port.nodePort = this.#sisterPort(ports, port) ?? this.#freePort(port.protocol);
      take(i);
    }
  }

  /**
   * Load balancers ask each node on this port whether it has endpoints. Source: k8s
   * pkg/registry/core/service/storage/alloc.go.
   */
  #allocateHealthPort(object: KubeObject, spec: Spec, taken: (() => void)[]): void {
    if (spec.type !== 'LoadBalancer' || spec.externalTrafficPolicy !== 'Local') return;
    spec.healthCheckNodePort ||= this.#freePort('TCP');
    const port = { protocol: 'TCP', nodePort: spec.healthCheckNodePort };
    this.#takePort(object, 'spec.healthCheckNodePort', port, healthHolderOf(object), taken);
  }

  #takePort(
    object: KubeObject,
    field: string,
    port: { protocol: string; nodePort?: number },
    holder: string,
    taken: (() => void)[],
  ): void {
    const { nodePortMin, nodePortMax } = this.#ranges;
    const number = port.nodePort!;
    if (number < nodePortMin || number > nodePortMax) {
      const detail = `${OUT_OF_RANGE} ${nodePortMin}-${nodePortMax}`;
      throw refuse(object, [wrong(field, number, detail)]);
    }
    const key = `${port.protocol}/${number}`;
    const has = this.#ports.get(key);
    if (has !== undefined && has !== holder) throw refuse(object, [wrong(field, number, PROVIDED)]);
    if (has !== undefined) return;
    this.#ports.set(key, holder);
    taken.push(() => this.#ports.delete(key));
  }

  /** The node port of the same port on another protocol, if it is free for this protocol. */
  #sisterPort(
    ports: NonNullable<Spec['ports']>,
    own: { port: number; protocol: string },
  ): number | undefined {
    const sister = ports.find((p) => p.port === own.port && p.nodePort);
    const free = sister && !this.#ports.has(`${own.protocol}/${sister.nodePort}`);
    return free ? sister.nodePort : undefined;
  }

  #freePort(protocol: string): number {
    const { nodePortMin: min, nodePortMax: max } = this.#ranges;
    const first = this.#firstDynamicPort();
    const range = { min, first, max, next: this.#nextPort };
    const port = findFree(range, (at) => this.#ports.has(`${protocol}/${at}`));
    if (port === null) throw full('nodePort');
    if (port >= first) this.#nextPort = port + 1;
    return port;
  }

  /** Releases what a Service no longer holds. */
  #releaseRest(old: Spec, now: Spec, object: KubeObject): void {
    const holder = keyOf(object);
    const health = `TCP/${old.healthCheckNodePort}`;
    const isLeft = old.healthCheckNodePort !== now.healthCheckNodePort;
    if (isLeft && this.#ports.get(health) === healthHolderOf(object)) this.#ports.delete(health);
    if (old.clusterIP && old.clusterIP !== 'None' && old.clusterIP !== now.clusterIP) {
      const offset = (parseAddress(old.clusterIP)! - this.#base) >>> 0;
      if (this.#addresses.get(offset) === holder) this.#addresses.delete(offset);
    }
    const keys = new Set(now.ports?.map((p) => `${p.protocol}/${p.nodePort}`));
    for (const { protocol, nodePort } of old.ports ?? []) {
      const key = `${protocol}/${nodePort}`;
      if (nodePort && !keys.has(key) && this.#ports.get(key) === holder) this.#ports.delete(key);
    }
  }

  /** min(max(16, size/16), 256). Source: k8s pkg/registry/core/service/ipallocator. */
  #firstDynamic(): number {
    return Math.min(Math.max(16, Math.floor(this.#size / 16)), 256);
  }

  #firstDynamicPort(): number {
    const { nodePortMin, nodePortMax } = this.#ranges;
    return Math.min(nodePortMin + NODE_PORT_STATIC, nodePortMax);
  }
}

/**
 * The next free number of a range, from `next` on, then one below `first`. Null if all are taken.
 */
function findFree(
  { min, first, max, next }: { min: number; first: number; max: number; next: number },
  isTaken: (number: number) => boolean,
): number | null {
  const count = max - first + 1;
  for (let i = 0; i < count; i++) {
    const number = first + ((next - first + i) % count);
    if (!isTaken(number)) return number;
  }
  for (let number = min; number < first; number++) if (!isTaken(number)) return number;
  return null;
}

function full(what: string): StatusError {
  const message = `Internal error occurred: failed to allocate a ${what}: range is full`;
  return new StatusError(500, 'InternalError', message);
}

/** Another holder than the Service: its node ports must not share the port. */
function healthHolderOf(object: KubeObject): string {
  return `${keyOf(object)} health`;
}

function refuse(object: KubeObject, errors: FieldError[]): StatusError {
  return invalid(SERVICES, object.metadata.name, errors);
}
