// Clocks, one for each epoch. Tests bring their own.

interface Timer {
  /** Calls back once after so many milliseconds. The result cancels the call. */
  after(ms: number, call: () => void): () => void;
}

/** Time as it stands in objects and files. */
export interface WallClock extends Timer {
  /** Milliseconds since 1970. */
  unixMs(): number;
}

/** Time that only moves forward, for delays and ages within one process. */
export interface MonotonicClock extends Timer {
  /** Milliseconds since the process began. */
  monotonicMs(): number;
}

/** The longest time that a timer can be set to. After a longer wait the caller checks again. */
const TIMER_MS_MAX = 0x7fff_ffff;

export const WALL_CLOCK: WallClock = {
  unixMs: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, Math.min(ms, TIMER_MS_MAX));
    return () => clearTimeout(timer);
  },
};

export const MONOTONIC_CLOCK: MonotonicClock = {
  monotonicMs: () => performance.now(),
  after(ms, call) {
    if (ms > 0) return WALL_CLOCK.after(ms, call);
    // An immediate runs after everything that one read of a socket has brought: one run for all.
    const immediate = setImmediate(call);
    return () => clearImmediate(immediate);
  },
};
