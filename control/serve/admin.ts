import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { KubetunError } from '../../datapath/error.ts';
import { makeFolder } from '../files.ts';
import type { Log } from '../log.ts';
import { guardRequests, guardServer } from '../serve/guard.ts';

/**
 * Path of the admin socket -> function that returns the answer, sent as JSON. A path alone is for
 * GET. `POST /path` and `DELETE /path` get the request's body, parsed.
 */
export type AdminRoutes = Record<string, (body?: unknown) => unknown>;

const BODY_BYTES_MAX = 64 * 1024;

const MODE_OWNER_ONLY = 0o177;

/** Size of `sun_path` without its terminating zero (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;

/**
 * Refuses a path that is too long for a socket, before anything is created. Throws KubetunError
 * KT_ADMIN_SOCKET.
 */
export function requireSocketPath(path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return path;
  throw new KubetunError(
    'KT_ADMIN_SOCKET',
    `the path of the admin socket ${path} has ${bytes} bytes, at most ${SOCKET_PATH_BYTES_MAX} fit`,
    'give a shorter path with --admin, or a shorter folder with KUBETUN_RUN_DIR',
  );
}

/**
 * Serves routes as HTTP on a unix socket with access for the owner only. Replaces the socket of a
 * killed process. A route that throws is answered with 500. Throws KubetunError KT_ADMIN_SOCKET.
 */
export async function serveAdmin(path: string, routes: AdminRoutes, log: Log): Promise<Server> {
  const onFailure = (error: unknown, what: string) =>
    log.error({ what, why: String(error) }, 'the admin socket could not answer');
  const server = createServer(
    guardRequests((request, response) => answer(routes, request, response), onFailure),
  );
  try {
    makeFolder(dirname(requireSocketPath(path)), 0o700);
    rmSync(path, { force: true });
    await listen(server, path);
    chmodSync(path, 0o600);
  } catch (error) {
    if (error instanceof KubetunError) throw error;
    throw new KubetunError(
      'KT_ADMIN_SOCKET',
      `the admin socket ${path} cannot be made (${(error as NodeJS.ErrnoException).code})`,
      'give another path with --admin',
      { cause: error },
    );
  }
  return guardServer(server, onFailure);
}

/** Closes the server and its connections. */
export function closeAdmin(server: Server): void {
  server.close();
  server.closeAllConnections();
}

async function answer(
  routes: AdminRoutes,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = '', url = '' } = request;
  const path = url.split('?')[0]!;
  const name = method === 'GET' ? path : `${method} ${path}`;
  const known = Object.hasOwn(routes, name);
  const given = known && method !== 'GET' ? await readBody(request) : undefined;
  const body = known
    ? await routes[name]!(given)
    : { error: `there is no ${method} ${url}`, paths: Object.keys(routes) };
  // Serialized before the head is sent, so that a failure becomes a 500.
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' });
  response.end(text);
}

/** The parsed body of a request. Rejects with the parser's error, and for one that is too large. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > BODY_BYTES_MAX) throw new Error(`a body has at most ${BODY_BYTES_MAX} bytes`);
  }
  return JSON.parse(text);
}

function listen(server: Server, path: string): Promise<void> {
  // `listen` binds before it returns, so the socket never has a wider mode.
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
