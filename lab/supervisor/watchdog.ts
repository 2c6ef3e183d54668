import type { WallClock } from '../../control/clock.ts';

/** An agent that is away for so long lets nothing into its node but by the bypass. */
const AWAY_MS = 5000;
const LOOK_AGAIN_MS = 1000;

export interface WatchdogOptions {
  clock: WallClock;
  /** True while an agent of the node runs, whether or not it is ready. */
  isRunning: (node: string) => boolean;
  /** Lets the node's own traffic past the datapath. */
  open: (node: string) => void;
  /** Takes that back. */
  close: (node: string) => void;
}

/**
 * Every byte into a node of a lab crosses its datapath: this lets the node's own past one that
 * stays away.
 */
export class Watchdog {
  readonly #options: WatchdogOptions;
  /** By node that is away: what takes its timer back, or null once it is open. */
  readonly #away = new Map<string, (() => void) | null>();

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /**
   * The agent of a node has ended. Told again before it was ready, the time counts from the first.
   */
  away(node: string): void {
    if (!this.#away.has(node)) this.#arm(node, AWAY_MS);
    // An agent that has begun to steer has closed it.
    else if (this.#away.get(node) === null) this.#options.open(node);
  }

  /** The agent of a node forwards, by the cluster's tables. */
  back(node: string): void {
    const cancel = this.#away.get(node);
    this.#away.delete(node);
    if (cancel === null) this.#options.close(node);
    else cancel?.();
  }

  stop(): void {
    for (const cancel of this.#away.values()) cancel?.();
  }

  #arm(node: string, ms: number): void {
    const { clock, isRunning, open } = this.#options;
    const cancel = clock.after(ms, () => {
      if (isRunning(node)) return this.#arm(node, LOOK_AGAIN_MS);
      this.#away.set(node, null);
      open(node);
    });
    this.#away.set(node, cancel);
  }
}
