import type { ImageChange, NodeEntry } from '../../datapath/image/image.ts';
import { serviceKeyOf } from '../model/parse.ts';
import type { Changes, Tables } from '../model/tables.ts';
import { Admission } from './admission.ts';
import { FrontendBook, type FrontendConflict } from './frontends.ts';
import type { IdAllocator } from './ids.ts';
import { buildNodeEntry, type NodeRanges } from './node-entry.ts';
import {
  type CompiledPort,
  type CompilePlace,
  compileService,
  ignoredOf,
  type PortFrontend,
  samePort,
  toEntry,
} from './port.ts';
import { API_SERVICE, apiAddressesIn, sameAddresses } from './reserved.ts';

/** A Service port in force. */
export interface CurrentPort extends CompiledPort {
  id: number;
  /** The generation that last changed it; 0 until it is published. */
  generation: number;
}

export interface CompileResult {
  change: ImageChange;
  conflicts: FrontendConflict[];
}

/** An object that is not served, or not as its spec says. */
export interface Refusal {
  kind: 'Service' | 'NetworkPolicy';
  /** `namespace/name`. */
  key: string;
  /** The reason of an Event. */
  reason: 'DoesNotFit' | 'AddressIgnored' | 'AddressTaken';
  message: string;
}

interface CurrentService {
  createdMs: number;
  ports: CurrentPort[];
}

const NO_SERVICE: CurrentService = { createdMs: 0, ports: [] };

/**
 * Compiles tables to image changes for one node. It remembers its output and returns only
 * differences. Their sum equals a full compile, in any order of events. Pure except for this
 * memory.
 */
export class Compiler {
  readonly #nodeName: string;
  readonly #ranges: NodeRanges;
  readonly #ids: IdAllocator;
  readonly #services = new Map<string, CurrentService>();
  readonly #frontends = new FrontendBook();
  readonly #admission = new Admission();
  readonly #apiAddresses: readonly number[];
  /** `#apiAddresses` and the endpoints of the API server's Service. */
  #reserved: ReadonlySet<number>;
  /** Service key -> why some of its addresses are not captured. */
  readonly #ignored = new Map<string, string[]>();
  /** Services with a port that got no id. */
  readonly #idless = new Set<string>();
  /** Limit of image words for Services. */
  wordsMax = Number.POSITIVE_INFINITY;
  #node: NodeEntry | null = null;
  #first = true;

  /**
   * @param apiAddresses addresses at which the agent reaches the API server. No Service captures
   * them.
   */
  constructor(
    nodeName: string,
    ranges: NodeRanges,
    ids: IdAllocator,
    apiAddresses: readonly number[] = [],
  ) {
    this.#apiAddresses = apiAddresses;
    this.#reserved = new Set(apiAddresses);
    this.#nodeName = nodeName;
    this.#ranges = ranges;
    this.#ids = ids;
  }

