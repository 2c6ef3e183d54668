/** Time as controllers see it; tests bring their own. */
export interface Clock {
  /** Milliseconds since 1970, as the times in objects are. */
  nowMs(): number;
  /** Calls back once, later; the result takes it back. */
  after(ms: number, call: () => void): () => void;
}

/** What a timer can be set to; longer waits are cut, and whoever waits looks again. */
const TIMER_MS_MAX = 0x7fff_ffff;

export const SYSTEM_CLOCK: Clock = {
  nowMs: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, Math.min(ms, TIMER_MS_MAX));
    return () => clearTimeout(timer);
  },
};
