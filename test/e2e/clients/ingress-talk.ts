// Entry: `ingress-talk.ts ADDRESS CERTIFICATE UPLOAD_MB`. Talks every protocol to an Ingress and
// prints what came of it as JSON. CERTIFICATE is a file with those of tls.test.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { type ClientHttp2Session, connect as connectH2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { buffer, json } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { WebSocket } from 'ws';
import type { Seen, Upload } from '../../support/ingress/backend.ts';
import { type Called, call } from '../../support/ingress/grpc.ts';

export interface Talk {
  webSocket: Echoed;
  webSocketTls: Echoed;
  h2: { alpn: string; seen: Seen[] };
  grpc: Record<'unary' | 'repeat' | 'both' | 'unknown' | 'tls', Called>;
  /** When each event arrived, ms after the head of the answer. */
  events: { ids: string[]; atMs: number[] };
  uploads: Record<'sized' | 'chunked', { sent: Upload; got: Upload }>;
  slow: { seen: Seen; upload: Upload };
  /** Connections that never end the head of a request, and what a usual request got meanwhile. */
  stalled: { answers: string[]; meanwhile: number[] };
}

interface Echoed {
  seen: Seen;
  text: string;
  /** Bytes of a binary message that came back the same. */
  bytes: number;
  closed: number;
}

const [address = '', certificate = '', uploadMb] = process.argv.slice(2);
const ca = readFileSync(certificate);
const CHUNK = randomBytes(1 << 20);
const EVENTS = 5;
const EVENT_PAUSE_MS = 150;
const STALLED = 100;
const STALLED_MS_MAX = 15_000;

/** Node's agents would resolve the host. */
const tcp = () => connect(80, address);
const tls = (servername: string, ALPNProtocols = ['http/1.1']) =>
  connectTls({ host: address, port: 443, servername, ca, ALPNProtocols });

function once<T>(emitter: NodeJS.EventEmitter, event: string): Promise<T> {
  return new Promise((resolve, reject) => {
    emitter.once(event, resolve);
    emitter.once('error', reject);
  });
}

async function talkWebSocket(url: string, createConnection: () => Socket): Promise<Echoed> {
  const socket = new WebSocket(url, { createConnection });
  const next = async () => (await once<Buffer>(socket, 'message')).toString('latin1');
  const seen = JSON.parse(await next()) as Seen;
  socket.send('hello');
  const text = await next();
  socket.send(CHUNK);
  const bytes = (await next()) === CHUNK.toString('latin1') ? CHUNK.length : 0;
  socket.close();
  return { seen, text, bytes, closed: await once<number>(socket, 'close') };
}

async function get(session: ClientHttp2Session, authority: string, path: string): Promise<Seen> {
  const stream = session.request({ ':path': path, ':authority': authority });
  return JSON.parse((await buffer(stream)).toString()) as Seen;
}

async function talkH2(): Promise<Talk['h2']> {
  const session = connectH2('https://tls.test', {
    createConnection: () => tls('tls.test', ['h2']),
  });
  const paths = Array.from({ length: 20 }, (_, i) => `/${i}?do=slow&pauseMs=100`);
  const seen = await Promise.all(paths.map((path) => get(session, 'tls.test', path)));
  session.close();
  return { alpn: session.alpnProtocol ?? '', seen };
}

async function talkGrpc(): Promise<Talk['grpc']> {
  const plain = connectH2('http://h2c.test', { createConnection: tcp });
  const safe = connectH2('https://tls.test', { createConnection: () => tls('tls.test', ['h2']) });
  const ask = (...args: [string, { text: string; count?: number; pauseMs?: number }[], boolean?]) =>
    call(plain, 'h2c.test', ...args);
  const words = ['a', 'b', 'c'].map((text) => ({ text }));
  const [unary, repeat, both, unknown, withTls] = await Promise.all([
    ask('Unary', [{ text: 'hello' }]),
    ask('Repeat', [{ text: 'again', count: EVENTS, pauseMs: EVENT_PAUSE_MS }]),
    ask('Both', words, true),
    ask('Unknown', [{ text: 'hello' }]),
    call(safe, 'grpc.tls.test', 'Unary', [{ text: 'safe' }]),
  ]);
  plain.close();
  safe.close();
  return { unary, repeat, both, unknown, tls: withTls };
}

