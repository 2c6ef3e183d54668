import type { ImageChange, NodeEntry, ServiceEntry } from '../../datapath/nat/image.ts';
import type { Changes, Tables } from '../model/tables.ts';
import { FrontendBook, type FrontendConflict } from './frontends.ts';
import type { IdAllocator } from './ids.ts';
import { buildNodeEntry, type NodeRanges, sameNodeEntry } from './node-entry.ts';
import {
  type CompiledPort,
  type CompilePlace,
  compileService,
  type PortFrontend,
  samePort,
} from './port.ts';

/** A Service port in force. */
export interface CurrentPort extends CompiledPort {
  id: number;
  /** The generation that last changed it; 0 until it is published. */
  generation: number;
}

export interface CompileResult {
  change: ImageChange;
  conflicts: FrontendConflict[];
  /** Service ports for which there was no id left: they are not served on this node. */
  unserved: string[];
}

interface CurrentService {
  createdMs: number;
  ports: CurrentPort[];
}

const NO_SERVICE: CurrentService = { createdMs: 0, ports: [] };

/**
 * Tables in, image changes out, for one node. It remembers what it has said, so that only what differs is said:
 * the changes add up to what a compile of everything gives, in whatever order things happened. Pure but for
 * that memory.
 */
export class Compiler {
  readonly #nodeName: string;
  readonly #ranges: NodeRanges;
  readonly #ids: IdAllocator;
  readonly #services = new Map<string, CurrentService>();
  readonly #frontends = new FrontendBook();
  #node: NodeEntry | null = null;
  #first = true;

  constructor(nodeName: string, ranges: NodeRanges, ids: IdAllocator) {
    this.#nodeName = nodeName;
    this.#ranges = ranges;
    this.#ids = ids;
  }

  /**
   * What these changes of the tables change in the image, or null if nothing: the datapath is not told then.
   *
   * @param generation the one that the next publish will have.
   */
  compile(tables: Tables, changes: Changes, generation: number): CompileResult | null {
    const own = tables.nodes.get(this.#nodeName);
    const place: CompilePlace = {
      nodeName: this.#nodeName,
      zone: own?.zone ?? '',
      address: own?.addresses[0] ?? null,
    };
    const change: ImageChange = {
      node: changes.nodes ? this.#compileNode(tables) : null,
      upsert: [],
      remove: [],
      addFrontends: [],
      removeFrontends: [],
    };
    const unserved: string[] = [];
    for (const key of changes.services) {
      unserved.push(...this.#compileKey(key, tables, place, generation, change));
    }
    if (this.#first) this.#ids.retireSurvivors();
    this.#first = false;
    const { add, remove, conflicts } = this.#frontends.takeChanges();
    change.addFrontends = add;
    change.removeFrontends = remove;
    const size = change.upsert.length + change.remove.length + add.length + remove.length;
    const nothing = size === 0 && change.node === null;
    return nothing && unserved.length === 0 ? null : { change, conflicts, unserved };
  }

  /** Service ports in force, in the order of names. */
  ports(): CurrentPort[] {
    const all = [...this.#services.values()].flatMap((service) => service.ports);
    return all.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.proto - b.proto));
  }

  /** The frontends of a Service port that no other one has before it. */
  frontendsOf(port: CurrentPort): PortFrontend[] {
    return port.frontends.filter((frontend) => this.#frontends.holds(frontend, port.id));
  }

  #compileNode(tables: Tables): NodeEntry | null {
    const { nodes, localAddresses } = tables;
    const entry = buildNodeEntry(this.#nodeName, nodes.values(), this.#ranges, localAddresses);
    if (entry === null || (this.#node && sameNodeEntry(this.#node, entry))) return null;
    this.#node = entry;
    return entry;
  }

  /** Compiles one Service into the change; the names of ports that got no id. */
  #compileKey(
    key: string,
    tables: Tables,
    place: CompilePlace,
    generation: number,
    change: ImageChange,
  ): string[] {
    const row = tables.services.get(key);
    const before = this.#services.get(key) ?? NO_SERVICE;
    const compiled = row ? compileService(row, tables.slicesOf(key).values(), place) : [];
    const createdMs = row?.createdMs ?? 0;
    // A Service of the same name made anew has another place in the queue for its frontends.
    const anew = before.ports.length > 0 && before.createdMs !== createdMs;
    const ports: CurrentPort[] = [];
    const unserved: string[] = [];
    for (const port of compiled) {
      const was = before.ports.find((p) => p.name === port.name && p.proto === port.proto);
      const id = was?.id ?? this.#ids.idOf(port.name, port.proto);
      if (id === null) {
        unserved.push(port.name);
        continue;
      }
      const same = was !== undefined && samePort(was, port);
      ports.push({ ...port, id, generation: same ? was.generation : generation });
      if (!same) change.upsert.push(toEntry(port, id));
    }
    for (const was of before.ports) {
      const now = ports.find((p) => p.id === was.id);
      this.#releaseFrontends(was, anew ? null : (now ?? null));
      if (now) continue;
      this.#ids.release(was.name, was.proto, generation);
      change.remove.push(was.id);
    }
    for (const now of ports) {
      const was = before.ports.find((p) => p.id === now.id) ?? null;
      this.#claimFrontends(now, anew ? null : was, createdMs);
    }
    if (ports.length > 0) this.#services.set(key, { createdMs, ports });
    else this.#services.delete(key);
    return unserved;
  }

  #releaseFrontends(was: CurrentPort, now: CurrentPort | null): void {
    for (const f of was.frontends) {
      if (!now?.frontends.some((g) => sameFrontend(f, g))) this.#frontends.release(f, was.id);
    }
  }

  #claimFrontends(now: CurrentPort, was: CurrentPort | null, createdMs: number): void {
    for (const f of now.frontends) {
      if (was?.frontends.some((g) => sameFrontend(f, g))) continue;
      this.#frontends.claim(f, now.id, createdMs, now.name);
    }
  }
}

function sameFrontend(a: PortFrontend, b: PortFrontend): boolean {
  return a.address === b.address && a.port === b.port && a.proto === b.proto && a.kind === b.kind;
}

function toEntry(port: CompiledPort, id: number): ServiceEntry {
  const { name, proto, flags, affinityS, cluster, local, serving, sourceRanges } = port;
  return { id, name, proto, flags, affinityS, cluster, local, serving, sourceRanges };
}
