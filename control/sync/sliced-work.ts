import type { Steps } from '../../datapath/steps.ts';
import type { Clock } from './pacer.ts';

/** So long heartbeats, leases and answers wait at most for a piece of work. */
const SLICE_MS = 10;

/**
 * One piece of work at a time, done in slices: whatever else the thread has to do comes between
 * them.
 */
export class SlicedWork<T> {
  readonly #clock: Clock;
  readonly #onDone: () => void;
  #steps: Steps<T> | null = null;
  #result: { value: T } | null = null;
  #cancel: (() => void) | null = null;

  /** @param onDone called when the work has taken more than its first slice, once it is done. */
  constructor(clock: Clock, onDone: () => void) {
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
    const endMs = this.#clock.nowMs() + SLICE_MS;
    do {
      const { done, value } = this.#steps!.next();
      if (!done) continue;
      this.#steps = null;
      this.#result = { value };
      return true;
    } while (this.#clock.nowMs() < endMs);
    return false;
  }
}
