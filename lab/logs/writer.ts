// Copies a container's pipe into its log files, within a rate limit.
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { Socket } from 'node:net';
import {
  FILE_BYTES_MAX,
  FILES_MAX,
  fileNumbers,
  filePath,
  type LogRun,
  pipePath,
} from './files.ts';
import { countLines, encodeEntries, formatTime, wholeEntries } from './format.ts';

/** Long-term rate of a log. A faster container blocks on its pipe. */
const BYTES_PER_MS = 8 * 1024;
/** Burst at that rate, as a time. */
const BURST_MS = 2000;
const READ_BYTES = 64 * 1024;

/** The files of one run. One process writes them, several read them. */
export class LogFiles {
  readonly #log: LogRun;
  #number: number;
  #fd: number;
  #size: number;
  /** Lines dropped since the last successful write. */
  #dropped = 0;

  /** Continues after the last whole entry of an earlier writer. Throws the system's error. */
  constructor(log: LogRun) {
    this.#log = log;
    this.#number = fileNumbers(log).at(-1) ?? 0;
    const path = filePath(log, this.#number);
    this.#fd = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#fd).size;
    if (this.#size > 0) this.#cutTo(wholeEntries(readFileSync(path)).length);
  }

  /**
   * Writes output with its time (ms since 1970) and returns the bytes of its entries. On a full
   * disk the output is dropped and counted.
   */
  append(said: Uint8Array, nowMs: number): number {
    const time = formatTime(nowMs);
    const entries = encodeEntries(said, time);
    if (this.#reportDropped(time) && this.#write(entries)) return entries.length;
    this.#dropped += Math.max(1, countLines(said));
    return entries.length;
  }

  close(): void {
    this.#reportDropped(formatTime(Date.now()));
    closeSync(this.#fd);
  }

  #reportDropped(time: string): boolean {
    if (this.#dropped === 0) return true;
    const lines = `${this.#dropped} lines of this log were dropped`;
    const text = `kubetun: ${lines} because its disk was full\n`;
    if (!this.#write(encodeEntries(Buffer.from(text), time))) return false;
    this.#dropped = 0;
    return true;
  }

  /** All or nothing: half an entry would be read as a whole one. */
  #write(entries: Buffer): boolean {
    try {
      if (this.#size + entries.length > FILE_BYTES_MAX) this.#rotate();
      for (let at = 0; at < entries.length; ) at += writeSync(this.#fd, entries, at);
      this.#size += entries.length;
      return true;
    } catch {
      this.#cutTo(this.#size);
      return false;
    }
  }

  #cutTo(size: number): void {
    ftruncateSync(this.#fd, size);
    this.#size = size;
  }

  /** A file counts as complete once a later one exists. */
  #rotate(): void {
    const fd = openSync(filePath(this.#log, this.#number + 1), 'a', 0o600);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#number++;
    this.#size = 0;
    rmSync(filePath(this.#log, this.#number - FILES_MAX), { force: true });
  }
}

/** Shared by all logs: each read is written before the next one. */
const BUFFER = Buffer.alloc(READ_BYTES);

/**
 * Writes the log of a run until its last process closes the pipe, then removes the pipe. Throws the
 * system's error.
 */
export function writeLog(log: LogRun, onEnd: () => void): void {
  const path = pipePath(log);
  const files = new LogFiles(log);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  /** Time at which the rate limit allows all bytes written so far. */
  let paidMs = 0;
  const take = (bytes: number): boolean => {
    const now = Date.now();
    paidMs =
      Math.max(paidMs, now - BURST_MS) +
      files.append(BUFFER.subarray(0, bytes), now) / BYTES_PER_MS;
    if (paidMs <= now) return true;
    setTimeout(() => pipe.resume(), paidMs - now);
    return false;
  };
  const pipe = new Socket({
    fd,
    readable: true,
    writable: false,
    onread: { buffer: BUFFER, callback: take },
  });
  pipe.on('error', () => {});
  pipe.once('close', () => {
    files.close();
    rmSync(path, { force: true });
    onEnd();
  });
}
