/** Changed keys with the old and the new value. A key in both maps has changed its value. */
export interface LedgerChanges {
  before: Map<string, string>;
  after: Map<string, string>;
}

/** Reference-counted keys with values. Records which of them change. */
export class Ledger {
  readonly #now = new Map<string, { value: string; holders: number }>();
  /** Keys touched since the last takeChanges or takeAll, with the value then. Null for none. */
  readonly #touched = new Map<string, string | null>();

  /** All holders of a key must give the same value. */
  hold(key: string, value: string): void {
    this.#touch(key);
    this.#now.set(key, { value, holders: (this.#now.get(key)?.holders ?? 0) + 1 });
  }

  release(key: string): void {
    this.#touch(key);
    const held = this.#now.get(key);
    if (held && --held.holders === 0) this.#now.delete(key);
  }

  /** Differences since the last takeChanges or takeAll. */
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

  /** All keys as additions. The next changes are relative to them. */
  takeAll(): LedgerChanges {
    this.#touched.clear();
    const after = new Map([...this.#now].map(([key, { value }]) => [key, value]));
    return { before: new Map(), after };
  }

  /** Every key with its value. */
  *entries(): Iterable<[key: string, value: string]> {
    for (const [key, { value }] of this.#now) yield [key, value];
  }

  #touch(key: string): void {
    if (!this.#touched.has(key)) this.#touched.set(key, this.#now.get(key)?.value ?? null);
  }
}
