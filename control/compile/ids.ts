import { SERVICE_ID_MAX } from '../../datapath/image/image.ts';

/** Retired ids looked at per allocation before a fresh one is taken. */
const RETIRED_LOOKS_MAX = 8;

/** Use of ids in the datapath; `engine.writer` implements it. */
export interface IdUsage {
  /** Flows that name the id. */
  flowsOf(id: number): number;
  /** The last generation that the worker took over. */
  acknowledged(): number;
}

/**
 * Numbers for Service ports: from 1 up, the same for as long as the Service port exists, also
 * across a restart of the agent, and given to another one only when no flow names it any more and
 * the worker has left the image in which it had it.
 */
export class IdAllocator {
  readonly #ids = new Map<string, number>();
  /** Names from the arena of an earlier agent, until they are used. */
  readonly #survivors = new Map<string, number>();
  /** Oldest first; `generation` is the one that took the id out. */
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
    // The newest Service may have gone shortly before the restart: then flows name ids that the
    // image does not.
    for (let id = this.#max; id >= this.#next; id--) {
      if (usage.flowsOf(id) > 0) this.#next = id + 1;
    }
    // Ids below that nobody has may still be named by flows of Services that went before the
    // restart.
    for (let id = 1; id < this.#next; id++) {
      if (!survivors.has(id)) this.#retired.push({ id, generation: 0 });
    }
  }

  /**
   * The id of a Service port, by its name and protocol; null if there are more Service ports than
   * ids.
   */
  idOf(name: string, proto: number): number | null {
    const key = `${name}/${proto}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id =
      this.#takeSurvivor(name) ?? this.#takeRetired(RETIRED_LOOKS_MAX) ?? this.#takeFresh();
    if (id !== null) this.#ids.set(key, id);
    return id;
  }

  /** @param generation the one that will take the id out of the image. */
  release(name: string, proto: number, generation: number): number | null {
    const key = `${name}/${proto}`;
    const id = this.#ids.get(key);
    if (id === undefined) return null;
    this.#ids.delete(key);
    this.#retired.push({ id, generation });
    return id;
  }

  /**
   * Lets go of names that the arena knew and the cluster does not: once, when everything has been
   * compiled.
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
