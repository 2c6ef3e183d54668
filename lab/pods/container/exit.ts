// How a container ended, as its status says it.
import { constants } from 'node:os';
import type { Terminated } from '../status/status.ts';

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
