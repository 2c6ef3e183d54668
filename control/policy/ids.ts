import { POLICY_ID_MAX } from '../../datapath/policy/policy.ts';

/**
 * Ids of policies by their keys, kept as long as the policy is there: counters and names hang on
 * them.
 */
export class PolicyIds {
  readonly #ids: Map<string, number>;
  #free: number[] = [];
  #next: number;

  /** @param names what an image that outlived its agent calls its policies. */
  constructor(names: Map<number, string>) {
    this.#ids = new Map([...names].map(([id, name]) => [name, id]));
    this.#next = Math.max(0, ...names.keys()) + 1;
    for (let id = 1; id < this.#next; id++) if (!names.has(id)) this.#free.push(id);
  }

  /** The policies that there are now get an id each, while there are any. */
  assign(keys: Iterable<string>): void {
    const present = new Set(keys);
    const freed: number[] = [];
    for (const [key, id] of this.#ids) {
      if (present.has(key)) continue;
      this.#ids.delete(key);
      freed.push(id);
    }
    for (const key of present) {
      if (this.#ids.has(key)) continue;
      const id = this.#free.shift() ?? (this.#next <= POLICY_ID_MAX ? this.#next++ : 0);
      if (id !== 0) this.#ids.set(key, id);
    }
    // Not at once: records of the trace may still speak of what has just gone.
    this.#free.push(...freed);
  }

  /** 0 if there was none left. */
  idOf(key: string): number {
    return this.#ids.get(key) ?? 0;
  }
}