  /**
   * The image change for these table changes. Null for none; then the datapath gets no update.
   * @param generation the generation of the next publish.
   */
  compile(tables: Tables, changes: Changes, generation: number): CompileResult | null {
    const own = tables.nodes.get(this.#nodeName);
    const keys = this.#keysToCompile(tables, changes);
    const place: CompilePlace = {
      nodeName: this.#nodeName,
      zone: own?.zone ?? '',
      address: own?.addresses[0] ?? null,
      reserved: this.#reserved,
    };
    const change: ImageChange = {
      node: changes.nodes ? this.#compileNode(tables) : null,
      upsert: [],
      remove: [],
      addFrontends: [],
      removeFrontends: [],
    };
    for (const key of keys) this.#compileKey(key, tables, place, generation, change);
    if (this.#first) this.#ids.retireSurvivors();
    this.#first = false;
    const { add, remove, conflicts } = this.#frontends.takeChanges();
    change.addFrontends = add;
    change.removeFrontends = remove;
    const size = change.upsert.length + change.remove.length + add.length + remove.length;
    return size === 0 && change.node === null ? null : { change, conflicts };
  }

  /** True while Services are refused because the image is full. */
  get isCrowded(): boolean {
    return this.#admission.refused.size > 0;
  }

  /** Objects that are not served, with the reason. */
  refusals(): Refusal[] {
    const full =
      'it is not served: the image of this node has no room for it beside older Services';
    const unfit = new Set([...this.#admission.refused, ...this.#idless]);
    const refusals: Refusal[] = [...unfit].map((key) => {
      return { kind: 'Service', key, reason: 'DoesNotFit', message: full };
    });
    for (const [key, reasons] of this.#ignored) {
      for (const message of reasons) {
        refusals.push({ kind: 'Service', key, reason: 'AddressIgnored', message });
      }
    }
    return [...refusals, ...takenAddresses(this.#frontends.conflicts())];
  }

  /**
   * Services whose result may differ: the changed ones, and those that depend on another change.
   */
  #keysToCompile(tables: Tables, changes: Changes): Set<string> {
    const keys = new Set(changes.services);
    if (keys.has(API_SERVICE)) {
      const reserved = apiAddressesIn(tables, this.#apiAddresses);
      if (!sameAddresses(reserved, this.#reserved)) {
        for (const { key, externalAddresses, loadBalancerAddresses } of tables.services.values()) {
          if (externalAddresses.length + loadBalancerAddresses.length > 0) keys.add(key);
        }
      }
      this.#reserved = reserved;
    }
    for (const key of changes.services) {
      const row = tables.services.get(key);
      if (row) this.#admission.put(row, tables.slicesOf(key).values());
      else this.#admission.delete(key);
    }
    for (const key of this.#admission.decide(this.wordsMax)) keys.add(key);
    for (const key of this.#idless) keys.add(key);
    return keys;
  }

  /** Service ports in force, by name. */
  ports(): CurrentPort[] {
    const all = [...this.#services.values()].flatMap((service) => service.ports);
    return all.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.proto - b.proto));
  }

  /** The frontends that a Service port wins. */
  frontendsOf(port: CurrentPort): PortFrontend[] {
    return port.frontends.filter((frontend) => this.#frontends.holds(frontend, port.id));
  }

  #compileNode(tables: Tables): NodeEntry | null {
    const { nodes, localAddresses } = tables;
    const entry = buildNodeEntry(this.#nodeName, nodes.values(), this.#ranges, localAddresses);
    if (entry === null || JSON.stringify(entry) === JSON.stringify(this.#node)) return null;
    this.#node = entry;
    return entry;
  }

  /** Compiles one Service into the change. */
  #compileKey(
    key: string,
    tables: Tables,
    place: CompilePlace,
    generation: number,
    change: ImageChange,
  ): void {
    const row = this.#admission.refused.has(key) ? undefined : tables.services.get(key);
    const before = this.#services.get(key) ?? NO_SERVICE;
    const compiled = row ? compileService(row, tables.slicesOf(key).values(), place) : [];
    const createdMs = row?.createdMs ?? 0;
    // A Service recreated with the same name has another age. The age decides conflicts about its
    // frontends.
    const isRecreated = before.ports.length > 0 && before.createdMs !== createdMs;
    const ports = this.#number(key, compiled, before, generation, change);
    this.#ignored.delete(key);
    const ignored = row ? ignoredOf(row, place.reserved) : [];
    if (ignored.length > 0) this.#ignored.set(key, ignored);
    const byId = new Map(ports.map((port) => [port.id, port]));
    for (const was of before.ports) {
      const now = byId.get(was.id);
      for (const f of frontendsBeyond(was, isRecreated ? undefined : now)) {
        this.#frontends.release(f, was.id);
      }
      if (now) continue;
      this.#ids.release(was.name, was.proto, generation);
      change.remove.push(was.id);
    }
    const wasById = new Map(before.ports.map((port) => [port.id, port]));
    for (const now of ports) {
      for (const f of frontendsBeyond(now, isRecreated ? undefined : wasById.get(now.id))) {
        this.#frontends.claim(f, now.id, createdMs, now.name);
      }
    }
    if (ports.length > 0) this.#services.set(key, { createdMs, ports });
    else this.#services.delete(key);
  }

  /** The ports with an id, old or new. Ports that differ go into the change. */
  #number(
    key: string,
    compiled: CompiledPort[],
    before: CurrentService,
    generation: number,
    change: ImageChange,
  ): CurrentPort[] {
    this.#idless.delete(key);
    const ports: CurrentPort[] = [];
    const byName = new Map(before.ports.map((port) => [`${port.name}/${port.proto}`, port]));
    for (const port of compiled) {
      const was = byName.get(`${port.name}/${port.proto}`);
      const id = was?.id ?? this.#ids.idOf(port.name, port.proto);
      if (id === null) {
        this.#idless.add(key);
        continue;
      }
      const same = was !== undefined && samePort(was, port);
      ports.push({ ...port, id, generation: same ? was.generation : generation });
      if (!same) change.upsert.push(toEntry(port, id));
    }
    return ports;
  }
}

/** Frontends of a port that another one lacks. */
function frontendsBeyond({ frontends }: CurrentPort, other: CurrentPort | undefined) {
  const shared = new Set(other?.frontends.map(keyOfFrontend));
  return frontends.filter((frontend) => !shared.has(keyOfFrontend(frontend)));
}

function keyOfFrontend({ address, port, proto, kind }: PortFrontend): string {
  return `${address} ${port} ${proto} ${kind}`;
}

/** One refusal for each pair of a Service and a Service port that wins addresses from it. */
function takenAddresses(conflicts: Iterable<FrontendConflict>): Refusal[] {
  const found = new Map<string, { key: string; winner: string; first: string; count: number }>();
  for (const { frontend, winner, losers } of conflicts) {
    for (const key of new Set(losers.map(serviceKeyOf))) {
      const id = `${key} ${winner}`;
      const known = found.get(id) ?? { key, winner, first: frontend, count: 0 };
      known.count++;
      found.set(id, known);
    }
  }
  return [...found.values()].map(({ key, winner, first, count }) => {
    const which = count === 1 ? `${first} is` : `${first} and ${count - 1} more are`;
    const message = `${which} not captured: ${winner} claims the same address and port first`;
    return { kind: 'Service', key, reason: 'AddressTaken', message };
  });
}
