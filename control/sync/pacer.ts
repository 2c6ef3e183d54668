// When work runs: bursts of requests as few runs, long work in slices.
import type { Steps } from '../../datapath/steps.ts';
import type { MonotonicClock } from '../clock.ts';

/**
 * Turns many requests into few runs. The first request after a pause runs at once, later ones at an
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

  /** Requests a run. It sees everything that changes before it starts. */
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

/** Heartbeats, leases and answers wait at most this long for a slice of work. */
const SLICE_MS = 10;

/** Does one piece of work at a time in slices, and lets the thread do other things in between. */
export class SlicedWork<T> {
  readonly #clock: MonotonicClock;
  readonly #onDone: () => void;
  #steps: Steps<T> | null = null;
  #result: { value: T } | null = null;
  #cancel: (() => void) | null = null;

  /** @param onDone called at the end of work that took more than one slice. */
  constructor(clock: MonotonicClock, onDone: () => void) {
    this.#clock = clock;
    this.#onDone = onDone;
  }

  /** True from `start` until the result is taken. */
  get isBusy(): boolean {
    return this.#steps !== null || this.#result !== null;
  }

  /** Works for one slice. Call it only when `isBusy` is false. */
  start(steps: Steps<T>): void {
    this.#steps = steps;
    if (!this.#slice()) this.#goOn();
  }

  /** The result of finished work, once; else null. */
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

  /** Returns true at the end of the work. */
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
