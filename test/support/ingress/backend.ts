// Entry: `backend.ts NAME=PORT...`. A backend for tests of Ingress: it answers with what it saw.
// Each port stands for a Service. One process can so be the endpoint of many Services. Port 9090
// lists the requests of all ports and forgets them.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createH2Server, type Http2Server } from 'node:http2';
import { hostname } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { dividing } from '../../../lab/apps/netexec.ts';
import { serveCall } from './grpc.ts';

/** A request, as the backend saw it. */
export interface Seen {
  /** Name of the port, which stands for a Service. */
  backend: string;
  pod: string;
  protocol: '1.0' | '1.1' | '2.0';
  method: string;
  /** The target of the request, unchanged. */
  path: string;
  host: string;
  /** Names in lower case. Values of repeated headers are joined. */
  headers: Record<string, string>;
  /** The address of the peer: a load balancer's pod. */
  peer: string;
}

/** A body that has arrived. */
export interface Upload {
  bytes: number;
  sha256: string;
}

export const SEEN_PORT = 9090;
/** A backend that many clients talk to must not keep everything. */
const SEEN_MAX = 1000;
const seen: Seen[] = [];

function note(backend: string, request: IncomingMessage): Seen {
  const { authority, ...rest } = namesOf(request.headers);
  const own: Seen = {
    ...{ backend, pod: hostname(), protocol: request.httpVersion as Seen['protocol'] },
    ...{ method: request.method ?? '', path: request.url ?? '' },
    ...{ host: request.headers.host ?? authority ?? '', headers: rest },
    peer: (request.socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
  };
  seen.push(own);
  if (seen.length > SEEN_MAX) seen.shift();
  return own;
}

/** Headers as strings; pseudo-headers without their colon. */
function namesOf(headers: IncomingMessage['headers']): Record<string, string> {
  const entries = Object.entries(headers).map(([name, value]) => [
    name.replace(/^:/, ''),
    String(value),
  ]);
  return Object.fromEntries(entries);
}

/** `?do=events|upload|slow|status` selects something else than the description of the request. */
async function answer(
  backend: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const own = note(backend, request);
  // A target need not be a URL.
  const query = new URLSearchParams(own.path.split('?')[1]);
  switch (query.get('do')) {
    case 'events':
      return sendEvents(response, Number(query.get('count')), Number(query.get('pauseMs')));
    case 'upload':
      return sendJson(response, await count(request));
    case 'slow':
      await setTimeout(Number(query.get('pauseMs')));
      break;
    case 'status':
      response.statusCode = Number(query.get('code'));
      break;
  }
  // A body that is not read would cut the connection.
  request.resume();
  sendJson(response, own);
}

function sendJson(response: ServerResponse, body: object): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}

async function count(request: IncomingMessage): Promise<Upload> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest('hex') };
}

async function sendEvents(response: ServerResponse, times: number, pauseMs: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  for (let i = 0; i < times; i++) {
    response.write(`id: ${i}\ndata: ${i}\n\n`);
    await setTimeout(pauseMs);
  }
  response.end();
}

/** Cleartext HTTP/2 with prior knowledge, for calls of gRPC and for plain requests. */
function h2Server(backend: string): Http2Server {
  const server = createH2Server();
  server.on('request', (request, response) => {
    if (request.headers['content-type']?.startsWith('application/grpc')) {
      note(backend, request as never);
      return serveCall(request, response);
    }
    answer(backend, request as never, response as never).catch(() => request.stream.destroy());
  });
  return server;
}

function serve(backend: string, port: number): void {
  const web = createServer((request, response) => {
    answer(backend, request, response).catch(() => request.destroy());
  });
  // A proxy keeps connections open, and must not find them closed when it uses them.
  web.keepAliveTimeout = 120_000;
  const sockets = new WebSocketServer({ noServer: true });
  web.on('upgrade', (request, socket, head) => {
    const own = note(backend, request);
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on('error', () => {});
      client.send(JSON.stringify(own));
      client.on('message', (data, isBinary) => client.send(data, { binary: isBinary }));
    });
  });
  dividing(web, h2Server(backend)).listen(port, '0.0.0.0', 4096);
}

function main(words: string[]): void {
  for (const word of words) {
    const [name = '', port] = word.split('=');
    serve(name, Number(port));
  }
  const list = createServer((_, response) => sendJson(response, seen.splice(0)));
  list.listen(SEEN_PORT, '0.0.0.0', () => console.log('ready'));
  process.on('SIGTERM', () => process.exit(0));
}

if (import.meta.main) main(process.argv.slice(2));
