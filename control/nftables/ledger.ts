/** What changed: keys with the value before, or after. A key in both has another value now. */
export interface LedgerChanges {
  before: Map<string, string>;
  after: Map<string, string>;
}

/** Reference-counted keys with values, and the changes since the last call. */
export class Ledger {
  readonly #now = new Map<string, { value: string; holders: number }>();
  /** Keys touched since, with the value before; null for none. */
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

  /** All keys as additions. The next changes are relative to them. */
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
