// The built-in server of pods: HTTP and UDP as agnhost's netexec, in plain Node. Source:
// kubernetes/kubernetes test/images/agnhost/netexec.
import { exec } from 'node:child_process';
import { createSocket, type RemoteInfo } from 'node:dgram';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { Http2Server } from 'node:http2';
import { createServer as createNetServer, type Server as NetServer } from 'node:net';
import { hostname } from 'node:os';
import { makeHealthServer } from './grpc-health.ts';
import { readOptions, readPort } from './options.ts';

/** First bytes of an HTTP/2 connection. */
const PREFACE = 'PRI ';
const OUTPUT_BYTES_MAX = 1024 * 1024;

/**
 * agnhost netexec. `--udp-port=-1` switches UDP off. Unlike upstream's it also answers health
 * checks of gRPC on its HTTP port, so that it can stand in for a gRPC server.
 */
export function netexec(args: string[]): void {
  const { options } = readOptions(args, {
    ...{ 'http-port': '8080', 'udp-port': '8081', 'delay-shutdown': '0' },
  });
  const delayMs = Number(options['delay-shutdown']) * 1000;
  serveHttp(readPort('http-port', options['http-port']), delayMs, true);
  if (Number(options['udp-port']) > 0) serveUdp(readPort('udp-port', options['udp-port']));
}

export function pause(): void {
  setInterval(() => {}, 2 ** 30);
}

/** Answers every request on a port with one function. */
export function listen(port: number, answer: RequestListener): Server {
  const server = createServer(answer);
  // Idle connections must outlive clients that reuse them.
  server.keepAliveTimeout = 120_000;
  server.listen(port, '0.0.0.0', 4096);
  if (process.listenerCount('SIGTERM') === 0) process.on('SIGTERM', () => process.exit(0));
  return server;
}

/**
 * Serves what a test asks of a host over HTTP, and with `grpc` health checks of gRPC.
 *
 * @param delayMs time between SIGTERM and the end of the process.
 */
export function serveHttp(port: number, delayMs = 0, grpc = false): void {
  const web = createServer(answerHttp);
  // Idle connections must outlive clients that reuse them.
  web.keepAliveTimeout = 120_000;
  const server = grpc
    ? dividing(
        web,
        makeHealthServer(() => true),
      )
    : web;
  server.listen(port, '0.0.0.0', 4096);
  process.on('SIGTERM', () => setTimeout(() => process.exit(0), delayMs));
}

/** A server that passes connections of HTTP/2 to one server and all others to another. */
export function dividing(web: Server, h2: Http2Server): NetServer {
  return createNetServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const onEnd = () => socket.end();
    socket.on('error', () => {});
    socket.once('end', onEnd);
    socket.once('data', (first: Buffer) => {
      socket.off('end', onEnd);
      socket.pause();
      const isH2 = first.subarray(0, PREFACE.length).toString() === PREFACE;
      socket.unshift(first);
      (isH2 ? h2 : web).emit('connection', socket);
      if (!isH2) socket.resume();
    });
  });
}

/** One line of text for each TCP connection, and for each datagram. */
export function serveText(
  port: number,
  text: string,
  { tcp, udp }: { tcp: boolean; udp: boolean },
): void {
  if (tcp) createNetServer((socket) => void socket.on('error', () => {}).end(text)).listen(port);
  if (!udp) return;
  const socket = createSocket('udp4');
  socket.on('message', (_, client) => socket.send(text, client.port, client.address));
  socket.bind(port, '0.0.0.0');
}

/** Answers a request. `/exit` and `/shutdown` end the process. */
export function answerHttp(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://pod');
  switch (url.pathname) {
    case '/':
      return end(response, `NOW: ${new Date().toISOString()}`);
    case '/hostname':
    case '/hostName':
      return end(response, hostname());
    case '/clientip':
      return end(response, `${address(request)}:${request.socket.remotePort}`);
    case '/echo':
      response.statusCode = Number(url.searchParams.get('code') ?? 200);
      return end(response, url.searchParams.get('msg') ?? '');
    case '/header':
      return end(response, String(request.headers[url.searchParams.get('key') ?? ''] ?? ''));
    case '/healthz':
      return end(response, 'ok');
    case '/shell':
      return runShell(url.searchParams, response);
    case '/exit':
      return leave(response, Number(url.searchParams.get('code') ?? 0));
    case '/shutdown':
      return leave(response, 0);
  }
  response.statusCode = 404;
  end(response, `there is no ${url.pathname}\n`);
}

function end(response: ServerResponse, text: string): void {
  response.end(text);
}

/** Runs `shellCommand` with `shell`, as upstream: the answer has `output` and, if any, `error`. */
function runShell(query: URLSearchParams, response: ServerResponse): void {
  const shell = query.get('shell') ?? '/bin/sh';
  const command = query.get('shellCommand') ?? query.get('cmd') ?? '';
  exec(command, { shell, maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) => {
    const failed = error && { error: `exit status ${error.code}` };
    end(response, JSON.stringify({ ...failed, output: `${stdout}${stderr}` }));
  });
}

function leave(response: ServerResponse, code: number): void {
  response.end('shutting down', () => process.exit(code));
}

function address({ socket }: IncomingMessage): string {
  return (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
}

/** The same over UDP. */
export function serveUdp(port: number): void {
  const socket = createSocket('udp4');
  socket.on('message', (message, client) => {
    const reply = answerDatagram(message, client);
    if (reply !== null) socket.send(reply, client.port, client.address);
  });
  socket.bind(port, '0.0.0.0');
}

/** The reply to a datagram. Null if there is none. */
export function answerDatagram(message: Buffer, client: RemoteInfo): Buffer | null {
  const text = message.toString('latin1').trim();
  const space = text.indexOf(' ');
  const word = (space < 0 ? text : text.slice(0, space)).toLowerCase();
  if (word === 'hostname') return Buffer.from(hostname());
  if (word === 'clientip') return Buffer.from(`${client.address}:${client.port}`);
  // Unchanged bytes: an echo also tests what the network did to them.
  if (word === 'echo') return message.subarray('echo '.length);
  return null;
}
