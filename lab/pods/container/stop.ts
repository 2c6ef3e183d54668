import { constants } from 'node:os';
import type { WallClock } from '../../../control/clock.ts';
import { type ProcessId, signal } from '../../host/process.ts';
import type { Terminated } from '../status/phase.ts';

export interface Stop {
  process: ProcessId;
  /** True once the container is gone. */
  gone: () => boolean;
  /** When to kill it, ms since 1970. It may become earlier meanwhile. */
  deadlineMs: () => number;
  /** The preStop hook. It gets the time that is left. */
  preStop: ((timeoutMs: number) => Promise<unknown>) | null;
  clock: WallClock;
  /** Sends a signal. Tests replace it. */
  send?: (process: ProcessId, name: NodeJS.Signals) => void;
}

/** Least time between the end of the hook and SIGKILL (minimumGracePeriodInSeconds). */
const AFTER_HOOK_MS_MIN = 2000;
const KILL_MS_MAX = 5000;
const POLL_MS = 20;

/**
 * Ends a container: hook, SIGTERM, and SIGKILL at the deadline. If the deadline has passed already,
 * the hook does not run. Resolves when the container is gone, or survives SIGKILL for 5 s. Source:
 * pkg/kubelet/kuberuntime, killContainer.
 */
export async function stopContainer(stop: Stop): Promise<void> {
  const { process, gone, deadlineMs, preStop, clock, send = signal } = stop;
  let killMs = deadlineMs;
  if (preStop && deadlineMs() > clock.unixMs()) {
    let over = false;
    void preStop(deadlineMs() - clock.unixMs()).finally(() => {
      over = true;
    });
    await poll(clock, () => over || gone() || clock.unixMs() >= deadlineMs());
    const grantedMs = deadlineMs();
    const leastMs = clock.unixMs() + AFTER_HOOK_MS_MIN;
    // A deadline that became earlier meanwhile is kept.
    killMs = () => (deadlineMs() < grantedMs ? deadlineMs() : Math.max(grantedMs, leastMs));
  }
  if (!gone()) send(process, 'SIGTERM');
  await poll(clock, () => gone() || clock.unixMs() >= killMs());
  if (!gone()) send(process, 'SIGKILL');
  const untilMs = clock.unixMs() + KILL_MS_MAX;
  await poll(clock, () => gone() || clock.unixMs() >= untilMs);
}

async function poll(clock: WallClock, holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => void clock.after(POLL_MS, resolve));
}

/** How a container ended, without times. */
export type Ending = Pick<Terminated, 'exitCode' | 'reason' | 'message'>;

/** What a kubelet reports for a container whose end it has not seen. */
export const END_UNKNOWN: Ending = {
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'it ended while no pod runner was there',
};

/**
 * Converts what Node reports of an ended process. A signal becomes 128 plus its number, as in a
 * shell.
 */
export function endingOf(code: number | null, signal: NodeJS.Signals | null): Ending {
  const exitCode = signal ? 128 + constants.signals[signal] : (code ?? 128);
  const reason = exitCode === 0 ? 'Completed' : 'Error';
  return { exitCode, reason, ...(signal && { message: `killed by ${signal}` }) };
}
