// Decodes messages. Checks every length; trusts no byte of a message. dns-packet is not used for
// this: it reads labels as UTF-8 and joins them with dots, so that two names can become one.
import { FLAG_QR, TYPE } from './constants.ts';
import { foldCase, type Name } from './name.ts';
import type { DnsRecord } from './record.ts';

export interface Question {
  /** The name in its original case. The answer repeats it. */
  name: Name;
  type: number;
  class: number;
}

/** The EDNS options of a client (RFC 6891). */
export interface Edns {
  udpBytes: number;
  version: number;
  /** DO: the client wants DNSSEC records. */
  isSecure: boolean;
}

export interface Message {
  id: number;
  flags: number;
  question: Question;
  answers: DnsRecord[];
  authority: DnsRecord[];
  additional: DnsRecord[];
  edns: Edns | null;
}

/** A message that cannot be decoded, with the id and flags of its header. */
export class MessageError extends Error {
  readonly id: number;
  readonly flags: number;

  constructor(message: string, id: number, flags: number) {
    super(message);
    this.id = id;
    this.flags = flags;
  }
}

export const HEADER_BYTES = 12;
const POINTER = 0xc0;
/** Layouts of record data with names: `n` is a name, a number is a count of plain bytes. */
const LAYOUTS = new Map<number, (number | 'n')[]>([
  [TYPE.NS, ['n']],
  [TYPE.CNAME, ['n']],
  [TYPE.PTR, ['n']],
  [TYPE.SOA, ['n', 'n', 20]],
  [TYPE.MX, [2, 'n']],
  [TYPE.SRV, [6, 'n']],
]);

/**
 * Decodes a message. Bytes after the last record are ignored, as in CoreDNS (miekg/dns). Null for
 * bytes without a complete header, which get no answer. Throws MessageError.
 */
export function decodeMessage(bytes: Uint8Array): Message | null {
  if (bytes.length < HEADER_BYTES) return null;
  const reader = new Reader(bytes);
  const [id, flags, questions, ...counts] = [0, 0, 0, 0, 0, 0].map(() => reader.uint16());
  try {
    if (questions !== 1) throw new Error(`the message has ${questions} questions, expected 1`);
    const question = { name: reader.name(), type: reader.uint16(), class: reader.uint16() };
    const [answers, authority, additional] = counts.map((count) => readRecords(reader, count));
    const edns = readEdns(additional!);
    return {
      ...{ id: id!, flags: flags!, question, edns },
      ...{ answers: plain(answers!), authority: plain(authority!), additional: plain(additional!) },
    };
  } catch (error) {
    throw new MessageError((error as Error).message, id!, flags!);
  }
}

export function isResponse({ flags }: { flags: number }): boolean {
  return (flags & FLAG_QR) !== 0;
}

/** The same question, whatever the case of its letters. */
export function isSameQuestion(a: Question, b: Question): boolean {
  return a.type === b.type && a.class === b.class && foldCase(a.name) === foldCase(b.name);
}

interface ClassedRecord extends DnsRecord {
  class: number;
}

/** An OPT record is not data of a name. It describes one exchange. */
function plain(records: ClassedRecord[]): DnsRecord[] {
  return records.filter(({ type }) => type !== TYPE.OPT).map(({ class: _, ...record }) => record);
}

function readEdns(records: ClassedRecord[]): Edns | null {
  const options = records.filter(({ type }) => type === TYPE.OPT);
  if (options.length > 1) throw new Error('the message has two OPT records');
  const [option] = options;
  if (!option) return null;
  const { class: udpBytes, ttl } = option;
  return { udpBytes, version: (ttl >>> 16) & 255, isSecure: (ttl & 0x8000) !== 0 };
}

function readRecords(reader: Reader, count: number): ClassedRecord[] {
  const records: ClassedRecord[] = [];
  for (let i = 0; i < count; i++) {
    const name = reader.name();
    const [type, klass] = [reader.uint16(), reader.uint16()];
    const ttl = reader.uint16() * 0x10000 + reader.uint16();
    const end = reader.uint16() + reader.at;
    const data: DnsRecord['data'] = [];
    // Reads the class and the TTL of an OPT record, not its options.
    for (const piece of LAYOUTS.get(type) ?? []) {
      data.push(piece === 'n' ? reader.name() : reader.bytes(piece));
    }
    if (end < reader.at) throw new Error('the data of a record exceed its length');
    if (!LAYOUTS.has(type)) data.push(reader.bytes(end - reader.at));
    if (end !== reader.at) throw new Error('the data of a record are shorter than its length');
    records.push({ name, type, class: klass, ttl, data });
  }
  return records;
}

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get leftBytes(): number {
    return this.#bytes.length - this.at;
  }

  uint16(): number {
    const [high, low] = this.bytes(2);
    return high! * 256 + low!;
  }

  bytes(count: number): Uint8Array {
    if (count > this.leftBytes) throw new Error('the message ends too early');
    this.at += count;
    return this.#bytes.slice(this.at - count, this.at);
  }

  /** Follows pointers. Each must point further back, so no loop is possible. */
  name(): Name {
    const bytes = this.#bytes;
    let name = '';
    let at = this.at;
    let before = at;
    let end: number | null = null;
    while (true) {
      const length = bytes[at];
      if (length === undefined) throw new Error('a name ends too early');
      if ((length & POINTER) === POINTER) {
        if (at + 1 >= bytes.length) throw new Error('a name ends too early');
        end ??= at + 2;
        const target = (length & 0x3f) * 256 + bytes[at + 1]!;
        if (target >= before) throw new Error('a name points forward');
        before = target;
        at = target;
        continue;
      }
      if ((length & POINTER) !== 0) throw new Error('a label has a reserved kind');
      if (at + 1 + length > bytes.length) throw new Error('a name ends too early');
      name += String.fromCharCode(...bytes.subarray(at, at + 1 + length));
      if (name.length > 255) throw new Error('a name is longer than 255 bytes');
      at += 1 + length;
      if (length === 0) break;
    }
    this.at = end ?? at;
    return name;
  }
}
