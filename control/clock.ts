// Clocks, one for each epoch. Tests bring their own.

/** Time as it stands in objects and files. */
export interface WallClock {
  /** Milliseconds since 1970. */
  unixMs(): number;
  /** Calls back once after so many milliseconds. The result cancels the call. */
  after(ms: number, call: () => void): () => void;
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
