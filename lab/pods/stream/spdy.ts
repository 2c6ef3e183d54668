// SPDY/3.1 frames for port forwarding: streams that a client opens, with data both ways. There are
// no windows, as in Go's spdystream. Source:
// https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { DICTIONARY } from './spdy-dictionary.ts';

const VERSION = 3;
const CONTROL = 0x8000;
const FRAME_SYN_STREAM = 1;
const FRAME_SYN_REPLY = 2;
const FRAME_RST_STREAM = 3;
const FRAME_PING = 6;
const FRAME_GOAWAY = 7;
const FLAG_FIN = 1;
const HEADER_BYTES = 8;
/** Stream, associated stream, priority and slot before the headers of a SYN_STREAM. */
const SYN_STREAM_BYTES = 10;
const FRAME_BYTES_MAX = 1024 * 1024;
/** Most bytes of compressed headers. zlib can expand one byte to a thousand. */
const HEADERS_BYTES_MAX = 16 * 1024;
const RESET_INTERNAL_ERROR = 6;

export interface SpdyEvents {
  /** A stream was opened. */
  onStream(id: number, headers: Map<string, string>): void;
  /** `ended` is true for the client's last data on this stream. Resolves when more may come. */
  onData(id: number, bytes: Buffer, ended: boolean): Promise<void> | void;
  onReset(id: number): void;
  /** The client ends the connection, or breaks the protocol. */
  onEnd(): void;
}

/** The server's side of one connection. */
export class SpdyConnection {
  readonly #events: SpdyEvents;
  readonly #send: (bytes: Buffer) => void;
  readonly #inflate: Inflate = createInflate({ dictionary: DICTIONARY });
  readonly #deflate: Deflate = createDeflate({ dictionary: DICTIONARY });
  #pending = Buffer.alloc(0);
  #work: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(send: (bytes: Buffer) => void, events: SpdyEvents) {
    this.#send = send;
    this.#events = events;
  }

  /** Processes received bytes. Resolves when they are processed. */
  receive(bytes: Buffer): Promise<void> {
    this.#work = this.#work.then(() => this.#read(bytes)).catch(() => this.end());
    return this.#work;
  }

  sendData(id: number, bytes: Buffer, ended: boolean): void {
    if (this.#ended) return;
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32BE(id, 0);
    header.writeUInt32BE(((ended ? FLAG_FIN : 0) << 24) | bytes.length, 4);
    this.#send(Buffer.concat([header, bytes]));
  }

  reset(id: number): void {
    const body = Buffer.alloc(8);
    body.writeUInt32BE(id, 0);
    body.writeUInt32BE(RESET_INTERNAL_ERROR, 4);
    this.#control(FRAME_RST_STREAM, body);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#inflate.close();
    this.#deflate.close();
    this.#events.onEnd();
  }

  async #read(bytes: Buffer): Promise<void> {
    let rest = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (!this.#ended && rest.length >= HEADER_BYTES) {
      const length = rest.readUIntBE(5, 3);
      if (length > FRAME_BYTES_MAX) throw new Error('a frame is too long');
      if (rest.length < HEADER_BYTES + length) break;
      await this.#frame(rest, rest.subarray(HEADER_BYTES, HEADER_BYTES + length));
      rest = rest.subarray(HEADER_BYTES + length);
    }
    this.#pending = Buffer.from(rest);
  }

  async #frame(header: Buffer, body: Buffer): Promise<void> {
    const first = header.readUInt16BE(0);
    const ended = (header[4]! & FLAG_FIN) !== 0;
    if ((first & CONTROL) === 0) {
      return this.#events.onData(header.readUInt32BE(0), body, ended);
    }
    switch (header.readUInt16BE(2)) {
      case FRAME_SYN_STREAM: {
        const id = body.readUInt32BE(0);
        if (body.length > HEADERS_BYTES_MAX) throw new Error('the headers are too long');
        const headers = readHeaders(await this.#inflated(body.subarray(SYN_STREAM_BYTES)));
        await this.#reply(id);
        if (this.#ended) return;
        this.#events.onStream(id, headers);
        if (ended) await this.#events.onData(id, Buffer.alloc(0), true);
        return;
      }
      case FRAME_RST_STREAM:
        return this.#events.onReset(body.readUInt32BE(0));
      case FRAME_PING:
        return this.#control(FRAME_PING, Buffer.from(body));
      case FRAME_GOAWAY:
        return this.end();
    }
  }

  async #reply(id: number): Promise<void> {
    const noHeaders = await this.#deflated(Buffer.alloc(4));
    const body = Buffer.alloc(4);
    body.writeUInt32BE(id, 0);
    this.#control(FRAME_SYN_REPLY, Buffer.concat([body, noHeaders]));
  }

  #control(type: number, body: Buffer): void {
    if (this.#ended) return;
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt16BE(CONTROL | VERSION, 0);
    header.writeUInt16BE(type, 2);
    header.writeUInt32BE(body.length, 4);
    this.#send(Buffer.concat([header, body]));
  }

  /** The headers of all streams form one compressed stream with a flush after each. */
  #inflated(bytes: Buffer): Promise<Buffer> {
    return through(this.#inflate, (done) => this.#inflate.write(bytes, done));
  }

  #deflated(bytes: Buffer): Promise<Buffer> {
    this.#deflate.write(bytes);
    return through(this.#deflate, (done) => this.#deflate.flush(constants.Z_SYNC_FLUSH, done));
  }
}

function through(stream: Inflate | Deflate, run: (done: () => void) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const take = (chunk: Buffer) => chunks.push(chunk);
    stream.on('data', take);
    stream.once('error', reject);
    run(() => {
      // The output is still on its way to the listener.
      setImmediate(() => {
        stream.removeListener('data', take);
        stream.removeListener('error', reject);
        resolve(Buffer.concat(chunks));
      });
    });
  });
}

/** Reads pairs of name and value, each with its length. Throws RangeError if they are truncated. */
function readHeaders(bytes: Buffer): Map<string, string> {
  const headers = new Map<string, string>();
  let at = 4;
  const text = () => {
    const length = bytes.readUInt32BE(at);
    at += 4 + length;
    return bytes.toString('utf8', at - length, at);
  };
  for (let left = bytes.readUInt32BE(0); left > 0; left--) {
    const name = text();
    headers.set(name.toLowerCase(), text());
  }
  return headers;
}
