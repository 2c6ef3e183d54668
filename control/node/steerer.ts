import { parseAddress, parseRange } from '../../datapath/wire/address.ts';
import type { AgentOptions } from '../agent-options.ts';
import {
  NODE_PORT_MAX,
  NODE_PORT_MIN,
  SNAT_PORT_MAX,
  SNAT_PORT_MIN,
} from '../compile/node-entry.ts';
import {
  applySteering,
  diffSteering,
  diffSysctls,
  missingAddress,
  observeSteering,
  type Uplink,
} from './apply.ts';
import type { PortRange } from './captured.ts';
import { planNarrowSteering } from './narrow.ts';
import type { Part } from './reconcile.ts';
import type { Site } from './site.ts';
import {
  type ApiEndpoint,
  planSteering,
  type SteeringInput,
  type SteeringPlan,
} from './steering.ts';

export interface SteererOptions extends Pick<AgentOptions, 'tun' | 'spoofed' | 'narrow'> {
  uplink: Uplink;
  site: Site;
  /** Ephemeral ports of the node's own sockets, inclusive. */
  ephemeralPorts: [number, number];
  /** URL of the API server. */
  server: string;
}

/**
 * Address of the API server. Undefined for a Service's address, which only the datapath routes, and
 * for a name.
 */
export function apiEndpoint(server: string, serviceRange: string): ApiEndpoint | undefined {
  const { hostname, port, protocol } = new URL(server);
  const address = parseAddress(hostname);
  const range = parseRange(serviceRange)!;
  if (address === null || (address & range.mask) === range.address) return undefined;
  return { address: hostname, port: Number(port) || (protocol === 'http:' ? 80 : 443) };
}

/** Pod ranges of the cluster and of this node, always in the same order. */
export type PodRanges = Pick<Site, 'podRanges' | 'ownPodRanges'>;

/** The steering of one node. It follows changes of the pod ranges. */
export class Steerer implements Part {
  readonly #options: SteererOptions;
  #ranges: PodRanges;
  #ownPorts: readonly PortRange[] = [];
  #mtu: number;

  constructor(options: SteererOptions) {
    this.#options = options;
    this.#mtu = options.uplink.mtu;
    const { podRanges, ownPodRanges } = options.site;
    this.#ranges = { podRanges, ownPodRanges };
  }

  /** Applies the plan. Throws KubetunError KT_IP, KT_SYSCTL. */
  mend(): void {
    applySteering(this.#plan, this.#options.tun);
  }

  /** Sets the pod ranges. True if they differ. Throws as `mend` does. */
  follow(ranges: PodRanges): boolean {
    if (JSON.stringify(ranges) === JSON.stringify(this.#ranges)) return false;
    this.#ranges = ranges;
    this.mend();
    return true;
  }

  /**
   * Sets the ports of the node's address that Services capture, without NodePorts. Throws as `mend`
   * does.
   */
  followOwnPorts(ownPorts: readonly PortRange[]): void {
    this.#ownPorts = ownPorts;
    this.mend();
  }

  /** Differences from the plan; empty for none. The device's MTU follows that of the uplink. */
  missing(): string[] {
    const { tun, uplink, site } = this.#options;
    const observed = observeSteering(tun);
    const mtu = observed.links.find(({ ifname }) => ifname === uplink.name)?.mtu;
    this.#mtu = mtu ?? this.#mtu;
    return [...diffSteering(this.#plan, observed), ...missingAddress(site.address, observed.links)];
  }

  missingSilently(): string[] {
    return diffSysctls(this.#plan);
  }

  /**
   * An address that no pod has and that the datapath serves to the node's own packets: the first of
   * a range.
   */
  probeAddress(): string {
    const range = this.#ranges.podRanges[0] ?? this.#options.site.serviceRange;
    return range.split('/')[0]!;
  }

  get #plan(): SteeringPlan {
    const { tun, spoofed, uplink, site, ephemeralPorts, narrow, server } = this.#options;
    const api = apiEndpoint(server, site.serviceRange);
    const input: SteeringInput = {
      ...(api && { api }),
      ...{ tun, ...this.#ranges, ephemeralPorts, ownPorts: this.#ownPorts },
      ...{ uplink: uplink.name, mtu: this.#mtu },
      ...{ nodeAddress: site.address, serviceRange: site.serviceRange },
      nodePorts: [NODE_PORT_MIN, NODE_PORT_MAX],
      snatPorts: [SNAT_PORT_MIN, SNAT_PORT_MAX],
    };
    const plan = narrow ? planNarrowSteering(input) : planSteering(input);
    return spoofed ? { ...plan, setup: [...plan.setup, `link set dev ${spoofed} up`] } : plan;
  }
}
