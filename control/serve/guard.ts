// Keeps a failing handler of an HTTP server to its request: 500, and the process continues.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';

/** Called with the error of a handler or a server. */
export type OnFailure = (error: unknown, what: string) => void;

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;
type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** Answers exceptions and rejections with 500, or ends a response that has begun. */
export function guardRequests(handle: Handler, onFailure: OnFailure): RequestListener {
  return async (request, response) => {
    // A client that disconnects is not an error of the server.
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

/** The same for protocol upgrades. */
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

/** Handles a failed accept (EMFILE). Without a listener the error would end the process. */
export function guardServer<S extends Server>(server: S, onFailure: OnFailure): S {
  return server.on('error', (error) => onFailure(error, 'accepting a connection'));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
