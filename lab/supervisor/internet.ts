// The server that the internet of a lab consists of.
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { stateDir } from '../../control/places.ts';
import { openPipe } from '../logs/open.ts';
import { namespaceOf, namespacePath } from '../places/names.ts';
import { PROJECT_ROOT } from '../places/paths.ts';
import { keepProcess } from './keep.ts';

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
