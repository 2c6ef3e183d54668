/**
 * Refusals that a datapath sends in a second, and at once after a pause: the kernel's
 * icmp_msgs_per_sec and its burst.
 */
export const REFUSALS_PER_S = 1000;
export const REFUSALS_BURST = 50;
const MS_PER_REFUSAL = 1000 / REFUSALS_PER_S;

/** A token bucket over all refusals, RSTs among them. */
export class RefusalLimit {
  /** For one that only asks what would become of a packet. */
  enabled = true;
  #left = REFUSALS_BURST;
  /** ms of the datapath's clock up to which refusals were granted. */
  #since = 0;

  /** True if one more may be sent. */
  take(now: number): boolean {
    const elapsed = (now - this.#since) | 0;
    // A clock that went back, or came around, grants a burst.
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
