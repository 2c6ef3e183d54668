// An API server as a process that tests can kill: prints its address, then serves until it ends.
import { startTestApi } from './api-server.ts';

const { port, token, ca } = await startTestApi(process.argv[2]!);
process.stdout.write(`${JSON.stringify({ port, token, ca })}\n`);
