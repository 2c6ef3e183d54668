// An echo service of gRPC, both sides: unary, a stream from the server, streams both ways. Source:
// grpc/grpc doc/PROTOCOL-HTTP2.md.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Stream,
} from 'node:http2';
import { setTimeout } from 'node:timers/promises';
import protobuf from 'protobufjs';

export interface Word {
  text: string;
  /** How many messages `Repeat` answers, and the time between them. */
  count: number;
  pauseMs: number;
}

/** What a client got for one call. */
export interface Called {
  words: string[];
  /** When each message arrived, ms after the first bytes were sent. */
  atMs: number[];
  status: string;
  contentType: string;
}

const SCHEMA = `
syntax = "proto3";
message Word { string text = 1; int32 count = 2; int32 pauseMs = 3; }`;
const Word = protobuf.parse(SCHEMA).root.lookupType('Word');
const SERVICE = '/test.Echo';
/** A compressed flag and the length of the message. */
const FRAME_BYTES = 5;
const OK = '0';
const UNIMPLEMENTED = '12';

function frame(word: Partial<Word>): Buffer {
  const message = Word.encode(Word.create(word)).finish();
  const head = Buffer.alloc(FRAME_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The messages of a stream, as they arrive. */
async function* readWords(stream: Http2Stream): AsyncGenerator<Word> {
  let left = Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    left = Buffer.concat([left, chunk]);
    while (left.length >= FRAME_BYTES) {
      const end = FRAME_BYTES + left.readUInt32BE(1);
      if (left.length < end) break;
      yield Word.decode(left.subarray(FRAME_BYTES, end)) as unknown as Word;
      left = left.subarray(end);
    }
  }
}

/** Answers `Unary`, `Repeat` (a stream of `count` messages) or `Both` (each as it comes). */
export function serveCall(request: Http2ServerRequest, response: Http2ServerResponse): void {
  const known = ['Unary', 'Repeat', 'Both'].some((name) => request.url === `${SERVICE}/${name}`);
  const type = { 'content-type': 'application/grpc' };
  if (!known) {
    response.writeHead(200, { ...type, 'grpc-status': UNIMPLEMENTED });
    response.end();
    return;
  }
  response.writeHead(200, type);
  response.addTrailers({ 'grpc-status': OK });
  answerWords(request, response, request.url.endsWith('Repeat')).then(
    () => response.end(),
    () => request.stream.destroy(),
  );
}

async function answerWords(
  { stream }: Http2ServerRequest,
  response: Http2ServerResponse,
  repeats: boolean,
): Promise<void> {
  for await (const { text, count, pauseMs } of readWords(stream)) {
    for (let i = 0; i < (repeats ? count : 1); i++) {
      response.write(frame({ text: repeats ? `${text} ${i}` : text }));
      if (repeats) await setTimeout(pauseMs);
    }
  }
}

/** Makes one call. With `inTurn` a message is sent when the answer to the last one has arrived. */
export async function call(
  session: ClientHttp2Session,
  authority: string,
  method: string,
  words: Partial<Word>[],
  inTurn = false,
): Promise<Called> {
  const stream: ClientHttp2Stream = session.request({
    ...{ ':method': 'POST', ':path': `${SERVICE}/${method}`, ':authority': authority },
    ...{ 'content-type': 'application/grpc', te: 'trailers' },
  });
  const called: Called = { words: [], atMs: [], status: '', contentType: '' };
  stream.on('response', (headers) => {
    called.contentType = String(headers['content-type']);
    called.status = String(headers['grpc-status'] ?? '');
  });
  stream.on('trailers', (headers) => {
    called.status = String(headers['grpc-status']);
  });
  const left = [...words];
  const sendNext = () => {
    const word = left.shift();
    if (word) stream.write(frame(word));
    if (left.length === 0) stream.end();
  };
  const startMs = performance.now();
  if (inTurn) sendNext();
  else while (left.length > 0) sendNext();
  for await (const { text } of readWords(stream)) {
    called.words.push(text);
    called.atMs.push(performance.now() - startMs);
    if (inTurn && !stream.writableEnded) sendNext();
  }
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) called.status = `reset ${stream.rstCode}`;
  return called;
}
