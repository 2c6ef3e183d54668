// Sockets of the DNS server: UDP, and TCP with a length before each message.
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { guardServer, type OnFailure } from '../serve/guard.ts';
import { frame } from './exchange.ts';
import type { Client } from './responder.ts';

export type Respond = (bytes: Uint8Array, client: Client) => Promise<Buffer | null>;

export interface ListenOptions {
  address: string;
  port: number;
  respond: Respond;
  onFailure: OnFailure;
  /** A connection without queries is closed after this time; by default 10 s. */
  idleMs?: number;
}

export interface Listener {
  /** The port of both UDP and TCP. */
  port: number;
  close(): Promise<void>;
}

const IDLE_MS = 10_000;
const CONNECTIONS_MAX = 1000;
/** Limit of unanswered queries of one connection. The server reads further ones later. */
const PIPELINED_MAX = 64;
const UDP_BUFFER_BYTES = 4 * 1024 * 1024;

/** Listens on one port of UDP and TCP. Rejects if the port is in use. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const server = await listenTcp(options);
  const { port } = server.address() as { port: number };
  try {
    const datagrams = await listenUdp({ ...options, port });
    return {
      port,
      close: async () => {
        await Promise.all([
          new Promise<void>((resolve) => datagrams.close(() => resolve())),
          closeServer(server),
        ]);
      },
    };
  } catch (error) {
    await closeServer(server);
    throw error;
  }
}

function listenUdp({ address, port, respond, onFailure }: ListenOptions): Promise<Datagrams> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4' });
    socket.once('error', reject);
    socket.on('message', async (bytes, from) => {
      const answer = await respond(bytes, { transport: 'udp', ...from });
      // A client that has disconnected is no failure of the server.
      if (answer) socket.send(answer, from.port, from.address, () => {});
    });
    socket.bind(port, address, () => {
      socket.off('error', reject).on('error', (error) => onFailure(error, 'reading datagrams'));
      setBuffers(socket);
      resolve(socket);
    });
  });
}

/** Sizes buffers for a burst of queries. The kernel may limit them. */
function setBuffers(socket: Datagrams): void {
  try {
    socket.setRecvBufferSize(UDP_BUFFER_BYTES);
    socket.setSendBufferSize(UDP_BUFFER_BYTES);
  } catch {
    // The default size holds a few hundred queries.
  }
}

function listenTcp({ address, port, respond, onFailure, idleMs }: ListenOptions): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => serve(socket, respond, idleMs ?? IDLE_MS));
    server.maxConnections = CONNECTIONS_MAX;
    server.once('error', reject);
    server.listen(port, address, () => {
      guardServer(server.off('error', reject), onFailure);
      resolve(server);
    });
  });
}

/** Queries of one connection. Answers may overtake each other (RFC 7766 section 6.2.1.1). */
function serve(socket: Socket, respond: Respond, idleMs: number): void {
  const from = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
  let received: Buffer = Buffer.alloc(0);
  let open = 0;
  let hasEnded = false;
  const resume = () => {
    if (open < PIPELINED_MAX && !socket.writableNeedDrain) socket.resume();
    if (hasEnded && open === 0) socket.end();
  };
  const answer = async (bytes: Buffer) => {
    const reply = await respond(bytes, { transport: 'tcp', ...from });
    open--;
    if (reply && socket.writable) socket.write(frame(reply));
    resume();
  };
  socket.on('error', () => socket.destroy());
  socket.setTimeout(idleMs, () => socket.destroy());
  socket.on('drain', resume);
  socket.on('data', (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      open++;
      void answer(received.subarray(2, end));
      received = received.subarray(end);
    }
    if (open >= PIPELINED_MAX || socket.writableNeedDrain) socket.pause();
  });
  socket.on('end', () => {
    hasEnded = true;
    resume();
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
