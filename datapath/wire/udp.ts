// UDP, RFC 768. Offsets in bytes from the start of the header.

export const UDP_HEADER_BYTES = 8;
export const UDP_OFF_LENGTH = 4;
export const UDP_OFF_SUM = 6;
