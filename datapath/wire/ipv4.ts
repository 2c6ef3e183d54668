// IPv4, RFC 791. Offsets in bytes from the start of the header.

export const IP4_HEADER_BYTES_MIN = 20;
export const IP4_OFF_TOTAL = 2;
export const IP4_OFF_ID = 4;
export const IP4_OFF_FRAGMENT = 6;
export const IP4_OFF_TTL = 8;
export const IP4_OFF_PROTO = 9;
export const IP4_OFF_SUM = 10;
export const IP4_OFF_SRC = 12;
export const IP4_OFF_DST = 16;
export const IP4_FLAG_DONT_FRAGMENT = 0x4000;
export const IP4_FLAG_MORE_FRAGMENTS = 0x2000;
export const IP4_FRAGMENT_OFFSET_MASK = 0x1fff;
export const IP4_TOTAL_BYTES_MAX = 65_535;

/** Protocol numbers of the next header. */
export const PROTO_ICMP = 1;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_SCTP = 132;

/** The protocols that have names, by the name that users write. */
export const PROTO_BY_NAME: ReadonlyMap<string, number> = new Map([
  ['tcp', PROTO_TCP],
  ['udp', PROTO_UDP],
  ['icmp', PROTO_ICMP],
  ['sctp', PROTO_SCTP],
]);
export const PROTO_NAMES: readonly string[] = [...PROTO_BY_NAME.keys()];

/** `tcp`; the number as text for a protocol without a name. */
export function protoName(proto: number): string {
  return PROTO_NAMES.find((name) => PROTO_BY_NAME.get(name) === proto) ?? String(proto);
}
