// The built-in server of pods: HTTP and UDP as agnhost's netexec, in plain Node. Source:
// kubernetes/kubernetes test/images/agnhost/netexec.
import { createSocket, type RemoteInfo } from 'node:dgram';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';

const HTTP_PORT_DEFAULT = '8080';
const UDP_PORT_DEFAULT = '8081';

/** `--udp-port=-1` switches UDP off. */
function main(): void {
  const { values, positionals } = parseArguments();
  const [command = 'pause'] = positionals;
  if (command === 'pause') return pause();
  if (command !== 'netexec') refuse(`agnhost here knows netexec and pause, not ${command}`);
  serveHttp(readPort('http-port', values['http-port']));
  if (Number(values['udp-port']) > 0) serveUdp(readPort('udp-port', values['udp-port']));
}

function parseArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        'http-port': { type: 'string', default: HTTP_PORT_DEFAULT },
        'udp-port': { type: 'string', default: UDP_PORT_DEFAULT },
      },
    });
  } catch (error) {
    refuse((error as Error).message);
  }
}

function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}

function readPort(option: string, text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  refuse(`--${option} takes a port from 1 to 65535, not ${text}`);
}

function pause(): void {
  setInterval(() => {}, 2 ** 30);
}

/** Serves what a test asks of a host over HTTP. */
export function serveHttp(port: number): void {
  const server = createServer(answerHttp);
  // Idle connections must outlive clients that reuse them.
  server.keepAliveTimeout = 120_000;
  server.listen(port, '0.0.0.0', 4096);
  process.on('SIGTERM', () => process.exit(0));
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
      return end(response, url.searchParams.get('msg') ?? '');
    case '/header':
      return end(response, String(request.headers[url.searchParams.get('key') ?? ''] ?? ''));
    case '/healthz':
      return end(response, 'ok');
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

if (import.meta.main) main();
