// Frontends outside of the Service range and the NodePorts. Addresses other than the node's own get
// routes. Ports of the node's own address get rules. Both apply to the node's own packets only: a
// packet that comes back untranslated from the TUN device cannot loop.
import {
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  type FrontendEntry,
  type ImageChange,
} from '../../datapath/image/image.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { protoName } from '../../datapath/wire/ipv4.ts';
import { TABLE_CAPTURED } from './rule.ts';

/** External and load balancer frontends of the image, counted by a key. */
class Claims<K> {
  readonly #keyOf: (frontend: FrontendEntry) => K | null;
  readonly #counts = new Map<K, number>();

  /** @param keyOf null leaves the frontend out. */
  constructor(keyOf: (frontend: FrontendEntry) => K | null) {
    this.#keyOf = keyOf;
  }

  /** Takes an image change; the keys that are claimed now. */
  take({ addFrontends, removeFrontends }: ImageChange): K[] {
    for (const frontend of removeFrontends) this.#count(frontend, -1);
    for (const frontend of addFrontends) this.#count(frontend, 1);
    return [...this.#counts.keys()];
  }

  #count(frontend: FrontendEntry, by: number): void {
    const { kind } = frontend;
    const key = this.#keyOf(frontend);
    if (key === null || (kind !== FRONTEND_EXTERNAL && kind !== FRONTEND_LOADBALANCER)) return;
    const count = (this.#counts.get(key) ?? 0) + by;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }
}

/** `ip -batch` lines around a publish: deletions before it, additions after it. */
export interface RouteChange {
  before: string[];
  after: string[];
}

export class CapturedRoutes {
  readonly #tun: string;
  readonly #nodeAddress: string;
  readonly #claims = new Claims(({ address }) => address);
  /** Addresses of all nodes, which get no route: it would cut the nodes off from each other. */
  #nodes = new Set<number>();
  /** Destinations that have a route. */
  #installed: ReadonlySet<string>;

  /** @param installed destinations of the routes that a predecessor left in the table. */
  constructor(tun: string, nodeAddress: string, installed: Iterable<string>) {
    this.#tun = tun;
    this.#nodeAddress = nodeAddress;
    this.#installed = new Set(installed);
  }

  /** Lines for an image change. Counts them as applied. */
  take(change: ImageChange): RouteChange {
    if (change.node) this.#nodes = new Set(change.node.nodeAddresses);
    const wanted = this.#claims.take(change).filter((address) => !this.#nodes.has(address));
    const before = this.#installed;
    this.#installed = new Set(wanted.map(formatAddress));
    return {
      before: this.#deleteLines(before, ` dev ${this.#tun}`),
      after: this.#addLines(before),
    };
  }

  /** `ip -batch` lines from the observed to the wanted destinations, additions first. */
  diff(observed: string[]): string[] {
    return [...this.#addLines(new Set(observed)), ...this.#deleteLines(observed, '')];
  }

  #deleteLines(observed: Iterable<string>, device: string): string[] {
    const stray = [...observed].filter((address) => !this.#installed.has(address));
    return stray.map((address) => `route del ${address}${device} table ${TABLE_CAPTURED}`);
  }

  #addLines(observed: ReadonlySet<string>): string[] {
    const to = `dev ${this.#tun} src ${this.#nodeAddress} table ${TABLE_CAPTURED}`;
    const missing = [...this.#installed].filter((address) => !observed.has(address));
    return missing.map((address) => `route replace ${address} ${to}`);
  }
}

/** Ports of one protocol, inclusive. */
export interface PortRange {
  protocol: string;
  dports: [number, number];
}

/** Limit of such rules: the kernel checks each for every packet that the node sends. */
const RANGES_MAX = 64;
/** The kernel refuses port ranges that end here. */
const PORT_LAST = 65_535;

/** Ports of the node's own address. Its other ports belong to its sockets and are not steered. */
export class OwnPorts {
  /** By `PROTO/PORT`. */
  readonly #claims: Claims<string>;
  ranges: readonly PortRange[] = [];
  /** Ranges beyond the limit. The node itself does not reach Services on them. */
  left = 0;

  /** @param own the node's address, as int32. */
  constructor(own: number) {
    this.#claims = new Claims(({ address, port, proto }) =>
      address !== own || port === PORT_LAST ? null : `${proto}/${port}`,
    );
  }

  /** Takes an image change. Returns true if the ranges have changed. */
  take(change: ImageChange): boolean {
    const all = rangesOf(this.#claims.take(change));
    const ranges = all.slice(0, RANGES_MAX);
    this.left = all.length - ranges.length;
    if (JSON.stringify(ranges) === JSON.stringify(this.ranges)) return false;
    this.ranges = ranges;
    return true;
  }
}

/** Joins neighbouring ports. */
function rangesOf(keys: string[]): PortRange[] {
  const pairs = keys.map((key) => key.split('/').map(Number) as [number, number]);
  const ranges: PortRange[] = [];
  for (const [proto, port] of pairs.sort(([a, p], [b, q]) => a - b || p - q)) {
    const protocol = protoName(proto);
    const last = ranges.at(-1);
    if (last?.protocol === protocol && last.dports[1] === port - 1) last.dports[1] = port;
    else ranges.push({ protocol, dports: [port, port] });
  }
  return ranges;
}
