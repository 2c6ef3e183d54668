import { type CompileResult, Compiler } from '../../../../control/compile/compiler.ts';
import { IdAllocator } from '../../../../control/compile/ids.ts';
import type { NodeRanges } from '../../../../control/compile/node-entry.ts';
import type { EndpointSlice, Node, Service } from '../../../../control/kube/kinds.ts';
import { readNode } from '../../../../control/model/node.ts';
import type { SliceRow } from '../../../../control/model/rows.ts';
import { readService } from '../../../../control/model/service.ts';
import { readSlice } from '../../../../control/model/slice.ts';
import { Tables } from '../../../../control/model/tables.ts';
import { maskOf, parseAddress } from '../../../../datapath/wire/address.ts';
import { Mirror } from './mirror.ts';

export const RANGES: NodeRanges = {
  serviceRange: { address: parseAddress('10.96.0.0')!, mask: maskOf(16) },
  podRanges: [],
  snatPortMin: 40_000,
  snatPortMax: 65_534,
};

/** Tables, a compiler and a datapath that applies its output. `flows`: number of flows by id. */
export class World {
  readonly tables: Tables;
  readonly mirror = new Mirror();
  readonly flows = new Map<number, number>();
  readonly compiler: Compiler;
  readonly ids: IdAllocator;
  readonly #slices = new Map<string, SliceRow>();
  generation = 0;
  acknowledged = 0;

  constructor(
    nodeName = 'n1',
    survivors: Map<number, { name: string }> = new Map(),
    apiAddresses: number[] = [],
  ) {
    this.tables = new Tables(nodeName);
    this.ids = new IdAllocator(survivors, {
      flowsOf: (id) => this.flows.get(id) ?? 0,
      acknowledged: () => this.acknowledged,
    });
    this.compiler = new Compiler(nodeName, RANGES, this.ids, apiAddresses);
  }

  put(object: { service?: Service; slice?: EndpointSlice; node?: Node }): void {
    if (object.service) this.tables.putService(readService(object.service));
    if (object.node) this.tables.putNode(readNode(object.node));
    if (!object.slice) return;
    const row = readSlice(object.slice);
    this.tables.putSlice(row, this.#slices.get(row.key) ?? null);
    this.#slices.set(row.key, row);
  }

  deleteService(name: string): void {
    const row = this.tables.services.get(`ns/${name}`);
    if (row) this.tables.deleteService(row);
  }

  deleteSlice(name: string): void {
    const row = this.#slices.get(`ns/${name}`);
    if (row) this.tables.deleteSlice(row);
    this.#slices.delete(`ns/${name}`);
  }

  /** Compiles the changes and applies them to the mirror. */
  publish(): CompileResult | null {
    const result = this.compiler.compile(
      this.tables,
      this.tables.takeChanges(),
      this.generation + 1,
    );
    if (result) {
      this.generation++;
      this.acknowledged = this.generation;
      this.mirror.apply(result.change);
    }
    return result;
  }

  /** A full compile of the same tables. */
  fresh(nodeName = 'n1'): Mirror {
    const other = new World(nodeName);
    const changes = { services: new Set(this.tables.services.keys()), nodes: true };
    const result = other.compiler.compile(this.tables, changes, 1);
    if (result) other.mirror.apply(result.change);
    return other.mirror;
  }
}
