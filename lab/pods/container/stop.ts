import { constants } from 'node:os';
import type { WallClock } from '../../../control/clock.ts';
import { type ProcessId, signal } from '../../host/process.ts';
import type { Terminated } from '../status/phase.ts';

export interface Stop {
  process: ProcessId;
  /** True once it is gone. */
  gone: () => boolean;
  /** When to kill it, ms since 1970; may come nearer meanwhile. */
  deadlineMs: () => number;
  /** Its hook, with the time that there is for it. */
  preStop: ((timeoutMs: number) => Promise<unknown>) | null;
  clock: WallClock;
  /** Sends a signal; tests have one of their own. */
  send?: (process: ProcessId, name: NodeJS.Signals) => void;
}

/** What a container has after its hook, however long that took (minimumGracePeriodInSeconds). */
const AFTER_HOOK_MS_MIN = 2000;
const KILL_MS_MAX = 5000;
const POLL_MS = 20;

/**
 * Ends a container: its hook, SIGTERM, and SIGKILL when its time is over. Without any time left
 * there is no hook. Resolves when it is gone, or does not even die. pkg/kubelet/kuberuntime:
 * killContainer.
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
    // Whoever brings the end nearer means it.
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

/** How it ended, without when. */
export type Ending = Pick<Terminated, 'exitCode' | 'reason' | 'message'>;

/** As a kubelet says of a container whose end it has not seen. */
export const END_UNKNOWN: Ending = {
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'it ended while nobody looked after the pod',
};

/** What Node tells of a process that has ended; a signal counts as a shell would say. */
export function endingOf(code: number | null, signal: NodeJS.Signals | null): Ending {
  const exitCode = signal ? 128 + constants.signals[signal] : (code ?? 128);
  const reason = exitCode === 0 ? 'Completed' : 'Error';
  return { exitCode, reason, ...(signal && { message: `ended by ${signal}` }) };
}
