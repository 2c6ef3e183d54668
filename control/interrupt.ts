import { constants } from 'node:os';

const INTERRUPTS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Ends the process on Ctrl-C and SIGTERM: runs `end`, then exits with 128 plus the signal's number
 * (130, 143). A second signal does not interrupt `end`. The result removes the handlers.
 */
export function onInterrupt(end: () => unknown): () => void {
  let isEnding = false;
  const stop = async (name: (typeof INTERRUPTS)[number]) => {
    if (isEnding) return;
    isEnding = true;
    try {
      await end();
    } catch (error) {
      console.error(`kubetun: the end after ${name} failed: ${(error as Error).message}`);
    } finally {
      process.exit(128 + constants.signals[name]);
    }
  };
  for (const name of INTERRUPTS) process.on(name, stop);
  return () => {
    for (const name of INTERRUPTS) process.removeListener(name, stop);
  };
}
