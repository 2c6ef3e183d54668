// The Internet checksum, RFC 1071, and its incremental update, RFC 1624. A sum here is the folded
// 16-bit one's-complement sum; the field on the wire holds its complement, unless the checksum is
// partial.
//
// The first functions are constants: V8 checks at each use that a declared function has not been
// replaced (four instructions a call, also where it is inlined).

/** Folds a sum of up to 65,536 16-bit words to 16 bits. */
export const fold = (sum: number): number => {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
};

/** Adds two folded sums. */
export const addSums = (a: number, b: number): number => {
  const sum = a + b;
  return (sum & 0xffff) + (sum >>> 16);
};

/** The folded change of the sum when a 32-bit word `from` becomes `to`. */
export function deltaOfWord(from: number, to: number): number {
  return fold((~from & 0xffff) + ((~from >>> 16) & 0xffff) + (to & 0xffff) + (to >>> 16));
}

/** The full checksum field after its data changed by `delta`: RFC 1624, equation 3. */
export const patchFull = (field: number, delta: number): number =>
  ~addSums(~field & 0xffff, delta) & 0xffff;

/** The folded one's-complement sum of a range of bytes; an odd last byte is a high half. */
export function sumBytes(view: DataView, start: number, end: number): number {
  let sum = 0;
  let at = start;
  for (; at + 1 < end; at += 2) sum += view.getUint16(at);
  if (at < end) sum += view.getUint8(at) << 8;
  return fold(sum);
}

/** The sum of TCP's and UDP's pseudo-header over IPv4. */
export function sumPseudoHeader(src: number, dst: number, proto: number, bytes: number): number {
  return fold((src >>> 16) + (src & 0xffff) + (dst >>> 16) + (dst & 0xffff) + proto + bytes);
}
