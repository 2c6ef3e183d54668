import type { WallClock } from '../../control/clock.ts';

/** After this time without its agent, a node's own traffic bypasses the datapath. */
const AWAY_MS = 5000;
const LOOK_AGAIN_MS = 1000;

export interface WatchdogOptions {
  clock: WallClock;
  /** True while an agent of the node runs, ready or not. */
  isRunning: (node: string) => boolean;
  /** Lets the node's own traffic bypass the datapath. */
  open: (node: string) => void;
  /** Removes the bypass. */
  close: (node: string) => void;
}

/**
 * All traffic into a node crosses its datapath. The watchdog opens a bypass for the node's own
 * traffic while its agent is away.
 */
export class Watchdog {
  readonly #options: WatchdogOptions;
  /** Node without an agent -> function that cancels its timer. Null once the bypass is open. */
  readonly #away = new Map<string, (() => void) | null>();

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** The agent of a node has ended. If it ends again before it was ready, the first time counts. */
  away(node: string): void {
    if (!this.#away.has(node)) this.#arm(node, AWAY_MS);
    // The restarted agent has removed the bypass when it began to steer.
    else if (this.#away.get(node) === null) this.#options.open(node);
  }

  /** The agent of a node forwards and has the cluster's tables. */
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
