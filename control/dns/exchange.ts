// Asks a name server one question. Each question has a new socket, port and id, and a forged answer
// has to guess them all (RFC 5452).
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { CLASS_IN, FLAG_CD, FLAG_RD, FLAG_TC, RCODE } from './constants.ts';
import { decodeMessage, isResponse, isSameQuestion, type Message } from './decode.ts';
import { encodeMessage } from './encode.ts';
import type { Name } from './name.ts';

export interface ServerAddress {
  address: string;
  port: number;
}

/** A question to a name server. It always asks for recursion. */
export interface Request {
  name: Name;
  type: number;
  /** DO: asks for DNSSEC records. */
  isSecure: boolean;
  /** CD: the name server need not validate DNSSEC records. */
  isUnchecked: boolean;
}

/** Datagrams of this size need no fragments on any path (DNS flag day 2020). */
const EDNS_BYTES = 1232;
const QUERY_BYTES_MAX = 512;
const ID_END = 65_536;
/** This many datagrams that are not the answer end the wait, because a sender is guessing ids. */
const FORGED_MAX = 64;

/**
 * Asks over UDP, and over TCP if the answer does not fit. Rejects with Error after the time limit,
 * for a closed port, and for an answer that cannot be decoded.
 */
export async function exchange(
  server: ServerAddress,
  request: Request,
  timeoutMs: number,
): Promise<Message> {
  const answer = await exchangeUdp(server, request, timeoutMs);
  return answer.flags & FLAG_TC ? exchangeTcp(server, request, timeoutMs) : answer;
}

function buildQuery({ name, type, isSecure, isUnchecked }: Request) {
  const id = randomInt(ID_END);
  const question = { name, type, class: CLASS_IN };
  const flags = FLAG_RD | (isUnchecked ? FLAG_CD : 0);
  const edns = { udpBytes: EDNS_BYTES, version: 0, isSecure };
  const sections = { answers: [], authority: [], additional: [] };
  const query = { id, flags, rcode: RCODE.NOERROR, question, edns, ...sections };
  /** The message if it is the answer to this query. */
  const accept = (bytes: Uint8Array): Message | null => {
    const message = decodeMessage(bytes);
    const fits = message && isResponse(message) && message.id === id;
    return fits && isSameQuestion(message.question, question) ? message : null;
  };
  return { bytes: encodeMessage(query, QUERY_BYTES_MAX), accept };
}

function exchangeUdp(
  { address, port }: ServerAddress,
  request: Request,
  timeoutMs: number,
): Promise<Message> {
  const { bytes, accept } = buildQuery(request);
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    let forged = 0;
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      socket.close();
      settle();
    };
    const fail = (why: string) => finish(() => reject(new Error(`${address}:${port} ${why}`)));
    const timer = setTimeout(() => fail(`gave no answer within ${timeoutMs} ms`), timeoutMs);
    socket.once('error', (error) => fail(`cannot be asked: ${error.message}`));
    socket.on('message', (datagram) => {
      const message = acceptOrNull(accept, datagram);
      if (message) return finish(() => resolve(message));
      if (++forged >= FORGED_MAX) fail(`sent ${FORGED_MAX} datagrams that are no answer`);
    });
    // A connected socket receives datagrams of that address and port only.
    socket.connect(port, address, () => socket.send(bytes));
  });
}

/** Bytes that cannot be decoded may be forged, so the wait goes on. */
function acceptOrNull(accept: (bytes: Uint8Array) => Message | null, datagram: Uint8Array) {
  try {
    return accept(datagram);
  } catch {
    return null;
  }
}

function exchangeTcp(
  { address, port }: ServerAddress,
  request: Request,
  timeoutMs: number,
): Promise<Message> {
  const { bytes, accept } = buildQuery(request);
  return new Promise((resolve, reject) => {
    const socket = connect(port, address);
    let received: Buffer = Buffer.alloc(0);
    const fail = (why: string) => {
      socket.destroy();
      reject(new Error(`${address}:${port} ${why}`));
    };
    socket.setTimeout(timeoutMs, () => fail(`gave no answer over TCP within ${timeoutMs} ms`));
    socket.once('error', (error) => fail(`cannot be asked over TCP: ${error.message}`));
    socket.once('close', () => fail('ended the connection before its answer'));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const message = acceptOrNull(accept, received.subarray(2, 2 + received.readUInt16BE(0)));
      if (!message) return fail('sent no answer to the question over TCP');
      socket.destroy();
      resolve(message);
    });
    socket.write(frame(bytes));
  });
}

/** A message with its length in front, as over TCP (RFC 1035 4.2.2). */
export function frame(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
