const MS_FIRST = 100;
const MS_MAX = 5000;
/** What served for so long has earned a quick restart. */
const SERVED_WELL_MS = 10_000;

/**
 * Delays between the restarts of a thread or process: short at first, doubled while it keeps
 * failing.
 */
export class RestartDelay {
  #nextMs = MS_FIRST;

  /** How many ms to wait before the next start. `servedMs` is how long the last one served. */
  next(servedMs: number): number {
    if (servedMs >= SERVED_WELL_MS) this.#nextMs = MS_FIRST;
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(delayMs * 2, MS_MAX);
    return delayMs;
  }
}
