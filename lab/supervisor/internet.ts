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

/**
 * HTTP on port 80 and UDP on 8081, both of which tell a client the address that it comes from. One that runs
 * already, from an earlier supervisor, goes on.
 */
export function keepInternet(lab: string, onError: (error: Error) => void): void {
  const running = readRecord(lab)?.internet;
  if (running && isAlive(running)) return;
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
  updateRecord(lab, { internet: identify(child.pid ?? -1) });
}
