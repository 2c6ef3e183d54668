// The server that the internet of a lab consists of.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { namespaceOf, namespacePath } from '../state/names.ts';
import { internetLogPath, PROJECT_ROOT } from '../state/paths.ts';

export const INTERNET_HTTP_PORT = 80;
export const INTERNET_UDP_PORT = 8081;

/** HTTP on port 80 and UDP on 8081, both of which tell a client the address that it comes from. */
export function startInternet(lab: string): ChildProcess {
  const log = openSync(internetLogPath(lab), 'a', 0o640);
  const args = [
    `--net=${namespacePath(namespaceOf(lab, 'internet'))}`,
    process.execPath,
    join(PROJECT_ROOT, 'lab/apps/netexec.ts'),
    ...['netexec', `--http-port=${INTERNET_HTTP_PORT}`, `--udp-port=${INTERNET_UDP_PORT}`],
  ];
  const env = { ...process.env, HOSTNAME: 'internet' };
  try {
    return spawn('nsenter', args, { detached: true, stdio: ['ignore', log, log], cwd: '/', env });
  } finally {
    closeSync(log);
  }
}
