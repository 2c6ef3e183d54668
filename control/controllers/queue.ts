// What a controller has to look at: client-go/util/workqueue, with its delays and its back-off.
import { StatusError } from '../apiserver/status.ts';
import { WALL_CLOCK, type WallClock } from '../clock.ts';

/** Work that fails is done again after so long, and twice as long each time. */
const RETRY_MS_FIRST = 50;
const RETRY_MS_MAX = 30_000;
const SLICE_MS = 5;

/**
 * Keys that wait for work: each once, however often it is added, and worked off a slice at a time.
 */
export class WorkQueue {
  readonly #keys = new Set<string>();
  readonly #work: (key: string) => void;
  readonly #clock: WallClock;
  readonly #idle: (() => void)[] = [];
  /** Keys whose time has not come. */
  readonly #later = new Map<string, { atMs: number; cancel: () => void }>();
  /** Failures in a row. */
  readonly #failures = new Map<string, number>();
  #scheduled = false;
  /** Called with what a key could not be worked off for. */
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

  /**
   * Adds a key when so much time has passed, or when it was to be added anyway if that is sooner.
   */
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

  /** True if nothing is to be done now; keys whose time has not come do not count. */
  get isIdle(): boolean {
    return this.#keys.size === 0;
  }

  /** Resolves when nothing waits. */
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

  /** Requests of clients come between two slices. */
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

  /** One object that cannot be handled must not keep the others waiting. */
  #do(key: string): void {
    try {
      this.#work(key);
      this.#failures.delete(key);
    } catch (error) {
      const failures = this.#failures.get(key) ?? 0;
      this.#failures.set(key, failures + 1);
      const why = error instanceof Error ? error : new Error(String(error));
      console.error(`controller: ${key}: ${why.stack}`);
      this.onFailure(key, why);
      this.addAfter(key, Math.min(RETRY_MS_FIRST * 2 ** failures, RETRY_MS_MAX));
    }
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

const RETRY_MS = 1000;

/** True for what may go better in a while, such as a write while the disk is full. */
export function isPassing(error: unknown): boolean {
  return error instanceof StatusError && error.code >= 500;
}

/**
 * Does something once the change that asks for it has been told to all: nobody may write while an
 * event is told. What fails is reported, as nobody waits for it, and tried again if that may help.
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
