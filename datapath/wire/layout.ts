// Offsets of the fields of each format, in bytes from the start of the header.

/** virtio_net_hdr, linux/virtio_net.h; little endian on every machine that kubetun runs on. */
export const VNET_HEADER_BYTES = 10;
export const VNET_OFF_FLAGS = 0;
export const VNET_OFF_CSUM_START = 6;
export const VNET_OFF_CSUM_OFFSET = 8;
export const VNET_FLAG_NEEDS_CSUM = 1;

/** IPv4, RFC 791. */
export const IP4_HEADER_BYTES_MIN = 20;
export const IP4_OFF_TOTAL = 2;
export const IP4_OFF_ID = 4;
export const IP4_OFF_FRAGMENT = 6;
export const IP4_OFF_TTL = 8;
export const IP4_OFF_PROTO = 9;
export const IP4_OFF_SUM = 10;
export const IP4_OFF_SRC = 12;
export const IP4_OFF_DST = 16;
export const IP4_FLAG_MORE_FRAGMENTS = 0x2000;
export const IP4_FRAGMENT_OFFSET_MASK = 0x1fff;
export const IP4_TOTAL_BYTES_MAX = 65_535;

export const PROTO_ICMP = 1;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_SCTP = 132;

/** TCP, RFC 9293. */
export const TCP_HEADER_BYTES_MIN = 20;
export const TCP_OFF_SEQ = 4;
export const TCP_OFF_ACK = 8;
export const TCP_OFF_DATA = 12;
export const TCP_OFF_FLAGS = 13;
export const TCP_OFF_WINDOW = 14;
export const TCP_OFF_SUM = 16;
export const TCP_FLAG_FIN = 0x01;
export const TCP_FLAG_SYN = 0x02;
export const TCP_FLAG_RST = 0x04;
export const TCP_FLAG_ACK = 0x10;

/** UDP, RFC 768. */
export const UDP_HEADER_BYTES = 8;
export const UDP_OFF_LENGTH = 4;
export const UDP_OFF_SUM = 6;

/** SCTP, RFC 9260: common header and the first chunk's type. */
export const SCTP_HEADER_BYTES = 12;
export const SCTP_OFF_SUM = 8;

/** ICMP, RFC 792. */
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
