// SCTP, RFC 9260: offsets in bytes from the start of the common header, and its checksum.

export const SCTP_HEADER_BYTES = 12;
export const SCTP_OFF_SUM = 8;

// The checksum, appendix A: CRC-32C, reflected. It is linear: the effect of changed
// bytes depends only on the change and on how many bytes follow. So a packet's checksum is patched,
// not computed again, and a damaged packet stays damaged.

const POLYNOMIAL = 0x82f63b78;
const TABLE = new Int32Array(256);
for (let n = 0; n < 256; n++) {
  let crc = n;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  TABLE[n] = crc;
}

/**
 * The bits that change in the CRC of `bytes` bytes, at least four, when the first four, as a
 * big-endian word, change by the bits of `change`.
 */
export function crc32cOfChange(change: number, bytes: number): number {
  let crc = 0;
  for (let shift = 24; shift >= 0; shift -= 8) {
    crc = TABLE[(crc ^ (change >>> shift)) & 255]! ^ (crc >>> 8);
  }
  for (let n = 4; n < bytes; n++) crc = TABLE[crc & 255]! ^ (crc >>> 8);
  return crc;
}
