import { Worker } from 'node:worker_threads';
import { KubetunError } from '../../datapath/error.ts';
import type { ApiServer, ApiServerOptions } from './server.ts';

/**
 * The API server on a thread of its own, so that a large list delays nobody else. Rejects with KubetunError
 * KT_API_START; `onDeath` is called if it ends later without being asked to.
 */
export function spawnApiServer(
  options: ApiServerOptions,
  onDeath: (error: Error) => void,
): Promise<ApiServer> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./thread.ts', import.meta.url), { workerData: options });
    let state: 'starting' | 'serving' | 'closing' = 'starting';
    const fail = (error: Error) => {
      const message = `the API server does not start: ${error.message}`;
      reject(new KubetunError('KT_API_START', message, '', { cause: error }));
      if (state === 'serving') onDeath(error);
      state = 'closing';
    };
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.on('error', fail);
    worker.once('exit', (code) => {
      if (state !== 'closing') fail(new Error(`its thread ended with code ${code}`));
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
