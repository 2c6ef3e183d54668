// Processes of a lab that outlive its supervisor: found again by the lab's record, started again
// when they end.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../../control/files.ts';
import { stateDir } from '../../control/places.ts';
import { identify, isAlive, processesWithVariable } from '../host/process.ts';
import { pipesFolder } from '../logs/files.ts';
import { openPipe } from '../logs/open.ts';
import { namespaceOf, namespacePath } from '../places/names.ts';
import { PROJECT_ROOT } from '../places/paths.ts';
import { type LabRecord, readRecord, updateRecord } from '../state/record.ts';

const LOOK_MS = 1000;
/**
 * Names a kept process in its environment: a supervisor may have been killed before it could record
 * it.
 */
const MARK = 'KUBETUN_KEPT';

type Start = (mark: NodeJS.ProcessEnv) => ChildProcess;

/**
 * Keeps one process of a lab running. One of an earlier supervisor goes on. `field` of the record
 * names the process; `start` adds the mark that it is given to the environment of the process.
 * Returns what stops the look.
 */
export function keepProcess(
  lab: string,
  field: 'internet' | 'logWriter',
  start: Start,
  onError: (error: Error) => void,
): () => void {
  const look = () => {
    try {
      const record = readRecord(lab);
      // Without a record the lab is being ended, or lost it: another process would be started each
      // time.
      if (record && !runs(record, field)) launch(lab, field, start, onError);
    } catch (error) {
      onError(error as Error);
    }
  };
  look();
  const timer = setInterval(look, LOOK_MS);
  return () => clearInterval(timer);
}

function runs(record: LabRecord, field: 'internet' | 'logWriter'): boolean {
  const process = record[field];
  return process != null && isAlive(process);
}

function launch(
  lab: string,
  field: 'internet' | 'logWriter',
  start: Start,
  onError: (error: Error) => void,
): void {
  const value = `${lab}/${field}`;
  const [orphan] = processesWithVariable(MARK, value);
  if (orphan) return updateRecord(lab, { [field]: orphan });
  const child = start({ [MARK]: value });
  child.once('error', onError);
  child.unref();
  try {
    updateRecord(lab, { [field]: identify(child.pid ?? -1) });
  } catch (error) {
    // Without a record another one would be started beside it.
    child.kill('SIGKILL');
    throw error;
  }
}

export const INTERNET_HTTP_PORT = 80;
export const INTERNET_UDP_PORT = 8081;

/** Its log has no container's name, which consists of three. */
const LOG_NAME = 'internet';

/**
 * HTTP on port 80 and UDP on 8081, both of which answer a client with the address that it comes
 * from. Returns what stops the look.
 */
export function keepInternet(lab: string, onError: (error: Error) => void): () => void {
  const args = [
    `--net=${namespacePath(namespaceOf(lab, 'internet'))}`,
    process.execPath,
    join(PROJECT_ROOT, 'lab/apps/netexec.ts'),
    ...['netexec', `--http-port=${INTERNET_HTTP_PORT}`, `--udp-port=${INTERNET_UDP_PORT}`],
  ];
  const start = (mark: NodeJS.ProcessEnv) => {
    const env = { ...process.env, HOSTNAME: 'internet', ...mark };
    const { fd } = openPipe(stateDir(lab), LOG_NAME);
    try {
      return spawn('nsenter', args, { detached: true, stdio: ['ignore', fd, fd], cwd: '/', env });
    } finally {
      closeSync(fd);
    }
  };
  return keepProcess(lab, 'internet', start, onError);
}

const ENTRY = 'lab/logs/main.ts';

/** Returns what stops the look. */
export function keepLogWriter(lab: string, onError: (error: Error) => void): () => void {
  const start = (mark: NodeJS.ProcessEnv) => {
    makeFolder(pipesFolder(stateDir(lab)), 0o700);
    const flags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=1'];
    return spawn(process.execPath, [...flags, join(PROJECT_ROOT, ENTRY), lab, stateDir(lab)], {
      ...{ detached: true, cwd: '/', stdio: ['ignore', 'inherit', 'inherit'] },
      env: { ...process.env, ...mark },
    });
  };
  return keepProcess(lab, 'logWriter', start, onError);
}
