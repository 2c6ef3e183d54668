// Routes of the node's own packets to external and load balancer addresses of Services. Only the
// node's own packets look up their table, so a packet that comes back untranslated from the TUN
// device cannot loop.
import {
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  type FrontendEntry,
  type ImageChange,
} from '../../datapath/image/image.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { TABLE_CAPTURED } from './rule.ts';

/** `ip -batch` lines around a publish: deletions before it, additions after it. */
export interface RouteChange {
  before: string[];
  after: string[];
}

export class CapturedRoutes {
  readonly #tun: string;
  readonly #nodeAddress: string;
  /** Frontends by address. */
  readonly #claims = new Map<number, number>();
  /** Addresses of all nodes, which get no route: it would cut the nodes off from each other. */
  #nodes = new Set<number>();
  /** Destinations that have a route. */
  readonly #installed: Set<string>;

  /** @param installed destinations of the routes that a predecessor left in the table. */
  constructor(tun: string, nodeAddress: string, installed: Iterable<string>) {
    this.#tun = tun;
    this.#nodeAddress = nodeAddress;
    this.#installed = new Set(installed);
  }

  /** Lines for an image change. Counts them as applied. */
  take(change: ImageChange): RouteChange {
    for (const frontend of change.removeFrontends) this.#count(frontend, -1);
    for (const frontend of change.addFrontends) this.#count(frontend, 1);
    if (change.node) this.#nodes = new Set(change.node.nodeAddresses);
    const wanted = new Set<string>();
    for (const address of this.#claims.keys()) {
      if (!this.#nodes.has(address)) wanted.add(formatAddress(address));
    }
    const gone = [...this.#installed].filter((address) => !wanted.has(address));
    const fresh = [...wanted].filter((address) => !this.#installed.has(address));
    for (const address of gone) this.#installed.delete(address);
    for (const address of fresh) this.#installed.add(address);
    return {
      before: gone.map((address) => this.#deleteLine(address)),
      after: fresh.map((address) => this.#replaceLine(address)),
    };
  }

  /** `ip -batch` lines from the observed to the wanted destinations, additions first. */
  diff(observed: string[]): string[] {
    const have = new Set(observed);
    const missing = [...this.#installed].filter((address) => !have.has(address));
    const stray = observed.filter((address) => !this.#installed.has(address));
    return [
      ...missing.map((address) => this.#replaceLine(address)),
      ...stray.map((address) => `route del ${address} table ${TABLE_CAPTURED}`),
    ];
  }

  #deleteLine(address: string): string {
    return `route del ${address} dev ${this.#tun} table ${TABLE_CAPTURED}`;
  }

  #replaceLine(address: string): string {
    const to = `dev ${this.#tun} src ${this.#nodeAddress} table ${TABLE_CAPTURED}`;
    return `route replace ${address} ${to}`;
  }

  #count({ address, kind }: FrontendEntry, by: number): void {
    if (kind !== FRONTEND_EXTERNAL && kind !== FRONTEND_LOADBALANCER) return;
    const count = (this.#claims.get(address) ?? 0) + by;
    if (count > 0) this.#claims.set(address, count);
    else this.#claims.delete(address);
  }
}
