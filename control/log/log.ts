// The log of an agent or of a lab's supervisor: JSON lines on stdout.
import { type Logger, pino } from 'pino';
import { LogFile } from './log-file.ts';

const LEVEL_WARN = 40;
const TIDY_MS = 10_000;

/**
 * A log on stdout whose writes never throw, whatever becomes of the disk. `base` is part of every
 * line.
 */
export function createLog(base: object): Logger {
  const file = new LogFile({
    fd: 1,
    describeDropped: (dropped) => {
      const msg = 'log lines dropped: the log could not be written';
      return `${JSON.stringify({ level: LEVEL_WARN, time: Date.now(), ...base, dropped, msg })}\n`;
    },
  });
  // Warnings of the runtime and of other threads go to the same file, past the log.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  setInterval(() => file.tidy(), TIDY_MS).unref();
  return pino({ base }, file);
}
