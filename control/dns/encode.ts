// Encodes messages with compressed names (RFC 1035 4.1.4).
import { CLASS_IN, FLAG_TC, TCP_BYTES_MAX, TYPE } from './constants.ts';
import type { Edns, Question } from './decode.ts';
import { foldCase, type Name } from './name.ts';
import type { DnsRecord } from './record.ts';

export interface Outgoing {
  id: number;
  /** QR, AA, RD and others. The encoder adds `rcode`, and TC if it leaves records out. */
  flags: number;
  rcode: number;
  question: Question | null;
  answers: DnsRecord[];
  authority: DnsRecord[];
  additional: DnsRecord[];
  /** EDNS of this server. Null for a client without EDNS. */
  edns: Edns | null;
}

const OPT_BYTES = 11;
/** A pointer has 14 bits. */
const POINTER_MAX = 0x3fff;
/** Types whose names every reader can decompress: those of RFC 1035 (RFC 3597 section 4). */
const COMPRESSED = new Set<number>([TYPE.NS, TYPE.CNAME, TYPE.SOA, TYPE.PTR, TYPE.MX]);

const scratch = Buffer.allocUnsafe(TCP_BYTES_MAX);

/**
 * The bytes of a message, at most `bytesMax`. Answers and authority that do not fit are left out,
 * and TC says so. Additional records are left out silently (RFC 2181 section 9).
 */
export function encodeMessage(message: Outgoing, bytesMax: number): Buffer {
  const { id, flags, rcode, question, edns } = message;
  const writer = new Writer(Math.min(bytesMax, TCP_BYTES_MAX) - (edns ? OPT_BYTES : 0));
  writer.skip(12);
  if (question) writer.question(question);
  const answers = writer.records(message.answers);
  const isWhole = answers === message.answers.length;
  const authority = isWhole ? writer.records(message.authority) : 0;
  const isCut = !isWhole || authority < message.authority.length;
  let additional = isCut ? 0 : writer.records(message.additional);
  if (edns) {
    writer.options(edns, rcode >> 4);
    additional++;
  }
  const head = [id, flags | (isCut ? FLAG_TC : 0) | (rcode & 15), question ? 1 : 0];
  writer.header([...head, answers, authority, additional]);
  return writer.finish();
}

class Writer {
  readonly #bytesMax: number;
  readonly #names = new Map<Name, number>();
  #at = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  header(words: number[]): void {
    for (const [i, word] of words.entries()) scratch.writeUInt16BE(word, 2 * i);
  }

  finish(): Buffer {
    return Buffer.from(scratch.subarray(0, this.#at));
  }

  question({ name, type, class: klass }: Question): void {
    this.#name(name, true);
    this.#uint16(type);
    this.#uint16(klass);
  }

  /** Writes records while they fit. Returns their number. */
  records(records: DnsRecord[]): number {
    for (const [i, record] of records.entries()) {
      const start = this.#at;
      if (start + sizeMax(record) > scratch.length) return i;
      this.#record(record);
      if (this.#at <= this.#bytesMax) continue;
      // Later bytes overwrite names of this record that the encoder remembers. No pointer refers to
      // them, because no record follows.
      this.#at = start;
      return i;
    }
    return records.length;
  }

  options({ udpBytes, version, isSecure }: Edns, extendedCode: number): void {
    scratch[this.#at++] = 0;
    this.#uint16(TYPE.OPT);
    this.#uint16(udpBytes);
    this.#uint16((extendedCode << 8) | version);
    this.#uint16(isSecure ? 0x8000 : 0);
    this.#uint16(0);
  }

  #record({ name, type, ttl, data }: DnsRecord): void {
    this.#name(name, true);
    this.#uint16(type);
    this.#uint16(CLASS_IN);
    this.#at = scratch.writeUInt32BE(ttl, this.#at);
    const lengthAt = this.#at;
    this.#at += 2;
    for (const piece of data) {
      if (typeof piece === 'string') this.#name(piece, COMPRESSED.has(type));
      else {
        scratch.set(piece, this.#at);
        this.#at += piece.length;
      }
    }
    scratch.writeUInt16BE(this.#at - lengthAt - 2, lengthAt);
  }

  #uint16(value: number): void {
    this.#at = scratch.writeUInt16BE(value, this.#at);
  }

  /**
   * Writes a pointer for a suffix that was written before. The name then has the case of that
   * suffix.
   */
  #name(name: Name, isCompressed: boolean): void {
    const folded = foldCase(name);
    let at = 0;
    for (let length = name.charCodeAt(0); length > 0; length = name.charCodeAt(at)) {
      const rest = folded.slice(at);
      const before = this.#names.get(rest);
      if (isCompressed && before !== undefined) return this.#uint16(0xc000 | before);
      if (before === undefined && this.#at <= POINTER_MAX) this.#names.set(rest, this.#at);
      this.#at += scratch.write(name.slice(at, at + 1 + length), this.#at, 'latin1');
      at += 1 + length;
    }
    scratch[this.#at++] = 0;
  }
}

/** The size of a record without compression, bytes. */
function sizeMax({ name, data }: DnsRecord): number {
  return name.length + 10 + data.reduce((sum, piece) => sum + piece.length, 0);
}
