import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { dirname } from 'node:path';
import { KubetunError } from '../../datapath/error.ts';

/** What a path of the admin socket answers: an object, sent as JSON. */
export type AdminRoutes = Record<string, () => unknown>;

const MODE_OWNER_ONLY = 0o177;

/**
 * Serves routes as HTTP on a unix socket that only its owner may open; a socket left by a killed process is
 * replaced. Throws KubetunError KT_ADMIN_SOCKET.
 */
export async function serveAdmin(path: string, routes: AdminRoutes): Promise<Server> {
  const server = createServer((request, response) => {
    const route = routes[(request.url ?? '').split('?')[0]!];
    const known = route !== undefined && request.method === 'GET';
    const body = known
      ? route()
      : { error: `there is no GET ${request.url}`, paths: Object.keys(routes) };
    response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(body)}\n`);
  });
  try {
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    await listen(server, path);
    chmodSync(path, 0o600);
  } catch (error) {
    throw new KubetunError(
      'KT_ADMIN_SOCKET',
      `the admin socket ${path} cannot be made (${(error as NodeJS.ErrnoException).code})`,
      'name another one with --admin',
      { cause: error },
    );
  }
  return server;
}

function listen(server: Server, path: string): Promise<void> {
  // The socket is bound before listen returns, so that it never exists with a wider mode.
  const umask = process.umask(MODE_OWNER_ONLY);
  try {
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(umask);
  }
}
