// Where the logs of a lab lie. A log belongs to a container; each start of that is a run, with a
// pipe until the run ends and with files that become full one after the other:
// `logs/NAME/RUN-NUMBER.log`, `logs/pipes/NAME_RUN`.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../../control/files.ts';

/** A file of this size is followed by another one: a kubelet's containerLogMaxSize. */
export const FILE_BYTES_MAX = 10 * 1024 * 1024;
/** Files that are kept of a run: a kubelet's containerLogMaxFiles. */
export const FILES_MAX = 5;

/**
 * One run of a container, by when it was started: ms since 1970, and never the number of an earlier
 * one.
 */
export interface LogRun {
  stateDir: string;
  name: string;
  run: number;
}

/** What the log of a container is called. The names of Kubernetes have no underscores. */
export function logName(namespace: string, pod: string, container: string): string {
  return `${namespace}_${pod}_${container}`;
}

export function logFolder({ stateDir, name }: Pick<LogRun, 'stateDir' | 'name'>): string {
  return join(stateDir, 'logs', name);
}

export function pipesFolder(stateDir: string): string {
  return join(stateDir, 'logs', 'pipes');
}

/** It is there until everything that was said in this run is in its files. */
export function pipePath({ stateDir, name, run }: LogRun): string {
  return join(pipesFolder(stateDir), `${name}_${run}`);
}

/** The runs whose pipes are there. */
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

/** Runs of which there are files, oldest first. */
export function runsOf(log: Pick<LogRun, 'stateDir' | 'name'>): number[] {
  return [...new Set(filesOf(log).map(([run]) => run))].sort((a, b) => a - b);
}

/** Makes room for another run: of the earlier ones only the last is kept. */
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

/** Removes the logs of a pod: another one of its name is to have none of them. */
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
