// kubectl port-forward: SPDY frames in a WebSocket. Each connection has two streams: data and
// errors. Source: k8s.io/apimachinery/pkg/util/portforward, k8s.io/client-go/tools/portforward.
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { namespacePath } from '../../places/names.ts';
import { reasonOf } from '../action/failure.ts';
import { dialInNamespace } from '../action/network.ts';
import { readPodRecord } from '../sandbox/records.ts';
import type { StreamRequest } from './request.ts';
import { SpdyConnection } from './spdy.ts';

export const TUNNEL_PROTOCOL = 'SPDY/3.1+portforward.k8s.io';

const LOOPBACK = '127.0.0.1';
const NOTHING = Buffer.alloc(0);
/** With more bytes than this on the way to a slow client, the pod's socket is paused. */
const BUFFERED_BYTES_MAX = 1024 * 1024;

const RESUME_MS = 5;

/** One connection to a port of the pod. */
interface Forwarded {
  error: number | null;
  data: number | null;
  port: number;
  socket: Socket | null;
}

/**
 * Connects a client with ports of a pod, as if from inside the pod, until the client disconnects.
 */
export function streamForward(stateDir: string, request: StreamRequest, client: WebSocket): void {
  const { namespace, pod } = request;
  const netns = readPodRecord(stateDir, namespace, pod)?.netns ?? null;
  const forwards = new Forwards(client, netns, `${namespace}/${pod}`);
  client.on('message', (data: Buffer) => {
    // More is read only after the last bytes are written.
    client.pause();
    void forwards.receive(data).finally(() => client.resume());
  });
  client.once('close', () => forwards.end());
}

class Forwards {
  readonly #client: WebSocket;
  readonly #netns: string | null;
  readonly #pod: string;
  readonly #spdy: SpdyConnection;
  /** By the client's request id. */
  readonly #byRequest = new Map<string, Forwarded>();
  readonly #byStream = new Map<number, Forwarded>();

  constructor(client: WebSocket, netns: string | null, pod: string) {
    this.#client = client;
    this.#netns = netns;
    this.#pod = pod;
    this.#spdy = new SpdyConnection((bytes) => client.send(bytes), {
      onStream: (id, headers) => this.#open(id, headers),
      onData: (id, bytes, ended) => this.#write(id, bytes, ended),
      onReset: (id) => this.#byStream.get(id)?.socket?.destroy(),
      onEnd: () => client.close(),
    });
  }

  receive(bytes: Buffer): Promise<void> {
    return this.#spdy.receive(bytes);
  }

  end(): void {
    this.#spdy.end();
    for (const { socket } of this.#byRequest.values()) socket?.destroy();
  }

  #open(id: number, headers: Map<string, string>): void {
    const number = headers.get('requestid') ?? String(id);
    const forwarded = this.#byRequest.get(number) ?? {
      ...{ error: null, data: null, socket: null },
      port: Number(headers.get('port')),
    };
    const type = headers.get('streamtype');
    // A connection has one stream of each kind.
    if ((type !== 'error' && type !== 'data') || forwarded[type] !== null)
      return this.#spdy.reset(id);
    this.#byRequest.set(number, forwarded);
    this.#byStream.set(id, forwarded);
    forwarded[type] = id;
    if (forwarded.error !== null && forwarded.data !== null) this.#dial(number, forwarded);
  }

  #dial(number: string, forwarded: Forwarded): void {
    const { error, data, port } = forwarded;
    const ended = () => {
      this.#byRequest.delete(number);
      this.#byStream.delete(error!);
      this.#byStream.delete(data!);
    };
    const fail = (why: string) => {
      const message = `error forwarding port ${port} to pod ${this.#pod}: ${why}`;
      this.#spdy.sendData(error!, Buffer.from(message), true);
      this.#spdy.reset(data!);
      ended();
    };
    let socket: Socket;
    try {
      if (this.#netns === null) throw new Error('the pod does not run');
      socket = dialInNamespace(namespacePath(this.#netns), LOOPBACK, port);
    } catch (cause) {
      return fail(reasonOf(cause as Error, `${LOOPBACK}:${port}`));
    }
    forwarded.socket = socket;
    let failed = false;
    socket.on('data', (bytes: Buffer) => {
      this.#spdy.sendData(data!, bytes, false);
      if (this.#client.bufferedAmount > BUFFERED_BYTES_MAX) {
        socket.pause();
        this.#resumeLater(socket);
      }
    });
    socket.once('end', () => this.#spdy.sendData(data!, NOTHING, true));
    socket.once('error', (cause) => {
      failed = true;
      fail(reasonOf(cause, `${LOOPBACK}:${port}`));
    });
    socket.once('close', () => {
      if (failed) return;
      this.#spdy.sendData(error!, NOTHING, true);
      ended();
    });
  }

  #resumeLater(socket: Socket): void {
    setTimeout(() => {
      if (this.#client.bufferedAmount <= BUFFERED_BYTES_MAX) socket.resume();
      else this.#resumeLater(socket);
    }, RESUME_MS);
  }

  #write(id: number, bytes: Buffer, ended: boolean): Promise<void> | void {
    const forwarded = this.#byStream.get(id);
    const socket = forwarded?.socket;
    if (!socket || id !== forwarded.data || socket.destroyed) return;
    const full = bytes.length > 0 && !socket.write(bytes);
    if (ended) socket.end();
    if (!full) return;
    return new Promise((resolve) => {
      const done = () => {
        socket.removeListener('drain', done);
        socket.removeListener('close', done);
        resolve();
      };
      socket.once('drain', done);
      socket.once('close', done);
    });
  }
}
