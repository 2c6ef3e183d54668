import { StatusError } from '../apiserver/status.ts';

const RETRY_MS = 1000;

/** True for what may go better in a while, such as a write while the disk is full. */
export function isPassing(error: unknown): boolean {
  return error instanceof StatusError && error.code >= 500;
}

/**
 * Does something once the change that asks for it has been told to all: nobody may write while an
 * event is told. What fails is reported, as nobody waits for it, and tried again if that may help.
 */
export function later(task: () => void): void {
  queueMicrotask(() => {
    try {
      task();
    } catch (error) {
      console.error(`API server: ${(error as Error).stack}`);
      if (isPassing(error)) setTimeout(() => later(task), RETRY_MS).unref();
    }
  });
}
