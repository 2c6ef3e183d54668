import { PolicyTables } from './policy-tables.ts';
import type { NodeRow, ServiceRow, SliceRow } from './rows.ts';

/** Changes since the last compile. */
export interface Changes {
  /** Keys of changed and deleted Services. */
  services: Set<string>;
  /** True if any Node has changed. */
  nodes: boolean;
}

const NO_SLICES: ReadonlyMap<string, SliceRow> = new Map();

/** The cluster that the agent knows, with a record of changes. */
export class Tables {
  readonly services = new Map<string, ServiceRow>();
  readonly nodes = new Map<string, NodeRow>();
  localAddresses: readonly number[] = [];
  /** Service key -> healthCheckNodePort, of those that have one. */
  readonly healthPorts = new Map<string, number>();
  /** Service key -> slice key -> row. */
  readonly #slices = new Map<string, Map<string, SliceRow>>();
  readonly nodeName: string;
  readonly policy = new PolicyTables();
  #changes: Changes = { services: new Set(), nodes: false };

  /** @param nodeName the agent's node. */
  constructor(nodeName: string) {
    this.nodeName = nodeName;
  }

  slicesOf(serviceKey: string): ReadonlyMap<string, SliceRow> {
    return this.#slices.get(serviceKey) ?? NO_SLICES;
  }

  putService(row: ServiceRow): void {
    this.services.set(row.key, row);
    if (row.healthPort > 0) this.healthPorts.set(row.key, row.healthPort);
    else this.healthPorts.delete(row.key);
    this.#changes.services.add(row.key);
  }

  deleteService(row: ServiceRow): void {
    this.services.delete(row.key);
    this.healthPorts.delete(row.key);
    this.#changes.services.add(row.key);
  }

  /** @param before the earlier row of the slice, perhaps of another Service. */
  putSlice(row: SliceRow, before: SliceRow | null): void {
    if (before && before.serviceKey !== row.serviceKey) this.deleteSlice(before);
    if (row.serviceKey === '') return;
    const slices = this.#slices.get(row.serviceKey) ?? new Map<string, SliceRow>();
    slices.set(row.key, row);
    this.#slices.set(row.serviceKey, slices);
    this.#changes.services.add(row.serviceKey);
  }

  deleteSlice(row: SliceRow): void {
    const slices = this.#slices.get(row.serviceKey);
    if (!slices?.delete(row.key)) return;
    if (slices.size === 0) this.#slices.delete(row.serviceKey);
    this.#changes.services.add(row.serviceKey);
  }

  putNode(row: NodeRow): void {
    const before = this.nodes.get(row.name);
    if (before && JSON.stringify(before) === JSON.stringify(row)) return; // Heartbeats.
    this.nodes.set(row.name, row);
    this.#nodeChanged(row.name);
  }

  deleteNode(row: NodeRow): void {
    if (this.nodes.delete(row.name)) this.#nodeChanged(row.name);
  }

  /** Addresses of this node's interfaces, as int32. */
  putLocalAddresses(addresses: number[]): void {
    const sorted = [...new Set(addresses)].sort((a, b) => a - b);
    if (sorted.join() === this.localAddresses.join()) return;
    this.localAddresses = sorted;
    this.#changes.nodes = true;
  }

  #nodeChanged(name: string): void {
    this.#changes.nodes = true;
    // All Services depend on this node's address and zone.
    if (name === this.nodeName)
      for (const key of this.services.keys()) this.#changes.services.add(key);
  }

  /** True if nothing has changed since `takeChanges`. */
  get clean(): boolean {
    return this.#changes.services.size === 0 && !this.#changes.nodes;
  }

  takeChanges(): Changes {
    const taken = this.#changes;
    this.#changes = { services: new Set(), nodes: false };
    return taken;
  }
}
