// Keeps processes that outlive the supervisor: the server in the internet and the log writer. A
// process is found again by the lab's record and restarted when it ends.
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
 * Marks a kept process in its environment. A supervisor may be killed before it records the
 * process.
 */
const MARK = 'KUBETUN_KEPT';

type Start = (mark: NodeJS.ProcessEnv) => ChildProcess;

/**
 * Keeps one process of a lab running, and adopts that of an earlier supervisor. `field` of the
 * record names the process. `start` must add the given mark to the environment of the process.
 * Returns a function that stops the checks.
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
      // Without a record the lab is ending or has lost it. Then every check would start another
      // process.
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
    // Without a record, another process would be started beside this one.
    child.kill('SIGKILL');
    throw error;
  }
}

export const INTERNET_HTTP_PORT = 80;
export const INTERNET_UDP_PORT = 8081;
const INTERNET_DNS_PORT = 53;

/** Name of the log. Logs of containers have names of three parts, so it matches none of them. */
const LOG_NAME = 'internet';

/**
 * Keeps the server in the lab's internet: HTTP on port 80, UDP on 8081 and names of example.test on
 * 53. HTTP and UDP can answer with the client's address. `address` is that of the server. Returns a
 * function that stops the checks.
 */
export function keepInternet(
  lab: string,
  address: string,
  onError: (error: Error) => void,
): () => void {
  const args = [
    `--net=${namespacePath(namespaceOf(lab, 'internet'))}`,
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    join(PROJECT_ROOT, 'lab/apps/internet.ts'),
    address,
    ...[INTERNET_HTTP_PORT, INTERNET_UDP_PORT, INTERNET_DNS_PORT].map(String),
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

/**
 * Keeps the process that writes the logs of all containers. Returns a function that stops the
 * checks.
 */
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
