/**
 * Back-off between restarts, as a kubelet's: none, 10 s, doubled to 5 minutes, forgotten after 10
 * good minutes.
 */
const FIRST_MS = 10_000;
const MS_MAX = 300_000;
const LIVED_WELL_MS = 600_000;

export class Backoff {
  #nextMs = 0;

  /** How long to wait before the next start of what has lived for so long. */
  next(livedMs: number): number {
    if (livedMs > LIVED_WELL_MS) this.#nextMs = 0;
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(Math.max(delayMs * 2, FIRST_MS), MS_MAX);
    return delayMs;
  }
}
