// Routes by which the node itself reaches addresses that Services capture outside the Service
// range: external and load balancer ones. They lie in a table that only the node's own packets look
// at, so that a packet which comes back untranslated from the TUN can never be sent there again.
import {
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  type FrontendEntry,
  type ImageChange,
} from '../../datapath/image/image.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { TABLE_CAPTURED } from './rule.ts';

/** `ip -batch` lines around a publish: what goes is gone before, what comes is there after. */
export interface RouteChange {
  before: string[];
  after: string[];
}

export class CapturedRoutes {
  readonly #tun: string;
  readonly #nodeAddress: string;
  /** Frontends by address. */
  readonly #claims = new Map<number, number>();
  /**
   * Addresses of all nodes: they are reached as ever, for a route would take the nodes from each
   * other.
   */
  #nodes = new Set<number>();
  /** Destinations that have a route. */
  readonly #installed: Set<string>;

  /** @param installed destinations of the routes that a predecessor left in the table. */
  constructor(tun: string, nodeAddress: string, installed: Iterable<string>) {
    this.#tun = tun;
    this.#nodeAddress = nodeAddress;
    this.#installed = new Set(installed);
  }

  /** What an image change asks of the routes; they count as carried out. */
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

  /**
   * `ip -batch` lines from the destinations that are in the table to those that should be; the
   * latter first.
   */
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
