import {
  NODE_PORT_MAX,
  NODE_PORT_MIN,
  SNAT_PORT_MAX,
  SNAT_PORT_MIN,
} from '../compile/node-entry.ts';
import { applySteering, checkSteering, type Uplink } from '../node/apply.ts';
import { planNarrowSteering } from '../node/narrow.ts';
import type { PortRange } from '../node/own-ports.ts';
import { planSteering, type SteeringInput, type SteeringPlan } from '../node/steering.ts';
import type { Site } from './site.ts';

export interface SteererOptions {
  tun: string;
  uplink: Uplink;
  site: Site;
  /** Ports that the node's own sockets are given, inclusive. */
  ephemeralPorts: [number, number];
  narrow: boolean;
}

/** The steering of one node, which follows the ranges of the cluster's pods. */
export class Steerer {
  readonly #options: SteererOptions;
  #podRanges: string[];
  #ownPorts: readonly PortRange[] = [];
  #plan: SteeringPlan;

  constructor(options: SteererOptions) {
    this.#options = options;
    this.#podRanges = options.site.podRanges;
    this.#plan = this.#planFor(this.#podRanges);
  }

  /** Brings it about. Throws KubetunError KT_IP, KT_SYSCTL. */
  apply(): void {
    applySteering(this.#plan);
  }

  /** The pods of the cluster are in these ranges now; true if that is new. Throws as `apply` does. */
  follow(podRanges: string[]): boolean {
    if (podRanges.join() === this.#podRanges.join()) return false;
    this.#podRanges = podRanges;
    this.#plan = this.#planFor(podRanges);
    this.apply();
    return true;
  }

  /** Services capture these ports of the node's address now, beside NodePorts. Throws as `apply` does. */
  followOwnPorts(ownPorts: readonly PortRange[]): void {
    this.#ownPorts = ownPorts;
    this.#plan = this.#planFor(this.#podRanges);
    this.apply();
  }

  /** What of it is not in force; empty if all is well. */
  check(): string[] {
    return checkSteering(this.#plan, this.#options.tun);
  }

  #planFor(podRanges: string[]): SteeringPlan {
    const { tun, uplink, site, ephemeralPorts, narrow } = this.#options;
    const input: SteeringInput = {
      ...{ tun, podRanges, ephemeralPorts, ownPorts: this.#ownPorts },
      ...{ uplink: uplink.name, mtu: uplink.mtu },
      ...{ nodeAddress: site.address, serviceRange: site.serviceRange },
      nodePorts: [NODE_PORT_MIN, NODE_PORT_MAX],
      snatPorts: [SNAT_PORT_MIN, SNAT_PORT_MAX],
    };
    return narrow ? planNarrowSteering(input) : planSteering(input);
  }
}
