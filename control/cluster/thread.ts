// Entry of the API server's thread. It gets options, posts its ports, and ends on a message.
import { parentPort, workerData } from 'node:worker_threads';
import { type ApiServerOptions, startApiServer } from './server.ts';

const server = await startApiServer(workerData as ApiServerOptions);
parentPort?.once('message', async () => {
  await server.close();
  parentPort?.close();
});
parentPort?.postMessage(server.ports);
