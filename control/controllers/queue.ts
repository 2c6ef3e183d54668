// The work queue of a controller: client-go/util/workqueue, with delays and back-off.
import { Backoff } from '../../datapath/backoff.ts';
import { StatusError } from '../apiserver/status.ts';
import { WALL_CLOCK, type WallClock } from '../clock.ts';

const RETRY_PACE = { firstMs: 50, msMax: 30_000 };
const SLICE_MS = 5;

/** Keys that wait for work, each at most once. The queue works in slices. */
export class WorkQueue {
  readonly #keys = new Set<string>();
  readonly #work: (key: string) => void;
  readonly #clock: WallClock;
  readonly #idle: (() => void)[] = [];
  /** Delayed keys. */
  readonly #later = new Map<string, { atMs: number; cancel: () => void }>();
  /** Delays of keys whose last work failed. */
  readonly #failed = new Map<string, Backoff>();
  #scheduled = false;
  /** Called with the error of a key. */
  onFailure: (key: string, error: Error) => void = () => {};
  #stopped = false;

  constructor(work: (key: string) => void, clock: WallClock = WALL_CLOCK) {
    this.#work = work;
    this.#clock = clock;
  }

  add(key: string): void {
    if (this.#stopped) return;
    this.#keys.add(key);
    this.#schedule();
  }

  /** Adds a key after a delay. An earlier pending delay of the key stays. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return;
    const atMs = this.#clock.unixMs() + ms;
    const before = this.#later.get(key);
    if (before && before.atMs <= atMs) return;
    before?.cancel();
    const cancel = this.#clock.after(ms, () => {
      this.#later.delete(key);
      this.add(key);
    });
    this.#later.set(key, { atMs, cancel });
  }

  /** True if no key waits. Delayed keys do not count. */
  get isIdle(): boolean {
    return this.#keys.size === 0;
  }

  /** Resolves when no key waits. */
  idle(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  stop(): void {
    this.#stopped = true;
    this.#keys.clear();
    for (const { cancel } of this.#later.values()) cancel();
    this.#later.clear();
    this.#settle();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#slice());
  }

  /** The server handles requests between two slices. */
  #slice(): void {
    this.#scheduled = false;
    const until = performance.now() + SLICE_MS;
    for (const key of this.#keys) {
      this.#keys.delete(key);
      this.#do(key);
      if (performance.now() > until) break;
    }
    if (this.#keys.size > 0) this.#schedule();
    else this.#settle();
  }

  /** An error of one key does not stop the others. */
  #do(key: string): void {
    try {
      this.#work(key);
      this.#failed.delete(key);
    } catch (error) {
      const delays = this.#failed.get(key) ?? new Backoff(RETRY_PACE);
      this.#failed.set(key, delays);
      const why = error instanceof Error ? error : new Error(String(error));
      console.error(`controller: ${key}: ${why.stack}`);
      this.onFailure(key, why);
      this.addAfter(key, delays.next());
    }
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

const RETRY_MS = 1000;

/** True for errors that may pass, such as a full disk. */
export function isPassing(error: unknown): boolean {
  return error instanceof StatusError && error.code >= 500;
}

/**
 * Runs a task after the store has notified all subscribers: no write is allowed before. Logs a
 * failure, and tries again if the error may pass.
 */
export function later(task: () => void): void {
  queueMicrotask(() => {
    try {
      task();
    } catch (error) {
      console.error(`API server: ${(error as Error).stack}`);
      if (isPassing(error)) setTimeout(() => later(task), RETRY_MS).unref();
    }
  });
}
