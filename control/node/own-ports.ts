// Ports of the node's own address that Services capture besides NodePorts, because the address is
// also an external or a load balancer address. Each range takes a rule for the node's own packets.
// The node's other ports belong to its sockets and are not steered.

import {
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  type FrontendEntry,
  type ImageChange,
} from '../../datapath/image/image.ts';
import { protoName } from '../../datapath/wire/ipv4.ts';

/** Ports of one protocol, inclusive. */
export interface PortRange {
  protocol: string;
  dports: [number, number];
}

/** Limit of such rules: the kernel checks each for every packet that the node sends. */
const RANGES_MAX = 64;
/** The kernel refuses port ranges that end here. */
const PORT_LAST = 65_535;

export class OwnPorts {
  readonly #address: number;
  /** Frontends by `PROTO/PORT`. */
  readonly #claims = new Map<string, number>();
  ranges: readonly PortRange[] = [];
  /** Ranges beyond the limit. The node itself does not reach Services on them. */
  left = 0;

  /** @param address the node's own, as int32. */
  constructor(address: number) {
    this.#address = address;
  }

  /** Takes an image change. Returns true if the ranges have changed. */
  take(change: ImageChange): boolean {
    for (const frontend of change.removeFrontends) this.#count(frontend, -1);
    for (const frontend of change.addFrontends) this.#count(frontend, 1);
    const all = rangesOf([...this.#claims.keys()]);
    const ranges = all.slice(0, RANGES_MAX);
    this.left = all.length - ranges.length;
    if (JSON.stringify(ranges) === JSON.stringify(this.ranges)) return false;
    this.ranges = ranges;
    return true;
  }

  #count({ address, port, proto, kind }: FrontendEntry, by: number): void {
    if (kind !== FRONTEND_EXTERNAL && kind !== FRONTEND_LOADBALANCER) return;
    if (address !== this.#address || port === PORT_LAST) return;
    const key = `${proto}/${port}`;
    const count = (this.#claims.get(key) ?? 0) + by;
    if (count > 0) this.#claims.set(key, count);
    else this.#claims.delete(key);
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
