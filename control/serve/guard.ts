// Handlers of HTTP servers that may fail: one request is answered with 500, and the process goes
// on.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';

/** Learns what a handler or a server failed with. */
export type OnFailure = (error: unknown, what: string) => void;

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;
type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/**
 * A listener whose exceptions and rejections are answered with 500, or end the response if it has
 * begun.
 */
export function guardRequests(handle: Handler, onFailure: OnFailure): RequestListener {
  return async (request, response) => {
    // A client that goes away is no failure of the server.
    response.on('error', () => {});
    try {
      await handle(request, response);
    } catch (error) {
      onFailure(error, `${request.method} ${request.url}`);
      if (response.headersSent) return void response.destroy();
      const body = `${JSON.stringify({ error: messageOf(error) })}\n`;
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end(body);
    }
  };
}

/** The same for requests that leave HTTP. */
export function guardUpgrades(handle: UpgradeHandler, onFailure: OnFailure): UpgradeHandler {
  return (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    try {
      handle(request, socket, head);
    } catch (error) {
      onFailure(error, `${request.method} ${request.url}`);
      socket.end(
        'HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
      );
    }
  };
}

/**
 * A server that listens reports a failed accept (EMFILE) as an error, and goes on; unheard, it ends
 * the process.
 */
export function guardServer<S extends Server>(server: S, onFailure: OnFailure): S {
  return server.on('error', (error) => onFailure(error, 'accepting a connection'));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
