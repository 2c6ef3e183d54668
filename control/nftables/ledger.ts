/** What changed: keys with the value before, or after. A key in both has another value now. */
export interface LedgerChanges {
  before: Map<string, string>;
  after: Map<string, string>;
}

/**
 * Keys, each for as long as anybody holds it, and which of them are not as they were when that was
 * last asked.
 */
export class Ledger {
  readonly #now = new Map<string, { value: string; holders: number }>();
  /** Keys touched since, with the value before; null for none. */
  readonly #touched = new Map<string, string | null>();

  /** Whoever holds a key beside others must say the same of it. */
  hold(key: string, value: string): void {
    this.#touch(key);
    this.#now.set(key, { value, holders: (this.#now.get(key)?.holders ?? 0) + 1 });
  }

  release(key: string): void {
    this.#touch(key);
    const held = this.#now.get(key);
    if (held && --held.holders === 0) this.#now.delete(key);
  }

  /** What differs since the last call. */
  takeChanges(): LedgerChanges {
    const changes: LedgerChanges = { before: new Map(), after: new Map() };
    for (const [key, before] of this.#touched) {
      const after = this.#now.get(key)?.value ?? null;
      if (before === after) continue;
      if (before !== null) changes.before.set(key, before);
      if (after !== null) changes.after.set(key, after);
    }
    this.#touched.clear();
    return changes;
  }

  /** Everything, as if nothing had been before; the next changes count from here. */
  takeAll(): LedgerChanges {
    this.#touched.clear();
    const after = new Map([...this.#now].map(([key, { value }]) => [key, value]));
    return { before: new Map(), after };
  }

  /** Every key with its value, as of now. */
  *entries(): Iterable<[key: string, value: string]> {
    for (const [key, { value }] of this.#now) yield [key, value];
  }

  #touch(key: string): void {
    if (!this.#touched.has(key)) this.#touched.set(key, this.#now.get(key)?.value ?? null);
  }
}
