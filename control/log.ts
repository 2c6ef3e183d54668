// Logs of agents and of a lab's supervisor: JSON lines on stdout, in a file of limited size.
import { copyFileSync, fstatSync, ftruncateSync, readlinkSync, writeSync } from 'node:fs';
import { type Logger, pino } from 'pino';

/** Takes one line for each notable event, with its details. */
export interface Log {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

const LEVEL_WARN = 40;
const TIDY_MS = 10_000;
/** Size at which a file is rotated: a kubelet's containerLogMaxSize. */
export const LOG_BYTES_MAX = 10 * 1024 * 1024;

export interface LogFileOptions {
  fd: number;
  bytesMax?: number;
  /** Makes the line that reports dropped lines. */
  describeDropped: (lines: number) => string;
}

/**
 * Writes lines to a descriptor synchronously, because the last lines before a crash matter most. A
 * failed write drops and counts the line, and never throws. A file that is too long is copied to
 * `PATH.1` and truncated: other writers append to it, so the descriptor stays.
 */
export class LogFile {
  readonly #options: LogFileOptions;
  #dropped = 0;
  /** The last line was written incompletely. */
  #isTorn = false;

  constructor(options: LogFileOptions) {
    this.#options = options;
  }

  write(line: string): void {
    this.tidy();
    // If the report does not fit, the line does not fit either.
    if (this.#dropped > 0 || !this.#append(line)) this.#dropped++;
  }

  /** Rotates a file that is too long, and reports dropped lines if possible. */
  tidy(): void {
    this.#rotate();
    if (this.#dropped === 0) return;
    if (this.#append(this.#options.describeDropped(this.#dropped))) this.#dropped = 0;
  }

  #append(line: string): boolean {
    const bytes = Buffer.from(this.#isTorn ? `\n${line}` : line);
    let written = 0;
    try {
      while (written < bytes.length) {
        written += writeSync(this.#options.fd, bytes, written);
      }
      this.#isTorn = false;
      return true;
    } catch {
      if (written > 0) this.#isTorn = true;
      return false;
    }
  }

  #rotate(): void {
    const { fd, bytesMax = LOG_BYTES_MAX } = this.#options;
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile() || stat.size <= bytesMax) return;
      try {
        const path = readlinkSync(`/proc/self/fd/${fd}`);
        copyFileSync(path, `${path}.1`);
      } finally {
        // The limit holds even if the copy fails.
        ftruncateSync(fd);
      }
    } catch {
      // A failed rotation must not end the process.
    }
  }
}

/** A log on stdout whose writes never throw, even on a full disk. `base` is part of every line. */
export function createLog(base: object): Logger {
  const file = new LogFile({
    fd: 1,
    describeDropped: (dropped) => {
      const msg = 'log lines dropped: the log could not be written';
      return `${JSON.stringify({ level: LEVEL_WARN, time: Date.now(), ...base, dropped, msg })}\n`;
    },
  });
  // Warnings of the runtime and of other threads go to the same file directly.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  setInterval(() => file.tidy(), TIDY_MS).unref();
  return pino({ base }, file);
}