interface Ask {
  host?: string;
  method?: string;
  path: string;
  headers?: Record<string, string | number>;
}

/** Opens a request. Its body is still to be written. */
function open({ host = 'upload.test', ...rest }: Ask) {
  const { headers = {}, ...options } = rest;
  return request({ ...options, createConnection: tcp, headers: { ...headers, Host: host } });
}

async function talkEvents(): Promise<Talk['events']> {
  const asked = open({ path: `/?do=events&count=${EVENTS}&pauseMs=${EVENT_PAUSE_MS}` }).end();
  const response = await once<IncomingMessage>(asked, 'response');
  const startMs = performance.now();
  const [ids, atMs]: [string[], number[]] = [[], []];
  for await (const chunk of response) {
    for (const [, id = ''] of String(chunk).matchAll(/^id: (.*)$/gm)) {
      ids.push(id);
      atMs.push(performance.now() - startMs);
    }
  }
  return { ids, atMs };
}

async function upload(mb: number, isSized: boolean): Promise<{ sent: Upload; got: Upload }> {
  const headers: Ask['headers'] = isSized ? { 'Content-Length': mb * CHUNK.length } : {};
  const asked = open({ method: 'POST', path: '/?do=upload', headers });
  const hash = createHash('sha256');
  for (let i = 0; i < mb; i++) {
    hash.update(CHUNK);
    if (!asked.write(CHUNK)) await once(asked, 'drain');
  }
  asked.end();
  const got = (await json(await once<IncomingMessage>(asked, 'response'))) as Upload;
  return { sent: { bytes: mb * CHUNK.length, sha256: hash.digest('hex') }, got };
}

/** A request that arrives in small pieces, and a body that does. */
async function talkSlowly(): Promise<Talk['slow']> {
  const socket = tcp();
  const text = 'GET /slow HTTP/1.1\r\nHost: upload.test\r\nConnection: close\r\n\r\n';
  for (let i = 0; i < text.length; i += 4) {
    socket.write(text.slice(i, i + 4));
    await setTimeout(20);
  }
  const answer = (await buffer(socket)).toString();
  const seen = JSON.parse(/\{"backend".*\}/.exec(answer)![0]) as Seen;
  const asked = open({ method: 'PUT', path: '/?do=upload' });
  for (let i = 0; i < 20; i++) {
    asked.write('0123456789');
    await setTimeout(50);
  }
  asked.end();
  return { seen, upload: (await json(await once<IncomingMessage>(asked, 'response'))) as Upload };
}

/** Many clients that never end the head of a request, while others are served. */
async function talkStalled(): Promise<Talk['stalled']> {
  const ends = Array.from({ length: STALLED }, async () => {
    const socket = tcp();
    socket.setTimeout(STALLED_MS_MAX, () => socket.destroy());
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: upload.test\r\nX-Slow: ');
    const dripping = setInterval(() => socket.write('a'), 500);
    let answer = '';
    socket.setEncoding('latin1').on('data', (part: string) => {
      answer += part;
    });
    await new Promise((resolve) => socket.once('close', resolve));
    clearInterval(dripping);
    return answer.split('\r\n')[0]!;
  });
  await setTimeout(500);
  const meanwhile: number[] = [];
  for (let i = 0; i < 20; i++) {
    const response = await once<IncomingMessage>(open({ path: '/meanwhile' }).end(), 'response');
    meanwhile.push(response.statusCode!);
    response.resume();
  }
  return { answers: await Promise.all(ends), meanwhile };
}

const uploads = async () => ({
  sized: await upload(Number(uploadMb), true),
  chunked: await upload(Math.ceil(Number(uploadMb) / 4), false),
});
const [webSocket, webSocketTls, h2, grpc, events, slow, stalled, sent] = await Promise.all([
  talkWebSocket('ws://plain.test/socket', tcp),
  talkWebSocket('wss://tls.test/socket', () => tls('tls.test')),
  ...([talkH2(), talkGrpc(), talkEvents(), talkSlowly(), talkStalled(), uploads()] as const),
]);
const talk: Talk = { webSocket, webSocketTls, h2, grpc, events, slow, stalled, uploads: sent };
console.log(JSON.stringify(talk));
process.exit(0);
