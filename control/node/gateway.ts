// Steering of a gateway: all packets that it forwards pass its TUN device. Local delivery comes
// first, ARP lookups included, so rules need no protocol.
import { readRoutes } from './ip.ts';
import { MAIN, PREF_LOCAL_FIRST, STEER } from './rule.ts';
import { deviceLines, type SteeringInput, type SteeringPlan, tunSysctls } from './steering.ts';

/** The uplink leads to the nodes. */
export interface GatewaySteeringInput extends Pick<SteeringInput, 'tun' | 'uplink' | 'mtu'> {
  /** The gateway's own address towards the nodes. */
  address: string;
  /** The range of the nodes. */
  fabricRange: string;
  publicRange: string;
}

/** Plans a gateway in a network namespace with one device inside and one outside. */
export function planGatewaySteering(input: GatewaySteeringInput): SteeringPlan {
  const { tun, uplink, mtu, address, fabricRange, publicRange } = input;
  return {
    setup: deviceLines(tun, mtu, address),
    rules: [
      { pref: 1, iif: tun, action: MAIN },
      // The kernel's ICMP errors quote translated packets: to nodes by their public addresses, and
      // to anyone outside.
      { pref: 2, iif: 'lo', to: publicRange, action: STEER },
      { pref: 3, iif: 'lo', to: fabricRange, action: MAIN },
      { pref: 4, iif: 'lo', protocol: 'icmp', action: STEER },
      { pref: 5, iif: 'lo', action: MAIN },
      // An inside source address is valid only on the inside device.
      { pref: 6, from: fabricRange, iif: uplink, action: STEER },
      { pref: 7, from: fabricRange, action: 'blackhole' },
      { pref: 8, action: STEER },
    ],
    localPref: PREF_LOCAL_FIRST,
    // A connection stays on one node if a load balancer's address has several.
    sysctls: [...tunSysctls(tun), ['fib_multipath_hash_policy', '1']],
  };
}

export class BalancerRoutes {
  /** Address -> the `ip -batch` line of its route. */
  #wanted: ReadonlyMap<string, string>;

  /** @param observed routes of an earlier agent, from `readBalancerRoutes`. */
  constructor(observed: ReadonlyMap<string, string>) {
    this.#wanted = observed;
  }

  /**
   * `ip -batch` lines that route these addresses to these nodes, and no others. Counts them as
   * applied.
   */
  take(wanted: ReadonlyMap<string, string[]>): string[] {
    const before = this.#wanted;
    this.#wanted = new Map(
      [...wanted].map(([address, nodes]) => [address, routeLine(address, nodes)]),
    );
    return this.diff(before);
  }

  /** `ip -batch` lines from the observed routes to the wanted ones. */
  diff(observed: ReadonlyMap<string, string>): string[] {
    const wanted = this.#wanted;
    const stray = [...observed.keys()].filter((address) => !wanted.has(address));
    return [
      ...[...wanted].filter(([a, line]) => observed.get(a) !== line).map(([, line]) => line),
      ...stray.map((address) => `route del ${address}/32`),
    ];
  }
}

/** Routes of the main table to addresses of a range: address -> the line that creates it. */
export function readBalancerRoutes(range: string): Map<string, string> {
  return new Map(
    readRoutes('root', range).map(({ dst, gateway, nexthops = [] }) => {
      const nodes = [gateway, ...nexthops.map((hop) => hop.gateway)];
      return [
        dst,
        routeLine(
          dst,
          nodes.filter((node) => node !== undefined),
        ),
      ];
    }),
  );
}

function routeLine(address: string, nodes: string[]): string {
  if (nodes.length === 0) return `route replace unreachable ${address}/32`;
  if (nodes.length === 1) return `route replace ${address}/32 via ${nodes[0]}`;
  return `route replace ${address}/32 ${nodes.map((node) => `nexthop via ${node}`).join(' ')}`;
}
