/** Delays between retries, ms. */
export interface Pace {
  /** Delay before the first retry. */
  firstMs: number;
  /** Minimum delay of each later retry. Without it the first delay doubles. */
  laterMsMin?: number;
  /** Maximum delay. */
  msMax: number;
  /** An attempt that worked for this long resets the delays. Without it they never reset. */
  goodMs?: number;
}

/** Restarts of a thread or of an agent. */
export const RESTART_PACE: Pace = { firstMs: 100, msMax: 5000, goodMs: 10_000 };

/** Delays between retries: each is twice the one before, up to a limit. */
export class Backoff {
  readonly #pace: Pace;
  #nextMs: number;

  constructor(pace: Pace) {
    this.#pace = pace;
    this.#nextMs = pace.firstMs;
  }

  /** Milliseconds to wait before the next attempt. `livedMs` is how long the last one worked. */
  next(livedMs = 0): number {
    const { laterMsMin = 0, msMax, goodMs = Number.POSITIVE_INFINITY } = this.#pace;
    if (livedMs >= goodMs) this.reset();
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(Math.max(delayMs * 2, laterMsMin), msMax);
    return delayMs;
  }

  /** The next delay is the first again. */
  reset(): void {
    this.#nextMs = this.#pace.firstMs;
  }
}
