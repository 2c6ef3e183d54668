// Resource records, their data in pieces: bytes, and names that an encoder may compress.
import { parseAddress } from '../../datapath/wire/address.ts';
import { TYPE } from './constants.ts';
import type { Name } from './name.ts';

export interface DnsRecord {
  name: Name;
  type: number;
  /** Seconds. */
  ttl: number;
  data: (Uint8Array | Name)[];
}

/** A message without the parts of one exchange: id, flags of the query, EDNS. */
export interface Answer {
  rcode: number;
  /** AA: the answer is about a zone of this server. */
  isAuthoritative: boolean;
  answers: DnsRecord[];
  authority: DnsRecord[];
  additional: DnsRecord[];
}

/** An answer without records. */
export function bareAnswer(rcode: number): Answer {
  return { rcode, isAuthoritative: false, answers: [], authority: [], additional: [] };
}

/** The 4 or 16 bytes of an address, or null. */
export function addressBytes(text: string): Uint8Array | null {
  if (text.includes(':')) return addressBytes6(text);
  const address = parseAddress(text);
  return address === null ? null : int32Bytes(address);
}

function addressBytes6(text: string): Uint8Array | null {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted ? parseAddress(dotted[2]!) : null;
  if (dotted && tail === null) return null;
  const hex = (value: number) => (value & 0xffff).toString(16);
  const plain = dotted ? `${dotted[1]}${hex(tail! >>> 16)}:${hex(tail!)}` : text;
  const halves = plain.split('::');
  if (halves.length > 2) return null;
  const [head, rest] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const gap = 8 - head!.length - (rest?.length ?? 0);
  if (rest === undefined ? gap !== 0 : gap < 1) return null;
  const groups = [...head!, ...Array<string>(rest === undefined ? 0 : gap).fill('0')];
  groups.push(...(rest ?? []));
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]),
  );
}

export function int32Bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(
    values.flatMap((value) => [
      value >>> 24,
      (value >>> 16) & 255,
      (value >>> 8) & 255,
      value & 255,
    ]),
  );
}

/** An A or AAAA record, by the length of the address. */
export function addressRecord(name: Name, address: Uint8Array, ttl: number): DnsRecord {
  return { name, type: address.length === 4 ? TYPE.A : TYPE.AAAA, ttl, data: [address] };
}

/** CNAME, NS or PTR. */
export function nameRecord(name: Name, type: number, target: Name, ttl: number): DnsRecord {
  return { name, type, ttl, data: [target] };
}

/** RFC 2782; priority is 0. */
export function serviceRecord(
  name: Name,
  { weight, port, target }: { weight: number; port: number; target: Name },
  ttl: number,
): DnsRecord {
  const numbers = Uint8Array.of(0, 0, weight >> 8, weight & 255, port >> 8, port & 255);
  return { name, type: TYPE.SRV, ttl, data: [numbers, target] };
}

/** TXT or HINFO: character strings behind their lengths. */
export function textRecord(name: Name, type: number, texts: string[], ttl: number): DnsRecord {
  const data = texts.map((text) => Buffer.from(`${String.fromCharCode(text.length)}${text}`));
  return { name, type, ttl, data };
}

export function startOfAuthority(
  name: Name,
  primary: Name,
  mailbox: Name,
  numbers: { serial: number; refresh: number; retry: number; expire: number; minimum: number },
  ttl: number,
): DnsRecord {
  const { serial, refresh, retry, expire, minimum } = numbers;
  const data = [primary, mailbox, int32Bytes(serial, refresh, retry, expire, minimum)];
  return { name, type: TYPE.SOA, ttl, data };
}
