import { existsSync, readdirSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs';
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

/** What a log may take on the disk: a kubelet's containerLogMaxSize. */
const LOG_BYTES_MAX = 10 * 1024 * 1024;

/**
 * Empties logs that have grown too long: containers write to the end of whatever is there. What was said before is
 * lost, as the disk is everyone's.
 */
export function capLogs(stateDir: string): void {
  const folder = join(stateDir, 'logs');
  if (!existsSync(folder)) return;
  let names: string[] = [];
  try {
    names = readdirSync(folder);
  } catch {
    // Without a free descriptor logs are looked at the next time.
  }
  for (const path of names.map((file) => join(folder, file))) {
    try {
      if (statSync(path).size > LOG_BYTES_MAX) truncateSync(path);
    } catch {
      // It went with its pod.
    }
  }
}
