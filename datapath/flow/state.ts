// Connection states and their changes. TCP follows the kernel's table,
// net/netfilter/nf_conntrack_proto_tcp.c.

import {
  TCP_FLAG_ACK as ACK,
  TCP_FLAG_FIN as FIN,
  TCP_FLAG_RST as RST,
  TCP_FLAG_SYN as SYN,
} from '../wire/tcp.ts';

export const STATE_NONE = 0;
export const STATE_SYN_SENT = 1;
export const STATE_SYN_RECV = 2;
export const STATE_ESTABLISHED = 3;
export const STATE_FIN_WAIT = 4;
export const STATE_CLOSE_WAIT = 5;
export const STATE_LAST_ACK = 6;
export const STATE_TIME_WAIT = 7;
export const STATE_CLOSE = 8;
export const STATE_SYN_SENT2 = 9;
export const STATE_UDP_UNREPLIED = 10;
export const STATE_UDP_REPLIED = 11;
export const STATE_UDP_STREAM = 12;
export const STATE_ICMP = 13;
export const STATE_SCTP_NEW = 14;
export const STATE_SCTP_ESTABLISHED = 15;
export const STATE_COUNT = 16;

/** Names as conntrack tools print them. */
export const STATE_NAMES = [
  'NONE',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
  'UNREPLIED',
  'REPLIED',
  'STREAM',
  'ECHO',
  'SCTP_NEW',
  'SCTP_ESTABLISHED',
] as const;

/** The packet is out of place: it passes and changes nothing. */
export const MOVE_NONE = -1;
/** The packet opens a new connection if the old one has ended. */
export const MOVE_REOPEN = -2;
/** The packet passes and changes nothing. It may be valid for the ends, so an answer may count. */
export const MOVE_IGNORE = -3;

const SS = STATE_SYN_SENT;
const SR = STATE_SYN_RECV;
const ES = STATE_ESTABLISHED;
const FW = STATE_FIN_WAIT;
const CW = STATE_CLOSE_WAIT;
const LA = STATE_LAST_ACK;
const TW = STATE_TIME_WAIT;
const CL = STATE_CLOSE;
const S2 = STATE_SYN_SENT2;
const __ = MOVE_NONE;
const RE = MOVE_REOPEN;
const IG = MOVE_IGNORE;

const KIND_SYN = 0;
const KIND_SYN_ACK = 1;
const KIND_FIN = 2;
const KIND_ACK = 3;
const KIND_RST = 4;
const KIND_COUNT = 5;
const KIND_STRIDE = 10;
const DIRECTION_STRIDE = KIND_COUNT * KIND_STRIDE;

// Columns: NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE
// SYN_SENT2.
const MOVES = Int8Array.of(
  // From the client: SYN, SYN-ACK, FIN, ACK, RST.
  ...[SS, SS, IG, IG, IG, IG, IG, RE, RE, S2],
  ...[__, __, SR, __, __, __, __, __, __, SR],
  ...[__, __, FW, FW, LA, LA, LA, TW, CL, __],
  ...[ES, __, ES, ES, CW, CW, TW, TW, CL, __],
  ...[__, CL, CL, CL, CL, CL, CL, CL, CL, CL],
  // From the backend.
  ...[__, S2, __, __, __, __, __, RE, __, S2],
  ...[__, SR, IG, IG, IG, IG, IG, IG, IG, SR],
  ...[__, __, FW, FW, LA, LA, LA, TW, CL, __],
  ...[__, IG, SR, ES, CW, CW, TW, TW, CL, IG],
  ...[__, CL, CL, CL, CL, CL, CL, CL, CL, CL],
);

// Flags -> kind. RST comes before SYN, FIN, ACK, as in the kernel's get_conntrack_index.
const KINDS = new Int8Array(32);
for (let flags = 0; flags < 32; flags++) {
  if (flags & RST) KINDS[flags] = KIND_RST;
  else if (flags & SYN) KINDS[flags] = flags & ACK ? KIND_SYN_ACK : KIND_SYN;
  else KINDS[flags] = flags & FIN ? KIND_FIN : KIND_ACK;
}

/** The state after a TCP packet, or a MOVE_*; `direction` 0 from the client, 1 from the backend. */
export function moveTcp(state: number, flags: number, direction: number): number {
  const kind = KINDS[flags & 31]!;
  return MOVES[direction * DIRECTION_STRIDE + kind * KIND_STRIDE + state]!;
}

/** FIN, SYN, RST, ACK and URG combinations that a TCP may send, as the kernel's tcp_valid_flags. */
export const TCP_FLAGS_VALID = new Uint8Array(64);
const URG = 0x20;
for (const flags of [SYN, SYN | ACK, RST, RST | ACK, FIN | ACK, ACK]) TCP_FLAGS_VALID[flags] = 1;
for (const flags of [SYN, FIN | ACK, ACK]) TCP_FLAGS_VALID[flags | URG] = 1;
