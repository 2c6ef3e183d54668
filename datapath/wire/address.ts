// IPv4 addresses as in every table of the datapath.

/** An IPv4 address: a signed int32 in host order. IPv6 gets other tables (docs/adr/0020). */
export type Address = number;

/** A range of IPv4 addresses; `address & mask === address`. */
export interface Range4 {
  address: Address;
  mask: number;
}

/** `10.0.0.1` from an int32. */
export function formatAddress(address: Address): string {
  const a = address >>> 0;
  return `${a >>> 24}.${(a >>> 16) & 255}.${(a >>> 8) & 255}.${a & 255}`;
}

/** `10.0.0.1:80`. */
export function formatEnd(address: Address, port: number): string {
  return `${formatAddress(address)}:${port}`;
}

/** The same for each of the pairs (address, port). */
export function formatEnds(pairs: Int32Array): string[] {
  return Array.from({ length: pairs.length >> 1 }, (_, i) => {
    return formatEnd(pairs[i * 2]!, pairs[i * 2 + 1]!);
  });
}

/** An int32 from exactly four decimal numbers of 0 to 255 without leading zeros, or null. */
export function parseAddress(text: string): Address | null {
  return parsePart(text, text.length);
}

const DOT = 46;
const DIGIT_0 = 48;

/**
 * Parses the characters before `end` as an address. A policy may have 30,000 addresses, so it
 * copies nothing.
 */
function parsePart(text: string, end: number): number | null {
  let address = 0;
  let at = 0;
  for (let part = 0; part < 4; part++) {
    if (part > 0 && text.charCodeAt(at++) !== DOT) return null;
    const first = at;
    let number = 0;
    while (at < end && at - first < 3) {
      const digit = text.charCodeAt(at) - DIGIT_0;
      if (digit < 0 || digit > 9) break;
      number = number * 10 + digit;
      at++;
    }
    const hasLeadingZero = at - first > 1 && text.charCodeAt(first) === DIGIT_0;
    if (at === first || hasLeadingZero || number > 255) return null;
    address = (address << 8) | number;
  }
  return at === end ? address : null;
}

/** The netmask of a prefix length, as int32. */
export function maskOf(prefix: number): number {
  return prefix === 0 ? 0 : (-1 << (32 - prefix)) | 0;
}

/** `{address, mask}` from `10.0.0.0/8`, host bits cleared; null if it is not a range. */
export function parseRange(text: string): Range4 | null {
  const slash = text.indexOf('/');
  const address = slash < 0 ? null : parsePart(text, slash);
  if (address === null) return null;
  const prefix = text.slice(slash + 1);
  if (!/^\d{1,2}$/.test(prefix) || Number(prefix) > 32) return null;
  const mask = maskOf(Number(prefix));
  return { address: (address & mask) | 0, mask };
}

/** `10.0.0.0/8` from `{address, mask}`. */
export function formatRange({ address, mask }: Range4): string {
  return `${formatAddress(address)}/${Math.clz32(~mask)}`;
}
