// Entries of a container log: `TIME F TEXT` for the end of a line, `TIME P TEXT` for a part of one.

/** `2026-11-30T08:38:56.123000000Z`: a fixed width, so that times compare as bytes. */
const TIME_BYTES = 30;
const TAG_AT = TIME_BYTES + 1;
/** Time, space, tag, space. */
const HEAD_BYTES = TIME_BYTES + 3;
const NEWLINE = 10;
/** The tag of an entry that ends a line. */
const FULL = 70;
const SPACE = 32;

/** Formats a time (ms since 1970) for entries: RFC 3339 with a fixed width. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000000Z');
}

/**
 * Entries for one read of a container's output. Bytes after the last newline become a part of a
 * line.
 */
export function encodeEntries(said: Uint8Array, time: string): Buffer {
  const full = Buffer.from(`${time} F `);
  const piece = Buffer.from(`${time} P `);
  const lines = countLines(said);
  const isWhole = said.length === 0 || said.at(-1) === NEWLINE;
  const rest = isWhole ? 0 : HEAD_BYTES + 1;
  const out = Buffer.allocUnsafe(said.length + lines * HEAD_BYTES + rest);
  let to = 0;
  for (let from = 0; from < said.length; ) {
    const newline = said.indexOf(NEWLINE, from);
    out.set(newline < 0 ? piece : full, to);
    to += HEAD_BYTES;
    const end = newline < 0 ? said.length : newline;
    for (; from < end; from++) out[to++] = said[from]!;
    out[to++] = NEWLINE;
    from++;
  }
  return out;
}

export function countLines(bytes: Uint8Array): number {
  let lines = 0;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === NEWLINE) lines++;
  return lines;
}

export interface DecodeOptions {
  /** Earlier lines are left out: a time in the format of `formatTime`, or empty. */
  since: string;
  /** Prefixes each line with its time. */
  timestamps: boolean;
  /** Most bytes of the answer. */
  bytesMax: number;
}

/** Converts entries to the text of an answer. */
export class Decoder {
  readonly #since: Buffer;
  readonly #timestamps: boolean;
  #left: number;
  #isLineStart = true;

  constructor({ since, timestamps, bytesMax }: DecodeOptions) {
    this.#since = Buffer.from(since);
    this.#timestamps = timestamps;
    this.#left = bytesMax;
  }

  /** True once the answer has reached its limit. */
  get isOver(): boolean {
    return this.#left <= 0;
  }

  /** @param entries whole entries only. */
  decode(entries: Buffer): Buffer {
    const out = Buffer.allocUnsafe(entries.length);
    let to = 0;
    for (let from = 0; from < entries.length; ) {
      const end = entries.indexOf(NEWLINE, from);
      if (this.#isWanted(entries, from)) {
        const isFull = entries[from + TAG_AT] === FULL;
        if (this.#timestamps && this.#isLineStart) {
          to += entries.copy(out, to, from, from + TIME_BYTES);
          out[to++] = SPACE;
        }
        to += entries.copy(out, to, from + HEAD_BYTES, isFull ? end + 1 : end);
        this.#isLineStart = isFull;
      }
      from = end + 1;
    }
    const kept = out.subarray(0, Math.min(to, this.#left));
    this.#left -= kept.length;
    return kept;
  }

  #isWanted(entries: Buffer, at: number): boolean {
    if (this.#since.length === 0) return true;
    return entries.compare(this.#since, 0, TIME_BYTES, at, at + TIME_BYTES) >= 0;
  }
}

/** True if whole entries end in a part of a line. */
export function endsInPiece(entries: Buffer): boolean {
  const begin = entries.lastIndexOf(NEWLINE, entries.length - 2) + 1;
  return entries.length > 0 && entries[begin + TAG_AT] !== FULL;
}

/**
 * Goes back over `lines` line ends in whole entries. `offset` is where the next line begins. If
 * there are fewer lines, it is -1 and `left` of them are missing.
 */
export function skipLinesBack(entries: Buffer, lines: number): { offset: number; left: number } {
  let left = lines;
  for (let end = entries.length; end > 0; ) {
    const begin = entries.lastIndexOf(NEWLINE, end - 2) + 1;
    if (entries[begin + TAG_AT] === FULL) {
      if (left === 0) return { offset: end, left };
      left--;
    }
    end = begin;
  }
  return { offset: -1, left };
}

/** Bytes up to the end of the last whole entry. */
export function wholeEntries(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.lastIndexOf(NEWLINE) + 1);
}
