// Limits how many refusals a datapath sends: ICMP errors and RSTs.

/** Refusals of a datapath per second, and its burst: the kernel's icmp_msgs_per_sec and burst. */
export const REFUSALS_PER_S = 1000;
export const REFUSALS_BURST = 50;
const MS_PER_REFUSAL = 1000 / REFUSALS_PER_S;

/** A token bucket over all refusals, RSTs among them. */
export class RefusalLimit {
  /** False in explain, whose packets take no tokens. */
  enabled = true;
  #left = REFUSALS_BURST;
  /** Refusals are granted up to this ms of the datapath's clock. */
  #since = 0;

  /** True if one more may be sent. */
  take(now: number): boolean {
    const elapsed = (now - this.#since) | 0;
    // A clock that went back or wrapped grants a burst.
    const granted = elapsed < 0 ? REFUSALS_BURST : Math.floor(elapsed / MS_PER_REFUSAL);
    if (granted > 0) {
      this.#left = Math.min(this.#left + granted, REFUSALS_BURST);
      this.#since = now;
    }
    if (!this.enabled) return true;
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
}
