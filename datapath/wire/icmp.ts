// ICMP, RFC 792. Offsets in bytes from the start of the header.

export const ICMP_HEADER_BYTES = 8;
export const ICMP_OFF_SUM = 2;
export const ICMP_OFF_ID = 4;
export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO_REQUEST = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;
/** Requests, each answered by the next type. */
export const ICMP_TIMESTAMP = 13;
export const ICMP_INFORMATION = 15;
export const ICMP_ADDRESS_MASK = 17;
export const ICMP_CODE_PORT_UNREACHABLE = 3;
export const ICMP_CODE_FRAGMENTATION_NEEDED = 4;
