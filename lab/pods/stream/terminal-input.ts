import { write } from 'node:fs';

/** More than so much that nobody has read yet stops whoever types. */
const QUEUED_BYTES_MAX = 64 * 1024;
const RETRY_MS = 5;

/**
 * What is typed, on its way to a terminal whose programs read when they like: a terminal's buffer
 * is 4 KiB.
 */
export class TerminalInput {
  readonly #fd: number;
  readonly #pause: (paused: boolean) => void;
  readonly #isGone: () => boolean;
  #queue = Buffer.alloc(0);
  #writing = false;

  /** @param isGone true once the descriptor is closed: its number may be another file's. */
  constructor(fd: number, pause: (paused: boolean) => void, isGone: () => boolean) {
    this.#fd = fd;
    this.#pause = pause;
    this.#isGone = isGone;
  }

  write(bytes: Buffer): void {
    this.#queue = Buffer.concat([this.#queue, bytes]);
    if (this.#queue.length > QUEUED_BYTES_MAX) this.#pause(true);
    if (!this.#writing) this.#next();
  }

  #next(): void {
    this.#writing = this.#queue.length > 0 && !this.#isGone();
    if (!this.#writing) return;
    write(this.#fd, this.#queue, (error, written = 0) => {
      if (error?.code === 'EAGAIN') return void setTimeout(() => this.#next(), RETRY_MS);
      // The last program on it has ended.
      this.#queue = error ? Buffer.alloc(0) : this.#queue.subarray(written);
      if (this.#queue.length <= QUEUED_BYTES_MAX) this.#pause(false);
      this.#next();
    });
  }
}
