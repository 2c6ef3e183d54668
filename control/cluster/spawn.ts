import { Worker } from 'node:worker_threads';
import { KubetunError } from '../../datapath/error.ts';
import type { ApiServer, ApiServerOptions } from './server.ts';

/**
 * Runs the API server on a separate thread, so that a large list delays nothing else. Rejects
 * with KubetunError KT_API_START. Calls `onDeath` if the server ends later without `close`, after
 * its thread and sockets are gone.
 */
export function spawnApiServer(
  options: ApiServerOptions,
  onDeath: (error: Error) => void,
): Promise<ApiServer> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./thread.ts', import.meta.url), { workerData: options });
    let state: 'starting' | 'serving' | 'closing' = 'starting';
    let reason: Error | null = null;
    worker.on('error', (error) => {
      reason = error;
    });
    const ended = new Promise<void>((resolve) => {
      worker.once('exit', (code) => {
        const why = reason ?? new Error(`its thread ended with code ${code}`);
        const message = `the API server does not start: ${why.message}`;
        if (state === 'serving') onDeath(why);
        else if (state === 'starting')
          reject(new KubetunError('KT_API_START', message, '', { cause: why }));
        resolve();
      });
    });
    worker.once('message', (ports: number[]) => {
      state = 'serving';
      resolve({
        ports,
        close() {
          state = 'closing';
          worker.postMessage('close');
          return ended;
        },
      });
    });
  });
}
