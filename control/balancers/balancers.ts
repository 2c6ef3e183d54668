// Turns load balancers and the nodes behind them into the tables of a node's compiler. A backend
// becomes an endpoint of a slice.

import { formatAddress } from '../../datapath/wire/address.ts';
import { NODE_HEALTH_PORT } from '../health/health.ts';
import { serviceKeyOf } from '../model/parse.ts';
import type { EndpointRow, ServicePortRow, ServiceRow, SliceRow } from '../model/rows.ts';
import type { Tables } from '../model/tables.ts';
import type { HealthTarget } from './health.ts';
import type { BackendRow } from './rows.ts';

/**
 * Port of a Service's health check. With policy Local it shows whether a node has endpoints, else
 * whether the node forwards.
 */
export function healthPortOf(balancer: ServiceRow): number {
  return balancer.healthPort || NODE_HEALTH_PORT;
}

/** A copy of the Service with the balancer's addresses only: the gateway captures no others. */
export function balancerService(row: ServiceRow): ServiceRow {
  return {
    ...row,
    clusterAddresses: [],
    externalAddresses: [],
    ports: row.ports.map((port) => ({ ...port, nodePort: 0 })),
    internalLocal: false,
    // The client's address stays. The nodes masquerade by their own traffic policy.
    externalLocal: true,
    healthPort: 0,
  };
}

/**
 * The targets of a balancer. A port without NodePort keeps the balancer's address, which every node
 * captures.
 * @param gateway the name of the node that is compiled for.
 */
export function balancerSlices(
  row: ServiceRow,
  backends: BackendRow[],
  gateway: string,
): [nodes: SliceRow, itself: SliceRow] {
  const slice = (of: string, ports: ServicePortRow[], addresses: number[]): SliceRow => ({
    key: `${row.key} ${of}`,
    serviceKey: row.key,
    ports: ports.map(({ name, number, proto, nodePort }) => ({
      ...{ name, proto },
      number: nodePort || number,
    })),
    endpoints: addresses.map((address) => endpoint(address, gateway)),
  });
  const nodePorts = row.ports.filter(({ nodePort }) => nodePort !== 0);
  const own = row.ports.filter(({ nodePort }) => nodePort === 0);
  const itself = backends.length > 0 ? row.loadBalancerAddresses : [];
  const nodes = backends.map(({ addresses }) => addresses[0]!);
  return [slice('nodes', nodePorts, nodes), slice('itself', own, itself)];
}

function endpoint(address: number, nodeName: string): EndpointRow {
  const conditions = { ready: true, serving: true, terminating: false };
  return { address, nodeName, ...conditions, hintZones: [], hintNodes: [] };
}

export interface BalancersOptions {
  tables: Tables;
  /** The set of health check targets has changed. */
  onTargets: (targets: HealthTarget[]) => void;
  isHealthy: (target: HealthTarget) => boolean;
}

/** Updates the gateway's tables from Nodes, Services and health. */
export class Balancers {
  readonly services = new Map<string, ServiceRow>();
  readonly #backends = new Map<string, BackendRow>();
  readonly #slices = new Map<string, [SliceRow, SliceRow]>();
  readonly #options: BalancersOptions;

  constructor(options: BalancersOptions) {
    this.#options = options;
  }

  putBackend(row: BackendRow): void {
    this.#backends.set(row.name, row);
    this.#options.tables.putNode(row);
    this.#backendsChanged();
  }

  deleteBackend(row: BackendRow): void {
    this.#backends.delete(row.name);
    this.#options.tables.deleteNode(row);
    this.#backendsChanged();
  }

  putService(key: string, row: ServiceRow | null): void {
    const { tables } = this.#options;
    const before = this.services.get(key);
    if (row) {
      this.services.set(key, row);
      tables.putService(balancerService(row));
    } else if (before) {
      this.services.delete(key);
      tables.deleteService(before);
    }
    if (row || before) this.#backendsChanged(key);
  }

  /** The health of a target has changed. */
  healthChanged(): void {
    for (const key of this.services.keys()) this.#placeSlices(key);
  }

  /** Nodes that a balancer sends to, by name. */
  backendsOf(row: ServiceRow): BackendRow[] {
    const port = healthPortOf(row);
    return this.#members().filter(({ addresses }) =>
      this.#options.isHealthy({ address: addresses[0]!, port }),
    );
  }

  /** True for a port, `NS/NAME:PORT`, of a Service with externalTrafficPolicy Local. */
  isLocal(port: string): boolean {
    return this.services.get(serviceKeyOf(port))?.externalLocal ?? false;
  }

  /** Addresses that nodes capture -> nodes that get the traffic. Empty without such a node. */
  routes(): Map<string, string[]> {
    const routes = new Map<string, Set<string>>();
    for (const row of this.services.values()) {
      if (row.ports.every(({ nodePort }) => nodePort !== 0)) continue;
      const nodes = this.backendsOf(row).map(({ addresses }) => formatAddress(addresses[0]!));
      for (const address of row.loadBalancerAddresses.map(formatAddress)) {
        routes.set(address, new Set([...(routes.get(address) ?? []), ...nodes]));
      }
    }
    return new Map([...routes].map(([address, nodes]) => [address, [...nodes].sort()]));
  }

  #members(): BackendRow[] {
    const rows = [...this.#backends.values()].filter(({ out }) => out === null);
    return rows.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #backendsChanged(key?: string): void {
    this.#options.onTargets(this.#targets());
    if (key !== undefined) this.#placeSlices(key);
    else this.healthChanged();
  }

  /** The health check targets: every member, for every port that a balancer depends on. */
  #targets(): HealthTarget[] {
    // Nodes are checked before the first balancer exists, so that it need not wait.
    const ports = new Set([NODE_HEALTH_PORT, ...[...this.services.values()].map(healthPortOf)]);
    return this.#members().flatMap(({ addresses }) =>
      [...ports].map((port) => ({ address: addresses[0]!, port })),
    );
  }

  #placeSlices(key: string): void {
    const { tables } = this.#options;
    const row = this.services.get(key);
    const before = this.#slices.get(key);
    const now = row && balancerSlices(row, this.backendsOf(row), tables.nodeName);
    if (JSON.stringify(before) === JSON.stringify(now)) return;
    for (const slice of before ?? []) tables.deleteSlice(slice);
    for (const slice of now ?? []) tables.putSlice(slice, null);
    if (now) this.#slices.set(key, now);
    else this.#slices.delete(key);
  }
}
