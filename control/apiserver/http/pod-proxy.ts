// Passes requests that only the pod's node can answer to its socket, and the answers back.
import { request as ask, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { StatusError } from '../status.ts';

const SWITCH_OLD =
  'this server streams over WebSocket alone: use kubectl 1.31 or later (exec: 1.30, or 1.29 ' +
  'with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true)';

/** Headers of a WebSocket handshake. They hold no credentials. */
const PASSED = [
  'connection',
  'upgrade',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
];

/** The refusal of a stream over plain HTTP. */
export function refuseStream(): StatusError {
  return new StatusError(400, 'BadRequest', SWITCH_OLD);
}

/**
 * Passes on the answer of the node's socket. Throws StatusError 502 if the socket does not exist.
 */
export function passRequest(
  socketPath: string,
  path: string,
  response: ServerResponse,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = ask({ socketPath, path, method: 'GET' }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
      answer.once('close', () => {
        // Destroys an incomplete answer: a normal end would make it look complete.
        if (!answer.complete) response.destroy();
        resolve();
      });
    });
    // A followed log would never end.
    response.once('close', () => call.destroy());
    call.once('error', (error) => {
      if (response.headersSent) response.destroy();
      else reject(unreachable(error));
    });
    call.end();
  });
}

/** Connects a WebSocket client to the node's socket, which answers the handshake. */
export function passUpgrade(
  socketPath: string,
  path: string,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
): void {
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
    return endUpgrade(client, refuseStream());
  }
  const node = connect(socketPath);
  node.once('connect', () => {
    const lines = PASSED.filter((name) => request.headers[name] !== undefined).map(
      (name) => `${name}: ${request.headers[name]}`,
    );
    node.write(`GET ${path} HTTP/1.1\r\nhost: kubelet\r\n${lines.join('\r\n')}\r\n\r\n`);
    if (head.length > 0) node.write(head);
    node.pipe(client).pipe(node);
  });
  node.once('error', (error) => {
    if (node.bytesRead === 0) endUpgrade(client, unreachable(error));
    else client.destroy();
  });
  client.once('error', () => node.destroy());
  client.once('close', () => node.destroy());
  node.once('close', () => client.destroy());
}

/** Refuses an upgrade, as an HTTP answer with a Status. */
export function endUpgrade(client: Duplex, error: StatusError): void {
  const body = JSON.stringify(error.toStatus());
  const head = [
    `HTTP/1.1 ${error.code} ${error.reason}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  client.on('error', () => {});
  client.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function unreachable(error: Error): StatusError {
  const message = `the pod's node does not answer (${error.message}): check the supervisor`;
  return new StatusError(502, 'InternalError', message);
}
