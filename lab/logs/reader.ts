// Reads the log of a run across its files.
import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { fileNumbers, filePath, type LogRun } from './files.ts';
import { type DecodeOptions, Decoder, endsInPiece, skipLinesBack, wholeEntries } from './format.ts';

const POLL_MS = 100;
/** More than the longest entry. */
const CHUNK_BYTES = 256 * 1024;

export interface ReadOptions extends DecodeOptions {
  /** Starts at the last `tailLines` lines. Null starts at the beginning. */
  tailLines: number | null;
  /**
   * True once the output is complete. Everything before that is read. Null reads only what exists
   * at the call.
   */
  isOver: (() => boolean) | null;
  /** Ends a waiting reader. */
  signal: AbortSignal;
}

/**
 * Yields the text of a log in pieces until it is complete. `tailLines` counts from the time of the
 * call.
 */
export function readLog(log: LogRun, options: ReadOptions): AsyncGenerator<Buffer> {
  const entries = new EntryReader(log, options.tailLines, options.isOver === null);
  // A generator that was never started does not close it.
  options.signal.addEventListener('abort', () => entries.close(), { once: true });
  return read(entries, options);
}

async function* read(entries: EntryReader, options: ReadOptions): AsyncGenerator<Buffer> {
  const decoder = new Decoder(options);
  try {
    while (!options.signal.aborted) {
      // Asked before the read, so that the last output is included.
      const isOver = options.isOver?.() ?? true;
      for (let some = entries.next(); some && !options.signal.aborted; some = entries.next()) {
        const text = decoder.decode(some);
        if (text.length > 0) yield text;
        if (decoder.isOver) return;
      }
      if (isOver) return;
      await setTimeout(POLL_MS);
    }
  } finally {
    entries.close();
  }
}

/** Reads entries across files. A file that is removed meanwhile is read to its end. */
class EntryReader {
  readonly #log: LogRun;
  #number = -1;
  #fd = -1;
  #offset = 0;
  /** End of a bounded read. Without it, a log that grows faster than it is read would never end. */
  readonly #lastNumber: number = Number.POSITIVE_INFINITY;
  readonly #lastSize: number = 0;

  constructor(log: LogRun, tailLines: number | null, isBounded: boolean) {
    this.#log = log;
    if (isBounded) {
      this.#lastNumber = fileNumbers(log).at(-1) ?? 0;
      this.#lastSize = sizeOf(filePath(log, this.#lastNumber));
    }
    if (tailLines !== null) this.#skipTo(tailLines);
  }

  /** Whole entries. Null if there are no more at the moment. */
  next(): Buffer | null {
    for (;;) {
      const some = this.#read();
      if (some) return some;
      const later = fileNumbers(this.#log).find((number) => number > this.#number);
      if (later === undefined || this.#number >= this.#lastNumber) return null;
      // The next file exists, so this one is complete. Its last entries may have arrived since.
      const rest = this.#read();
      if (rest) return rest;
      this.#open(later, 0);
    }
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #read(): Buffer | null {
    if (this.#fd < 0) return null;
    const size = this.#number === this.#lastNumber ? this.#lastSize : fstatSync(this.#fd).size;
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(0, size - this.#offset)));
    const bytes = readSync(this.#fd, chunk, 0, chunk.length, this.#offset);
    const whole = wholeEntries(chunk.subarray(0, bytes));
    this.#offset += whole.length;
    return whole.length > 0 ? whole : null;
  }

  /** A missing file is skipped: its successor exists. */
  #open(number: number, offset: number): void {
    this.close();
    this.#number = number;
    this.#offset = offset;
    try {
      this.#fd = openSync(filePath(this.#log, number), 'r');
    } catch (error) {
      // It was just removed, so its successor exists.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  /** Goes to the start of the last `lines` lines. An unfinished line counts. */
  #skipTo(lines: number): void {
    const numbers = fileNumbers(this.#log)
      .filter((number) => number <= this.#lastNumber)
      .reverse();
    let left = lines;
    for (const number of numbers) {
      const bytes = readOrEmpty(filePath(this.#log, number));
      const end = number === this.#lastNumber ? this.#lastSize : bytes.length;
      const entries = wholeEntries(bytes.subarray(0, end));
      if (lines === 0) return this.#open(number, entries.length);
      if (number === numbers[0] && endsInPiece(entries)) left--;
      const found = skipLinesBack(entries, left);
      if (found.offset >= 0) return this.#open(number, found.offset);
      left = found.left;
    }
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function readOrEmpty(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    // It was just removed as the oldest file.
    return Buffer.alloc(0);
  }
}
