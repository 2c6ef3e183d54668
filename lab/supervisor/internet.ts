// The server that the internet of a lab consists of.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { identify, isAlive } from '../host/process.ts';
import { namespaceOf, namespacePath } from '../state/names.ts';
import { internetLogPath, PROJECT_ROOT } from '../state/paths.ts';
import { readRecord, updateRecord } from '../state/record.ts';

export const INTERNET_HTTP_PORT = 80;
export const INTERNET_UDP_PORT = 8081;

const LOOK_MS = 1000;

/**
 * HTTP on port 80 and UDP on 8081, both of which answer a client with the address that it comes from. One that runs
 * already, from an earlier supervisor, goes on; one that has ended is started again. Returns what stops the look.
 */
export function keepInternet(lab: string, onError: (error: Error) => void): () => void {
  const look = () => {
    try {
      const record = readRecord(lab);
      // Without a record the lab is being ended, or lost it: another one would be started each time.
      if (record && !(record.internet && isAlive(record.internet))) start(lab, onError);
    } catch (error) {
      onError(error as Error);
    }
  };
  look();
  const timer = setInterval(look, LOOK_MS);
  return () => clearInterval(timer);
}

function start(lab: string, onError: (error: Error) => void): void {
  const log = openSync(internetLogPath(lab), 'a', 0o640);
  const args = [
    `--net=${namespacePath(namespaceOf(lab, 'internet'))}`,
    process.execPath,
    join(PROJECT_ROOT, 'lab/apps/netexec.ts'),
    ...['netexec', `--http-port=${INTERNET_HTTP_PORT}`, `--udp-port=${INTERNET_UDP_PORT}`],
  ];
  const env = { ...process.env, HOSTNAME: 'internet' };
  const stdio = ['ignore', log, log] as const;
  const child = spawn('nsenter', args, { detached: true, stdio: [...stdio], cwd: '/', env });
  closeSync(log);
  child.once('error', onError);
  try {
    updateRecord(lab, { internet: identify(child.pid ?? -1) });
  } catch (error) {
    // Without a record another one would be started beside it.
    child.kill('SIGKILL');
    throw error;
  }
}
