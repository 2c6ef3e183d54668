// The fast path. Nearly every packet is a TCP segment of an established connection, with ACK,
// without IP options and not a fragment. One function checks that, and then does what parse, find,
// track and translate would do, with all values in registers: 61 -> 40 ns a packet at 1,000 flows.
// Any other packet is left unchanged for the stages. A property test compares both ways. The idea
// is Van Jacobson's header prediction (1988).

// biome-ignore format: a list.
import {
  EPOCH_SHIFT, FLAG_ASSURED, FLAG_DNAT, FLAG_SNAT, FLAG_TTL_BACK, LINE_SHIFT, META_PROTO_MASK,
  META_STATE_SHIFT, META_TCP_MASK, NO_SIDE, W_ACK, W_BYTES, W_BYTES_HIGH, W_DST, W_META, W_NEW_DST,
  W_NEW_PORTS, W_NEW_SRC, W_PACKETS, W_PORTS, W_SEEN, W_SEQ_END, W_SRC, W_SUMS,
} from '../flow/line.ts';
import { STATE_ESTABLISHED } from '../flow/state.ts';
import { addSums, fold, patchFull } from '../wire/checksum.ts';
import { PROTO_TCP } from '../wire/ipv4.ts';
import { VNET_FLAG_NEEDS_CSUM, VNET_HEADER_BYTES, VNET_OFF_CSUM_START } from '../wire/vnet.ts';
import { type Batch, P_LENGTH, P_SIDE, P_START, P_VERDICT } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { LEAP_MAX } from './track-tcp.ts';

const IP_BYTES = 20;
const TCP_BYTES = 20;
/** Version 4 and a header of five words. */
const FIRST_BYTE = 0x45;
const FRAGMENT_MASK = 0x3fff;
/** In the header's third word: TTL, protocol, checksum. */
const PROTO_WORD_MASK = 0x00ff0000;
const PROTO_WORD_TCP = PROTO_TCP << 16;
const TTL_ONE = 1 << 24;
/** In TCP's fourth word: data offset, flags, window. ACK, and none of FIN, SYN, RST, URG. */
const FLAGS_WORD_MASK = 0x00370000;
const FLAGS_WORD_ACK = 0x00100000;
/** Start and offset of a partial checksum after a plain header, little endian in one word. */
const CSUM_PLAIN = 20 | (16 << 16);
/** Established, no remembered segment, and checked against the policies in force (the epoch). */
const META_MASK = META_PROTO_MASK | META_TCP_MASK | FLAG_ASSURED | (-1 << (EPOCH_SHIFT - 1));
const META_WANTED = PROTO_TCP | (STATE_ESTABLISHED << META_STATE_SHIFT) | FLAG_ASSURED;
const NAT = FLAG_DNAT | FLAG_SNAT;

/** True if packet `r` is done. False if it needs the other stages; it is unchanged then. */
export function takeFastPath(d: Datapath, b: Batch, r: number): boolean {
  const { p, view } = b;
  const side = p[r | P_SIDE]!;
  const vnet = p[r | P_START]!;
  const room = p[r | P_LENGTH]! - VNET_HEADER_BYTES;
  if (side === NO_SIDE || room < IP_BYTES + TCP_BYTES) return false;
  const ip = vnet + VNET_HEADER_BYTES;
  const w0 = view.getInt32(ip);
  const w1 = view.getInt32(ip + 4);
  const w2 = view.getInt32(ip + 8);
  const src = view.getInt32(ip + 12);
  const dst = view.getInt32(ip + 16);
  const ports = view.getInt32(ip + 20);
  const w8 = view.getInt32(ip + 32);
  const tcpBytes = (w8 >>> 26) & 0x3c;
  if (
    w0 >>> 24 !== FIRST_BYTE ||
    (w0 & 0xffff) !== room ||
    (w1 & FRAGMENT_MASK) !== 0 ||
    (w2 & PROTO_WORD_MASK) !== PROTO_WORD_TCP ||
    (w8 & FLAGS_WORD_MASK) !== FLAGS_WORD_ACK ||
    tcpBytes < TCP_BYTES ||
    IP_BYTES + tcpBytes > room
  ) {
    return false;
  }
  const low = (w0 & 0xffff) + (w1 & 0xffff) + (w2 & 0xffff) + (src & 0xffff) + (dst & 0xffff);
  const high = (w0 >>> 16) + (w1 >>> 16) + (w2 >>> 16) + (src >>> 16) + (dst >>> 16);
  if (fold(low + high) !== 0xffff) return false;
  const { lines } = d;
  const at = side << LINE_SHIFT;
  const meta = lines[at | W_META]!;
  if (
    lines[at | W_SRC] !== src ||
    lines[at | W_DST] !== dst ||
    lines[at | W_PORTS] !== ports ||
    (meta & META_MASK) !== (META_WANTED | d.epoch)
  ) {
    return false;
  }
  const partial = view.getUint8(vnet) & VNET_FLAG_NEEDS_CSUM;
  if (partial !== 0 && view.getInt32(vnet + VNET_OFF_CSUM_START, true) !== CSUM_PLAIN) return false;

  // What track does: sequence, acknowledgement, age and counts.
  const seqEnd = (view.getInt32(ip + 24) + room - IP_BYTES - tcpBytes) | 0;
  const ack = view.getInt32(ip + 28);
  const sent = (seqEnd - lines[at | W_SEQ_END]!) | 0;
  if (sent > 0 && sent < LEAP_MAX) lines[at | W_SEQ_END] = seqEnd;
  const acked = (ack - lines[at | W_ACK]!) | 0;
  if (acked > 0 && acked < LEAP_MAX) lines[at | W_ACK] = ack;
  lines[at | W_SEEN] = d.now;
  lines[at | W_PACKETS] = (lines[at | W_PACKETS]! + 1) | 0;
  const bytes = (lines[at | W_BYTES]! + room) | 0;
  lines[at | W_BYTES] = bytes;
  if (bytes >>> 0 < room) lines[at | W_BYTES_HIGH] = (lines[at | W_BYTES_HIGH]! + 1) | 0;

  // What translate does: TTL, addresses, ports, checksums.
  let word = w2;
  let delta = 0;
  if ((meta & FLAG_TTL_BACK) !== 0 && w2 >>> 24 !== 255) {
    word = (w2 + TTL_ONE) | 0;
    delta = 0x0100;
  }
  if ((meta & NAT) !== 0) {
    const sums = lines[at | W_SUMS]!;
    delta = addSums(delta, sums & 0xffff);
    const sum = view.getUint16(ip + 36);
    const newSum = partial !== 0 ? addSums(sum, sums & 0xffff) : patchFull(sum, sums >>> 16);
    view.setInt32(ip + 12, lines[at | W_NEW_SRC]!);
    view.setInt32(ip + 16, lines[at | W_NEW_DST]!);
    view.setInt32(ip + 20, lines[at | W_NEW_PORTS]!);
    view.setUint16(ip + 36, newSum);
  }
  view.setInt32(ip + 8, (word & ~0xffff) | patchFull(word & 0xffff, delta));
  p[r | P_VERDICT] = 0;
  return true;
}
