// The lock of a lab: one command at a time changes it.
import { createServer, type Server } from 'node:net';
import { KubetunError } from '../../datapath/error.ts';

const POLL_MS = 100;

export interface LabLock {
  release(): void;
}

/**
 * Takes the lock of a lab, waiting at most `waitMs`. The lock is an abstract socket name, so the
 * kernel releases it when its holder ends (unix(7)). Throws KubetunError KT_LAB_BUSY.
 */
export async function lockLab(lab: string, waitMs: number): Promise<LabLock> {
  const until = Date.now() + waitMs;
  while (true) {
    const server = await listen(`\0kubetun/lab/${lab}`);
    if (server) return { release: () => void server.close() };
    if (Date.now() >= until) {
      throw new KubetunError(
        'KT_LAB_BUSY',
        `lab ${lab} is being started or ended by another command`,
        'wait for that one, or choose another name with --lab',
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Null if another process holds the name. */
function listen(name: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    server.listen(name, () => resolve(server.unref()));
  });
}
