import { SERVICE_ID_MAX } from '../../datapath/image/image.ts';

/** Retired ids looked at per allocation before a fresh one is taken. */
const RETIRED_LOOKS_MAX = 8;

/** Use of ids in the datapath; `engine.writer` implements it. */
export interface IdUsage {
  /** Number of flows that refer to the id. */
  flowsOf(id: number): number;
  /** The latest generation that the worker uses. */
  acknowledged(): number;
}

/**
 * Ids of Service ports, from 1. A Service port keeps its id while it exists, also across a restart
 * of the agent. An id is reused only when no flow refers to it and the worker has left the last
 * image with it.
 */
export class IdAllocator {
  readonly #ids = new Map<string, number>();
  /** Names from the arena of an earlier agent, until they are claimed. */
  readonly #survivors = new Map<string, number>();
  /** Oldest first. `generation` is the first one without the id. */
  #retired: { id: number; generation: number }[] = [];
  readonly #usage: IdUsage;
  readonly #max: number;
  #next = 1;

  constructor(survivors: Map<number, { name: string }>, usage: IdUsage, max = SERVICE_ID_MAX) {
    this.#usage = usage;
    this.#max = max;
    for (const [id, { name }] of survivors) {
      this.#survivors.set(name, id);
      this.#next = Math.max(this.#next, id + 1);
    }
    // The newest Service may have been deleted shortly before the restart. Then flows have higher
    // ids than the image.
    for (let id = this.#max; id >= this.#next; id--) {
      if (usage.flowsOf(id) > 0) this.#next = id + 1;
    }
    // Unused lower ids may still be in flows of Services deleted before the restart.
    for (let id = 1; id < this.#next; id++) {
      if (!survivors.has(id)) this.#retired.push({ id, generation: 0 });
    }
  }

  /** The id of a Service port, by its name and protocol. Null if all ids are taken. */
  idOf(name: string, proto: number): number | null {
    const key = `${name}/${proto}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id =
      this.#takeSurvivor(name) ?? this.#takeRetired(RETIRED_LOOKS_MAX) ?? this.#takeFresh();
    if (id !== null) this.#ids.set(key, id);
    return id;
  }

  /** @param generation the first one whose image lacks the id. */
  release(name: string, proto: number, generation: number): number | null {
    const key = `${name}/${proto}`;
    const id = this.#ids.get(key);
    if (id === undefined) return null;
    this.#ids.delete(key);
    this.#retired.push({ id, generation });
    return id;
  }

  /**
   * Releases the ids of Service ports that are in the arena but not in the cluster. Called once,
   * after the first full compile.
   */
  retireSurvivors(): void {
    for (const id of this.#survivors.values()) this.#retired.push({ id, generation: 0 });
    this.#survivors.clear();
  }

  #takeSurvivor(name: string): number | null {
    const id = this.#survivors.get(name);
    if (id === undefined) return null;
    this.#survivors.delete(name);
    return id;
  }

  #takeRetired(looks: number): number | null {
    for (let look = Math.min(looks, this.#retired.length); look > 0; look--) {
      const oldest = this.#retired.shift()!;
      const left = this.#usage.acknowledged() >= oldest.generation;
      if (left && this.#usage.flowsOf(oldest.id) === 0) return oldest.id;
      this.#retired.push(oldest);
    }
    return null;
  }

  #takeFresh(): number | null {
    return this.#next <= this.#max ? this.#next++ : this.#takeRetired(this.#retired.length);
  }
}
