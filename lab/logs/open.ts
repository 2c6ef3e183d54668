// Starts a run: makes its pipe and waits for the log writer.
import { chmodSync, closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { makeFolder } from '../../control/files.ts';
import { KubetunError } from '../../datapath/error.ts';
import { makeFifo } from '../../datapath/io/sys.ts';
import { filePath, type LogRun, nextRun, pipePath, pipesFolder } from './files.ts';

const TAKEN_MS_MAX = 5000;
const POLL_MS = 5;
/**
 * A container may open its `/dev/stdout` as any user. Other users of the machine cannot reach the
 * folder.
 */
const PIPE_MODE = 0o622;

/**
 * Makes the pipe of a new run and opens it for a process's output. The descriptor is also readable,
 * so that the pipe and its content survive the end of a log writer. Throws SystemError, or Node's
 * error.
 */
export function openPipe(stateDir: string, name: string): { fd: number; log: LogRun } {
  makeFolder(pipesFolder(stateDir), 0o700);
  const log = nextRun({ stateDir, name });
  const path = pipePath(log);
  makeFifo(path, PIPE_MODE);
  chmodSync(path, PIPE_MODE);
  return { fd: openSync(path, 'r+'), log };
}

/**
 * The same for a process that may end at once. Waits until the log writer has opened the pipe.
 * Throws KubetunError KT_LOG_WRITER.
 */
export async function openLog(stateDir: string, name: string): Promise<number> {
  const { fd, log } = openPipe(stateDir, name);
  const until = Date.now() + TAKEN_MS_MAX;
  while (!existsSync(filePath(log, 0))) {
    if (Date.now() > until) {
      closeSync(fd);
      rmSync(pipePath(log), { force: true });
      throw new KubetunError(
        'KT_LOG_WRITER',
        `no log writer has opened the log ${name} within ${TAKEN_MS_MAX / 1000} s`,
        "free space on the disk of the lab's folder, and read supervisor.log in that folder",
      );
    }
    await setTimeout(POLL_MS);
  }
  return fd;
}
