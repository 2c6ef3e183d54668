/** Time as the agent sees it; tests bring their own. */
export interface Clock {
  nowMs(): number;
  /** Calls back once, later; the result takes it back. */
  after(ms: number, call: () => void): () => void;
}

export const SYSTEM_CLOCK: Clock = {
  nowMs: () => performance.now(),
  after: (ms, call) => {
    // What one read of a socket brought is handled first, so that it costs one run and not two.
    if (ms <= 0) {
      const immediate = setImmediate(call);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

/**
 * Turns many requests into few runs: the first after a quiet time runs at once, the rest at an
 * interval.
 */
export class Pacer {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #run: () => void;
  #lastMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, intervalMs: number, run: () => void) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#run = run;
  }

  /** Asks for a run after everything that is said until then. */
  request(): void {
    if (this.#cancel) return;
    const waitMs = Math.max(0, this.#lastMs + this.#intervalMs - this.#clock.nowMs());
    this.#cancel = this.#clock.after(waitMs, () => {
      this.#cancel = null;
      this.#lastMs = this.#clock.nowMs();
      this.#run();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
