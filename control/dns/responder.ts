// Answers a query: bytes in, bytes out.
import { answerFromZone } from './answer.ts';
import {
  CLASS_IN,
  FLAG_AA,
  FLAG_CD,
  FLAG_QR,
  FLAG_RA,
  FLAG_RD,
  OPCODE_MASK,
  RCODE,
  TCP_BYTES_MAX,
  TYPE,
  UDP_BYTES_MAX,
  UDP_BYTES_MIN,
} from './constants.ts';
import { decodeMessage, isResponse, type Message, MessageError } from './decode.ts';
import { encodeMessage } from './encode.ts';
import type { Forward } from './forwarder.ts';
import type { Metrics } from './metrics.ts';
import { formatName, type Name } from './name.ts';
import { type Answer, bareAnswer, type DnsRecord } from './record.ts';
import type { Zone } from './zone.ts';

export interface Client {
  transport: 'udp' | 'tcp';
  address: string;
  port: number;
}

/** One line per answer, for a log of queries. */
export interface Answered {
  client: Client;
  query: Message;
  queryBytes: number;
  answer: Answer;
  answerBytes: number;
  ms: number;
}

export interface ResponderOptions {
  zone: Zone;
  forward: Forward;
  metrics: Metrics;
  /** Random numbers from 0 to 1. They choose the first address of an answer. */
  random: () => number;
  onAnswer?: (answered: Answered) => void;
  /** A question that could not be answered, and why. */
  onFailure: (question: string, why: unknown) => void;
}

export class Responder {
  readonly #options: ResponderOptions;

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** Never rejects. Null if the bytes are not a query: they get no answer. */
  async respond(bytes: Uint8Array, client: Client): Promise<Buffer | null> {
    const startedMs = performance.now();
    let query: Message | null;
    try {
      query = decodeMessage(bytes);
    } catch (error) {
      return error instanceof MessageError ? refuseMalformed(error) : null;
    }
    // Two servers that answer each other's answers would never stop.
    if (!query || isResponse(query)) return null;
    const [answer, source] = await this.#answer(query);
    const encoded = encodeAnswer(query, this.#shuffle(answer), client.transport);
    const ms = performance.now() - startedMs;
    this.#options.metrics.answered({
      ...{ zone: source.zone, plugin: source.plugin, proto: client.transport },
      ...{ type: query.question.type, rcode: answer.rcode, ms },
    });
    const sizes = { queryBytes: bytes.length, answerBytes: encoded.length };
    this.#options.onAnswer?.({ client, query, answer, ms, ...sizes });
    return encoded;
  }

  async #answer(query: Message): Promise<[Answer, { zone: string; plugin: string }]> {
    const { zone, metrics, onFailure } = this.#options;
    const { name } = query.question;
    const ours = { zone: formatName(zone.apex), plugin: 'kubernetes' };
    const theirs = { zone: '.', plugin: 'forward' };
    const refusal = refusalOf(query);
    if (refusal !== null) return [bareAnswer(refusal), { ...theirs, plugin: '' }];
    try {
      const found = answerFromZone(zone, query.question);
      if (found === null) return [await this.#ask(query, name), theirs];
      const { chase, ...answer } = found;
      if (chase === null) return [answer, ours];
      const { answers } = await this.#ask(query, chase);
      return [{ ...answer, answers: [...answer.answers, ...answers] }, ours];
    } catch (error) {
      // Upstream failures are plain Errors. Other errors are faults of this program.
      if (!(error instanceof Error) || error.constructor !== Error) metrics.panicked();
      onFailure(formatName(name), error);
      return [bareAnswer(RCODE.SERVFAIL), theirs];
    }
  }

  #ask({ question, edns, flags }: Message, name: Name): Promise<Answer> {
    const isSecure = edns?.isSecure === true;
    const isUnchecked = (flags & FLAG_CD) !== 0;
    return this.#options.forward.ask({ name, type: question.type, isSecure, isUnchecked });
  }

  /** Clients take the first address. CNAME records stay in front of what they lead to. */
  #shuffle(answer: Answer): Answer {
    const { random } = this.#options;
    const first = answer.answers.findIndex(isAddress);
    if (first < 0) return answer;
    const head = answer.answers.slice(0, first);
    const tail = answer.answers.slice(first);
    for (let i = tail.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [tail[i], tail[j]] = [tail[j]!, tail[i]!];
    }
    return tail.every(isAddress) ? { ...answer, answers: [...head, ...tail] } : answer;
  }
}

function isAddress({ type }: DnsRecord): boolean {
  return type === TYPE.A || type === TYPE.AAAA;
}

/** The code of a query that is refused for any name. Null if it may be answered. */
function refusalOf({ flags, question, edns }: Message): number | null {
  if ((flags & OPCODE_MASK) !== 0) return RCODE.NOTIMP;
  if (edns && edns.version !== 0) return RCODE.BADVERS;
  return question.class === CLASS_IN ? null : RCODE.REFUSED;
}

/** Omits the question of a malformed query, because the question itself may be malformed. */
function refuseMalformed({ id, flags }: MessageError): Buffer | null {
  if (isResponse({ flags })) return null;
  const isQuery = (flags & OPCODE_MASK) === 0;
  const rcode = isQuery ? RCODE.FORMERR : RCODE.NOTIMP;
  const head = {
    id,
    flags: FLAG_QR | (flags & (OPCODE_MASK | FLAG_RD)),
    question: null,
    edns: null,
  };
  return encodeMessage({ ...bareAnswer(rcode), ...head }, UDP_BYTES_MIN);
}

function encodeAnswer(query: Message, answer: Answer, transport: Client['transport']): Buffer {
  const { id, question, flags, edns } = query;
  const kept = flags & (OPCODE_MASK | FLAG_RD | FLAG_CD);
  const asked = Math.max(UDP_BYTES_MIN, Math.min(edns?.udpBytes ?? 0, UDP_BYTES_MAX));
  const own = edns && { udpBytes: UDP_BYTES_MAX, version: 0, isSecure: edns.isSecure };
  const message = {
    ...{ id, question, edns: own, rcode: answer.rcode },
    flags: FLAG_QR | FLAG_RA | kept | (answer.isAuthoritative ? FLAG_AA : 0),
    ...{ answers: answer.answers, authority: answer.authority, additional: answer.additional },
  };
  return encodeMessage(message, transport === 'udp' ? asked : TCP_BYTES_MAX);
}
