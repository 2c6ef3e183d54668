import { readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { logPath, previousLogPath } from './records.ts';

/** Puts the log of a container that starts again aside, in place of the one before that. */
export function keepPreviousLog(
  stateDir: string,
  namespace: string,
  pod: string,
  container: string,
): void {
  try {
    const from = logPath(stateDir, namespace, pod, container);
    renameSync(from, previousLogPath(stateDir, namespace, pod, container));
  } catch (error) {
    // It starts for the first time.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Removes the logs of a pod: another one of its name is to have none of them. */
export function removeLogs(stateDir: string, namespace: string, pod: string): void {
  const prefix = logPath(stateDir, namespace, pod, '').slice(0, -'.log'.length);
  const folder = dirname(prefix);
  for (const file of readdirSync(folder)) {
    if (file.startsWith(basename(prefix))) rmSync(join(folder, file), { force: true });
  }
}
