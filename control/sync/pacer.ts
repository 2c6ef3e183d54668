// When work runs: bursts of requests as few runs, long work in slices.

import type { Steps } from '../../datapath/steps.ts';
import type { MonotonicClock } from '../clock.ts';

/**
 * Turns many requests into few runs: the first after a quiet time runs at once, the rest at an
 * interval.
 */
export class Pacer {
  readonly #clock: MonotonicClock;
  readonly #intervalMs: number;
  readonly #run: () => void;
  #lastMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | null = null;

  constructor(clock: MonotonicClock, intervalMs: number, run: () => void) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#run = run;
  }

  /** Asks for a run after everything that is said until then. */
  request(): void {
    if (this.#cancel) return;
    const waitMs = Math.max(0, this.#lastMs + this.#intervalMs - this.#clock.monotonicMs());
    this.#cancel = this.#clock.after(waitMs, () => {
      this.#cancel = null;
      this.#lastMs = this.#clock.monotonicMs();
      this.#run();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}

/** So long heartbeats, leases and answers wait at most for a piece of work. */
const SLICE_MS = 10;

/**
 * One piece of work at a time, done in slices: whatever else the thread has to do comes between
 * them.
 */
export class SlicedWork<T> {
  readonly #clock: MonotonicClock;
  readonly #onDone: () => void;
  #steps: Steps<T> | null = null;
  #result: { value: T } | null = null;
  #cancel: (() => void) | null = null;

  /** @param onDone called when the work has taken more than its first slice, once it is done. */
  constructor(clock: MonotonicClock, onDone: () => void) {
    this.#clock = clock;
    this.#onDone = onDone;
  }

  /** True from `start` on until the result has been taken. */
  get isBusy(): boolean {
    return this.#steps !== null || this.#result !== null;
  }

  /** Works for one slice. The caller has checked `isBusy`. */
  start(steps: Steps<T>): void {
    this.#steps = steps;
    if (!this.#slice()) this.#goOn();
  }

  /** The result, once. */
  take(): T | null {
    const result = this.#result;
    this.#result = null;
    return result?.value ?? null;
  }

  stop(): void {
    this.#cancel?.();
    this.#steps = null;
  }

  #goOn(): void {
    this.#cancel = this.#clock.after(0, () => {
      this.#cancel = null;
      if (this.#slice()) this.#onDone();
      else this.#goOn();
    });
  }

  /** True once the work is done. */
  #slice(): boolean {
    const endMs = this.#clock.monotonicMs() + SLICE_MS;
    do {
      const { done, value } = this.#steps!.next();
      if (!done) continue;
      this.#steps = null;
      this.#result = { value };
      return true;
    } while (this.#clock.monotonicMs() < endMs);
    return false;
  }
}
