// Entry of the supervisor's process: `main.ts LAB`. Its output goes to supervisor.log.
import { createLog } from '../../control/log.ts';
import { KubetunError } from '../../datapath/error.ts';
import { type Stage, startSupervisor } from './supervisor.ts';

/** Messages to the process that started the supervisor. */
export type SupervisorMessage = Stage;

const lab = process.argv[2] ?? '';
const log = createLog({ lab, pid: process.pid });

function tell(message: SupervisorMessage): void {
  if (process.connected) process.send?.(message, () => {});
}

// Agents and pods go on without the supervisor. The next `lab up` starts a new one.
process.on('uncaughtException', (error, origin) => {
  log.fatal({ origin, error: String(error.stack ?? error) }, 'the supervisor ends');
  process.exit(1);
});
// The lab stays when the process that started it ends.
process.on('disconnect', () => {});
process.on('SIGHUP', () => {});

try {
  const supervisor = await startSupervisor(lab, log, tell);
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, async () => {
      log.info({ signal: name }, 'stopping');
      await supervisor.stop();
      log.info({}, 'stopped');
      process.exit(0);
    });
  }
} catch (error) {
  log.fatal({ error: String((error as Error).stack ?? error) }, 'the lab does not start');
  const known = error instanceof KubetunError;
  const message = known ? error.message : `the supervisor failed: ${(error as Error).message}`;
  tell({ stage: 'failed', message, next: known ? error.next : '' });
  process.exitCode = 1;
  setTimeout(() => process.exit(1), 100);
}
