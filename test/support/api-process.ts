// An API server as a process of its own, to be killed: prints where it is, then serves until it is
// ended.
import { startTestApi } from './api-server.ts';

const { port, token, ca } = await startTestApi(process.argv[2]!);
process.stdout.write(`${JSON.stringify({ port, token, ca })}\n`);
