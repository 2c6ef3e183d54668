// Entry of the API server's thread: options in, ports out, ended by a message.
import { parentPort, workerData } from 'node:worker_threads';
import { type ApiServerOptions, startApiServer } from './server.ts';

const server = await startApiServer(workerData as ApiServerOptions);
parentPort?.once('message', async () => {
  await server.close();
  parentPort?.close();
});
parentPort?.postMessage(server.ports);
