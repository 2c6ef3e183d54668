// Answers from upstream, for as long as their TTLs allow (RFC 2308 for those without data).
import { RCODE, TYPE } from './constants.ts';
import type { Answer, DnsRecord } from './record.ts';

export interface CacheOptions {
  entriesMax: number;
  /** The longest TTL, seconds. */
  ttlMaxS: number;
  /** Ms; may not run backwards. */
  clock: () => number;
}

interface Entry {
  answer: Answer;
  storedMs: number;
  ttlS: number;
}

export class AnswerCache {
  readonly #options: CacheOptions;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();

  constructor(options: CacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The answer with its remaining TTLs. Null if there is none, or if it has expired. */
  get(key: string): Answer | null {
    const entry = this.#entries.get(key);
    if (!entry) return null;
    this.#entries.delete(key);
    const ageS = (this.#options.clock() - entry.storedMs) / 1000;
    if (ageS >= entry.ttlS) return null;
    this.#entries.set(key, entry);
    return age(entry.answer, Math.floor(ageS));
  }

  /** Stores an answer if it may be cached, and returns it with limited TTLs. */
  put(key: string, answer: Answer): Answer {
    const { entriesMax, ttlMaxS, clock } = this.#options;
    const cut = mapRecords(answer, (record) => ({ ...record, ttl: Math.min(record.ttl, ttlMaxS) }));
    const ttlS = ttlOf(cut);
    if (ttlS <= 0) return cut;
    this.#entries.delete(key);
    this.#entries.set(key, { answer: cut, storedMs: clock(), ttlS });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax) break;
      this.#entries.delete(oldest);
    }
    return cut;
  }
}

/** True for NXDOMAIN and for a name without data of the type that was asked for. */
export function isDenial({ rcode, answers }: Answer): boolean {
  return rcode === RCODE.NXDOMAIN || answers.length === 0;
}

/** How long an answer may be cached, seconds. 0 for an answer that may not be cached. */
function ttlOf(answer: Answer): number {
  if (answer.rcode !== RCODE.NOERROR && answer.rcode !== RCODE.NXDOMAIN) return 0;
  const all = [...answer.answers, ...answer.authority, ...answer.additional];
  const limits = all.map(({ ttl }) => ttl);
  if (isDenial(answer)) {
    const authority = answer.authority.find(({ type }) => type === TYPE.SOA);
    // Without a SOA record it is unknown how long the name stays absent.
    if (!authority) return 0;
    limits.push(minimumOf(authority));
  }
  return Math.min(...limits);
}

/** The last of the five numbers of a SOA record. */
function minimumOf({ data }: DnsRecord): number {
  return Buffer.from(data[2] as Uint8Array).readUInt32BE(16);
}

function age(answer: Answer, seconds: number): Answer {
  return mapRecords(answer, (record) => ({ ...record, ttl: record.ttl - seconds }));
}

function mapRecords(answer: Answer, map: (record: DnsRecord) => DnsRecord): Answer {
  const { answers, authority, additional } = answer;
  return {
    ...answer,
    ...{ answers: answers.map(map), authority: authority.map(map) },
    additional: additional.map(map),
  };
}
