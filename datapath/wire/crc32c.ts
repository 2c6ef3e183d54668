// SCTP's checksum, RFC 9260 appendix A: CRC-32C, reflected. Unlike the Internet checksum it cannot be patched
// by a delta cheaply, so a packet whose ports change is summed again.

const POLYNOMIAL = 0x82f63b78;
const TABLE = new Int32Array(256);
for (let n = 0; n < 256; n++) {
  let crc = n;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  TABLE[n] = crc;
}

/** CRC-32C of a range of bytes with the four bytes at `skip` taken as zero, as an int32 in host order. */
export function crc32c(view: DataView, start: number, end: number, skip: number): number {
  let crc = -1;
  for (let at = start; at < end; at++) {
    const byte = at >= skip && at < skip + 4 ? 0 : view.getUint8(at);
    crc = TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  }
  return ~crc;
}
