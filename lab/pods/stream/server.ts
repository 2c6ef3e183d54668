// Serves the streams of all pods to the API server, on a socket. A kubelet serves them on port
// 10250.
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  guardRequests,
  guardServer,
  guardUpgrades,
  type OnFailure,
} from '../../../control/serve/guard.ts';
import { EXEC_PROTOCOLS } from './channels.ts';
import { streamExec } from './exec.ts';
import { streamAttach, streamLog } from './log.ts';
import { streamForward, TUNNEL_PROTOCOL } from './port-forward.ts';
import { readStreamRequest, StreamError, type StreamRequest } from './request.ts';

export interface StreamServer {
  close(): Promise<void>;
}

const PING_MS = 2000;
/** Longest message of a client. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

type Streamer = (stateDir: string, request: StreamRequest, socket: WebSocket) => void;

const STREAMERS: Record<string, { protocols: readonly string[]; stream: Streamer }> = {
  exec: { protocols: EXEC_PROTOCOLS, stream: streamExec },
  attach: { protocols: EXEC_PROTOCOLS, stream: streamAttach },
  portforward: { protocols: [TUNNEL_PROTOCOL], stream: streamForward },
};

/** Serves until it is closed. Removes the socket of an earlier server. */
export async function serveStreams(
  socketPath: string,
  stateDir: string,
  onFailure: OnFailure,
): Promise<StreamServer> {
  rmSync(socketPath, { force: true });
  const server = createServer(
    guardRequests((request, response) => answer(stateDir, request, response), onFailure),
  );
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) =>
    upgrade(stateDir, request, socket, head);
  server.on('upgrade', guardUpgrades(onUpgrade, onFailure));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  guardServer(server, onFailure);
  // Any process that can write to the socket can run commands.
  chmodSync(socketPath, 0o600);
  // Without traffic a lost client is not noticed, so pings are sent.
  const pings = setInterval(() => {
    for (const client of sockets.clients) client.ping();
  }, PING_MS);
  return {
    close() {
      clearInterval(pings);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      for (const client of sockets.clients) client.terminate();
      return closed;
    },
  };
}

const sockets = new WebSocketServer({
  noServer: true,
  clientTracking: true,
  perMessageDeflate: false,
  maxPayload: MESSAGE_BYTES_MAX,
});
// The library rejects protocol names with a `/`, as port forwarding has. Its header is added here
// instead.
const chosen = new WeakMap<IncomingMessage, string>();
sockets.on('headers', (headers, request) => {
  headers.push(`Sec-WebSocket-Protocol: ${chosen.get(request)}`);
});

function answer(stateDir: string, request: IncomingMessage, response: ServerResponse): void {
  try {
    const asked = readStreamRequest(request.url ?? '');
    if (asked.stream !== 'log') throw new StreamError(400, 'this needs a WebSocket');
    streamLog(stateDir, asked, response);
  } catch (error) {
    const code = error instanceof StreamError ? error.code : 500;
    response.writeHead(code, { 'content-type': 'application/json' });
    response.end(JSON.stringify(statusOf(code, (error as Error).message)));
  }
}

function upgrade(stateDir: string, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  let asked: StreamRequest;
  try {
    asked = readStreamRequest(request.url ?? '');
  } catch (error) {
    return refuse(socket, (error as Error).message);
  }
  const streamer = Object.hasOwn(STREAMERS, asked.stream) ? STREAMERS[asked.stream] : undefined;
  const offered = request.headers['sec-websocket-protocol']?.split(/,\s*/) ?? [];
  const protocol = streamer?.protocols.find((name) => offered.includes(name));
  if (!streamer || !protocol) {
    const known = streamer?.protocols.join(', ') ?? 'none';
    const why = `no protocol in common (this server speaks ${known})`;
    return refuse(socket, `unable to upgrade: ${why}`);
  }
  chosen.set(request, protocol);
  delete request.headers['sec-websocket-protocol'];
  sockets.handleUpgrade(request, socket, head, (client) => {
    client.on('error', () => client.terminate());
    streamer.stream(stateDir, asked, client);
  });
}

function refuse(socket: Duplex, message: string): void {
  const body = JSON.stringify(statusOf(400, message));
  const head = 'HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close';
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function statusOf(code: number, message: string): object {
  const reason = code === 400 ? 'BadRequest' : 'InternalError';
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    code,
  };
}
