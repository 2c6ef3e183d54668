import type { MonotonicClock, WallClock } from '../../control/clock.ts';

/** A clock that tests advance, the same for both epochs. */
export class FakeClock implements MonotonicClock, WallClock {
  #nowMs: number;
  #timers: { atMs: number; call: () => void }[] = [];

  constructor(nowMs = 0) {
    this.#nowMs = nowMs;
  }

  /** Number of pending calls. */
  get waiting(): number {
    return this.#timers.length;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  unixMs(): number {
    return this.#nowMs;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, call };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Time of the next call; Infinity if there is none. */
  get nextMs(): number {
    return Math.min(...this.#timers.map(({ atMs }) => atMs));
  }

  /** Moves to the time of the next call and runs it. */
  runNext(): void {
    const due = this.#timers.find(({ atMs }) => atMs === this.nextMs)!;
    this.#timers = this.#timers.filter((other) => other !== due);
    this.#nowMs = Math.max(this.#nowMs, due.atMs);
    due.call();
  }

  /** Advances time and runs the due calls in order. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.nextMs <= untilMs) this.runNext();
    this.#nowMs = untilMs;
  }
}

/** A clock for code with promises: after each timer, its promise callbacks run before the next. */
export class TestClock extends FakeClock {
  async pass(ms: number): Promise<void> {
    const endMs = this.monotonicMs() + ms;
    for (let dueMs = this.nextMs; dueMs <= endMs; dueMs = this.nextMs) {
      this.runNext();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.advance(endMs - this.monotonicMs());
  }
}
