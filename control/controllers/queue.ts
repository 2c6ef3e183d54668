import { isPassing } from '../apiserver/later.ts';

/** Keys that wait for work: each once, however often it is added, and worked off a slice at a time. */
export class WorkQueue {
  readonly #keys = new Set<string>();
  readonly #work: (key: string) => void;
  readonly #idle: (() => void)[] = [];
  #scheduled = false;
  #stopped = false;

  constructor(work: (key: string) => void) {
    this.#work = work;
  }

  add(key: string): void {
    if (this.#stopped) return;
    this.#keys.add(key);
    this.#schedule();
  }

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
      try {
        this.#work(key);
      } catch (error) {
        // One object that cannot be handled must not keep the others waiting; its next change tries again.
        console.error(`controller: ${key}: ${(error as Error).stack}`);
        // A full disk is nobody's fault, and nobody would tell when there is room again.
        if (isPassing(error)) setTimeout(() => this.add(key), RETRY_MS).unref();
      }
      if (performance.now() > until) break;
    }
    if (this.#keys.size > 0) this.#schedule();
    else this.#settle();
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

const SLICE_MS = 5;
const RETRY_MS = 1000;
