// The gateway of a cluster, derived from objects: public addresses, balancers, and its datapath.

import type { Arena } from '../../datapath/arena/arena.ts';
import { formatEnd } from '../../datapath/wire/address.ts';
import { Balancers, healthPortOf } from '../balancers/balancers.ts';
import type { HealthTarget } from '../balancers/health.ts';
import {
  type BackendRow,
  gatewayNode,
  gatewayRanges,
  readBackend,
  readBalancer,
} from '../balancers/rows.ts';
import { NODE_HEALTH_PORT } from '../health/health.ts';
import { objectKey, portKey, serviceKeyOf } from '../model/parse.ts';
import type { ServiceRow } from '../model/rows.ts';
import { readSlice } from '../model/slice.ts';
import { Tables } from '../model/tables.ts';
import type { Excluded } from './explanation.ts';
import { type ClusterObjects, fillArena } from './objects.ts';

/** Stands for the gateway's unknown address. No node has 0.0.0.0. */
const ADDRESS_UNKNOWN = 0;

export class GatewayView {
  readonly name: string;
  /** In the order of the Node objects. */
  readonly #backends: BackendRow[];
  readonly #balancers = new Map<string, ServiceRow>();

  constructor(name: string, { nodes, services }: ClusterObjects) {
    this.name = name;
    this.#backends = nodes.map(readBackend);
    for (const object of services) {
      const row = readBalancer(object);
      if (row) this.#balancers.set(row.key, row);
    }
  }

  /** True if a node or a balancer has a public address. */
  get isNeeded(): boolean {
    return this.#balancers.size > 0 || this.#backends.some((b) => b.publicAddresses.length > 0);
  }

  /** The node with this public address; null for none. */
  ownerOf(address: number): string | null {
    return this.#backends.find((b) => b.publicAddresses[0] === address)?.name ?? null;
  }

  /** A node that captures a load balancer's address; null if no balancer has it. */
  nodeFor(address: number): string | null {
    const has = (row: ServiceRow) => row.loadBalancerAddresses.includes(address);
    if (![...this.#balancers.values()].some(has)) return null;
    return this.#backends.find(({ out }) => out === null)?.name ?? null;
  }

  /**
   * Nodes that a balancer leaves out. `name` is `NS/NAME:PORT`; `eligible` holds `ADDRESS:PORT`.
   */
  excluded(name: string, eligible: ReadonlySet<string>): Excluded[] {
    const row = this.#balancers.get(serviceKeyOf(name));
    const port = row?.ports.find((p) => portKey(row.key, p) === name);
    if (!row || !port?.nodePort) return [];
    return this.#backends
      .filter(({ addresses }) => addresses.length > 0)
      .map((backend) => ({
        endpoint: formatEnd(backend.addresses[0]!, port.nodePort),
        why: `${backend.name} ${backend.out ?? whyUnhealthy(row)}`,
      }))
      .filter(({ endpoint }) => !eligible.has(endpoint));
  }
}

function whyUnhealthy(row: ServiceRow): string {
  return row.healthPort > 0 ? 'has no ready endpoint, policy Local' : 'fails its health check';
}

/** The arena of a gateway's datapath, without flows. */
export function compileGateway(
  name: string,
  objects: ClusterObjects,
  publicRange: string,
  seed: number,
): Arena {
  const tables = new Tables(name);
  tables.putNode(gatewayNode(name, ADDRESS_UNKNOWN));
  const slices = objects.slices.map(readSlice);
  const backends = objects.nodes.map(readBackend);
  const nodeAt = (address: number) => backends.find((b) => b.addresses[0] === address)?.name;
  // There is no agent to ask for health here. Endpoint placement comes from the API objects.
  const isHealthy = ({ address, port }: HealthTarget): boolean => {
    if (port === NODE_HEALTH_PORT) return true;
    const balancer = [...balancers.services.values()].find((row) => healthPortOf(row) === port);
    const own = slices.filter(({ serviceKey }) => serviceKey === balancer?.key);
    const node = nodeAt(address);
    return own.some((s) => s.endpoints.some((e) => e.ready && e.nodeName === node));
  };
  const balancers = new Balancers({ tables, onTargets: () => {}, isHealthy });
  for (const object of objects.services) {
    balancers.putService(objectKey(object.metadata), readBalancer(object));
  }
  for (const row of backends) balancers.putBackend(row);
  const ranges = gatewayRanges(publicRange, []);
  return fillArena(tables, ranges, objects.services.length + objects.nodes.length, seed)!;
}
