import { parseAddress, parseRange } from '../../datapath/wire/address.ts';
import {
  NODE_PORT_MAX,
  NODE_PORT_MIN,
  SNAT_PORT_MAX,
  SNAT_PORT_MIN,
} from '../compile/node-entry.ts';
import {
  applySteering,
  diffSteering,
  missingAddress,
  observeSteering,
  type Uplink,
} from '../node/apply.ts';
import { planNarrowSteering } from '../node/narrow.ts';
import type { PortRange } from '../node/own-ports.ts';
import type { Part } from '../node/reconcile.ts';
import {
  type ApiEndpoint,
  planSteering,
  type SteeringInput,
  type SteeringPlan,
} from '../node/steering.ts';
import type { Site } from './site.ts';

export interface SteererOptions {
  tun: string;
  /** The device for packets of pods whose source is not theirs; null without one. */
  spoofed: string | null;
  uplink: Uplink;
  site: Site;
  /** Ports that the node's own sockets are given, inclusive. */
  ephemeralPorts: [number, number];
  narrow: boolean;
  /** URL of the API server. */
  server: string;
}

/**
 * Where the API server is; undefined for a Service's address, which only the datapath leads on, or
 * a name.
 */
export function apiEndpoint(server: string, serviceRange: string): ApiEndpoint | undefined {
  const { hostname, port, protocol } = new URL(server);
  const address = parseAddress(hostname);
  const range = parseRange(serviceRange)!;
  if (address === null || (address & range.mask) === range.address) return undefined;
  return { address: hostname, port: Number(port) || (protocol === 'http:' ? 80 : 443) };
}

/** Where the pods of the cluster are, and those of this node; the same order each time. */
export type PodRanges = Pick<Site, 'podRanges' | 'ownPodRanges'>;

/** The steering of one node, which follows the ranges of the cluster's pods. */
export class Steerer implements Part {
  readonly #options: SteererOptions;
  #ranges: PodRanges;
  #ownPorts: readonly PortRange[] = [];
  #plan: SteeringPlan;
  #mtu: number;

  constructor(options: SteererOptions) {
    this.#options = options;
    this.#mtu = options.uplink.mtu;
    const { podRanges, ownPodRanges } = options.site;
    this.#ranges = { podRanges, ownPodRanges };
    this.#plan = this.#planNow();
  }

  /** Brings it about. Throws KubetunError KT_IP, KT_SYSCTL. */
  mend(): void {
    applySteering(this.#plan, this.#options.tun);
  }

  /** Pods are in these ranges now; true if that is new. Throws as `mend` does. */
  follow(ranges: PodRanges): boolean {
    if (JSON.stringify(ranges) === JSON.stringify(this.#ranges)) return false;
    this.#ranges = ranges;
    this.#plan = this.#planNow();
    this.mend();
    return true;
  }

  /**
   * Services capture these ports of the node's address now, beside NodePorts. Throws as `mend`
   * does.
   */
  followOwnPorts(ownPorts: readonly PortRange[]): void {
    this.#ownPorts = ownPorts;
    this.#plan = this.#planNow();
    this.mend();
  }

  /**
   * What of it is not in force; empty if all is well. The device's MTU follows that of the uplink.
   */
  missing(): string[] {
    const { tun, uplink, site } = this.#options;
    const observed = observeSteering(tun);
    const mtu = observed.links.find(({ ifname }) => ifname === uplink.name)?.mtu;
    if (mtu !== undefined && mtu !== this.#mtu) {
      this.#mtu = mtu;
      this.#plan = this.#planNow();
    }
    return [...diffSteering(this.#plan, observed), ...missingAddress(site.address, observed.links)];
  }

  /**
   * An address that the node's own packets reach through the datapath, and that no pod has: the
   * first of a range.
   */
  probeAddress(): string {
    const range = this.#ranges.podRanges[0] ?? this.#options.site.serviceRange;
    return range.split('/')[0]!;
  }

  #planNow(): SteeringPlan {
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
