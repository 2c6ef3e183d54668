// Numbers of the protocol: RFC 1035, 2782, 3596, 6891, 8482.

export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  DS: 43,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const CLASS_IN = 1;

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

export const FLAG_QR = 0x8000;
export const FLAG_AA = 0x0400;
export const FLAG_TC = 0x0200;
export const FLAG_RD = 0x0100;
export const FLAG_RA = 0x0080;
export const FLAG_CD = 0x0010;
export const OPCODE_MASK = 0x7800;

/** A client without EDNS accepts at most this many bytes over UDP. */
export const UDP_BYTES_MIN = 512;
/** No datagram is larger, even if the client accepts more. */
export const UDP_BYTES_MAX = 4096;
export const TCP_BYTES_MAX = 65_535;

const NAMES_OF_TYPES = new Map(Object.entries(TYPE).map(([name, type]) => [type as number, name]));
const NAMES_OF_RCODES = new Map(
  Object.entries(RCODE).map(([name, code]) => [code as number, name]),
);

/** `A`, or `TYPE65280` for a type that has no name here (RFC 3597). */
export function typeName(type: number): string {
  return NAMES_OF_TYPES.get(type) ?? `TYPE${type}`;
}

export function rcodeName(rcode: number): string {
  return NAMES_OF_RCODES.get(rcode) ?? `RCODE${rcode}`;
}
