// Paths of container logs. Each start of a container is a run with a pipe and a sequence of files:
// `logs/NAME/RUN-NUMBER.log`, `logs/pipes/NAME_RUN`. The pipe exists until the run ends.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../../control/files.ts';

/** Size at which the next file starts: a kubelet's containerLogMaxSize. */
export const FILE_BYTES_MAX = 10 * 1024 * 1024;
/** Number of files kept per run: a kubelet's containerLogMaxFiles. */
export const FILES_MAX = 5;

/** One run of a container. `run` is its start in ms since 1970, and unique per container. */
export interface LogRun {
  stateDir: string;
  name: string;
  run: number;
}

/** Name of a container's log. Names of Kubernetes contain no underscore. */
export function logName(namespace: string, pod: string, container: string): string {
  return `${namespace}_${pod}_${container}`;
}

export function logFolder({ stateDir, name }: Pick<LogRun, 'stateDir' | 'name'>): string {
  return join(stateDir, 'logs', name);
}

export function pipesFolder(stateDir: string): string {
  return join(stateDir, 'logs', 'pipes');
}

/** Pipe of a run. It exists until all output of the run is in its files. */
export function pipePath({ stateDir, name, run }: LogRun): string {
  return join(pipesFolder(stateDir), `${name}_${run}`);
}

/** Runs with a pipe. */
export function openRuns(stateDir: string): LogRun[] {
  return namesIn(pipesFolder(stateDir)).map((file) => {
    const at = file.lastIndexOf('_');
    return { stateDir, name: file.slice(0, at), run: Number(file.slice(at + 1)) };
  });
}

export function filePath(log: LogRun, number: number): string {
  return join(logFolder(log), `${log.run}-${number}.log`);
}

/** Numbers of the files of a run, oldest first. */
export function fileNumbers(log: LogRun): number[] {
  return filesOf(log)
    .filter(([run]) => run === log.run)
    .map(([, number]) => number)
    .sort((a, b) => a - b);
}

/** Runs with files, oldest first. */
export function runsOf(log: Pick<LogRun, 'stateDir' | 'name'>): number[] {
  return [...new Set(filesOf(log).map(([run]) => run))].sort((a, b) => a - b);
}

/** A new run. Of the earlier runs, only the last one is kept. */
export function nextRun(log: Pick<LogRun, 'stateDir' | 'name'>): LogRun {
  const folder = logFolder(log);
  makeFolder(folder);
  const runs = runsOf(log);
  const last = runs.at(-1) ?? 0;
  for (const [run, number] of filesOf(log)) {
    if (run !== last) rmSync(filePath({ ...log, run }, number), { force: true });
  }
  return { ...log, run: Math.max(last + 1, Date.now()) };
}

/** Removes the logs of a pod, so that a later pod of the same name does not show them. */
export function removeLogs(stateDir: string, namespace: string, pod: string): void {
  const prefix = logName(namespace, pod, '');
  for (const name of namesIn(join(stateDir, 'logs'))) {
    if (name.startsWith(prefix)) rmSync(logFolder({ stateDir, name }), { recursive: true });
  }
}

function filesOf(log: Pick<LogRun, 'stateDir' | 'name'>): [run: number, number: number][] {
  return namesIn(logFolder(log)).map((file) => {
    const [run, number] = file.split(/[-.]/);
    return [Number(run), Number(number)];
  });
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
