// The fast path. Nearly every packet is a TCP segment of an established connection, with ACK,
// without IP options and not a fragment. One function checks that, and then does what parse, find,
// track and translate would do, with all values in registers: 61 -> 40 ns a packet at 1,000 flows.
// Any other packet is left unchanged for the stages. A property test compares both ways. The idea
// is Van Jacobson's header prediction (1988).

// biome-ignore format: a list.
import {
  EPOCH_SHIFT, FLAG_ASSURED, FLAG_DNAT, FLAG_SNAT, FLAG_TTL_BACK, LINE_BYTES_SHIFT, LINE_MASK,
  META_PROTO_MASK, META_STATE_SHIFT, META_TCP_MASK, NO_SIDE, W_ACK, W_BYTES, W_BYTES_HIGH, W_DST,
  W_META, W_NEW_DST, W_NEW_PORTS, W_NEW_SRC, W_PACKETS, W_PORTS, W_SEEN, W_SEQ_END, W_SRC, W_SUMS,
} from '../flow/line.ts';
import { STATE_ESTABLISHED } from '../flow/state.ts';
import { addSums, fold, patchFull } from '../wire/checksum.ts';
import { PROTO_TCP } from '../wire/ipv4.ts';
import { VNET_FLAG_NEEDS_CSUM, VNET_HEADER_BYTES, VNET_OFF_CSUM_START } from '../wire/vnet.ts';
// biome-ignore format: a list.
import {
  type Batch, COUNT_MASK, OFFSET_MASK, P_LENGTH, P_SIDE, P_START, P_VERDICT, RECORD_BYTES,
} from './batch.ts';
import type { Datapath } from './datapath.ts';
import { LEAP_MAX } from './track-tcp.ts';
import { VERDICT_FORWARD } from './verdict.ts';

const IP_BYTES = 20;
const TCP_BYTES = 20;
const HEADERS_BYTES = IP_BYTES + TCP_BYTES;
/** Version 4 and a header of five words. */
const FIRST_BYTE = 0x45;
/** In the header's first word: version, header bytes, total length. */
const FIRST_WORD_MASK = 0xff00ffff | 0;
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
const RECORD_MASK = (COUNT_MASK + 1) * RECORD_BYTES - 1;

/** True for a TCP segment with ACK, without IP options, and not a fragment. */
const isPlain = (w0: number, w1: number, w2: number, w8: number, room: number): boolean => {
  const tcpBytes = (w8 >>> 26) & 0x3c;
  return (
    (w0 & FIRST_WORD_MASK) === ((FIRST_BYTE << 24) | room) &&
    (w1 & FRAGMENT_MASK) === 0 &&
    (w2 & PROTO_WORD_MASK) === PROTO_WORD_TCP &&
    (w8 & FLAGS_WORD_MASK) === FLAGS_WORD_ACK &&
    tcpBytes >= TCP_BYTES &&
    IP_BYTES + tcpBytes <= room
  );
};

/** True if the checksum of a header without options is right. */
const isIntact = (w0: number, w1: number, w2: number, src: number, dst: number): boolean => {
  const low = (w0 & 0xffff) + (w1 & 0xffff) + (w2 & 0xffff) + (src & 0xffff) + (dst & 0xffff);
  const high = (w0 >>> 16) + (w1 >>> 16) + (w2 >>> 16) + (src >>> 16) + (dst >>> 16);
  return fold(low + high) === 0xffff;
};

/**
 * Takes packets from record `from` on, up to the first one that needs the other stages, which is
 * unchanged then. Returns that record, or the end of the batch.
 *
 * The loop calls nothing, so V8 loads the base and the length of each array once, before it. The
 * masks tell V8 that no offset overflows. Both, and the views, took a packet from 44 to 36 ns.
 */
export function takeFastPath(d: Datapath, b: Batch, from: number): number {
  const { lineView: lines } = d;
  const now = d.now | 0;
  const { records, view } = b;
  const wanted = META_WANTED | d.epoch;
  const end = (b.count & COUNT_MASK) * RECORD_BYTES;
  let record = (from * 4) & RECORD_MASK;
  for (; record < end; record += RECORD_BYTES) {
    const side = records.getInt32(record + P_SIDE * 4, true);
    const room = (records.getInt32(record + P_LENGTH * 4, true) & OFFSET_MASK) - VNET_HEADER_BYTES;
    // A packet that did not pass the port by which it came has another verdict.
    if (
      records.getInt32(record + P_VERDICT * 4, true) !== VERDICT_FORWARD ||
      side === NO_SIDE ||
      room < HEADERS_BYTES
    )
      break;
    const vnet = records.getInt32(record + P_START * 4, true) & OFFSET_MASK;
    const ip = vnet + VNET_HEADER_BYTES;
    const w0 = view.getInt32(ip);
    const w1 = view.getInt32(ip + 4);
    const w2 = view.getInt32(ip + 8);
    const src = view.getInt32(ip + 12);
    const dst = view.getInt32(ip + 16);
    const ports = view.getInt32(ip + 20);
    const w8 = view.getInt32(ip + 32);
    const tcpBytes = (w8 >>> 26) & 0x3c;
    if (!isPlain(w0, w1, w2, w8, room) || !isIntact(w0, w1, w2, src, dst)) break;
    const at = (side << LINE_BYTES_SHIFT) & LINE_MASK;
    const meta = lines.getInt32(at + W_META * 4, true);
    const other =
      (lines.getInt32(at + W_SRC * 4, true) ^ src) |
      (lines.getInt32(at + W_DST * 4, true) ^ dst) |
      (lines.getInt32(at + W_PORTS * 4, true) ^ ports) |
      ((meta & META_MASK) ^ wanted);
    if (other !== 0) break;
    const partial = view.getUint8(vnet) & VNET_FLAG_NEEDS_CSUM;
    if (partial !== 0 && view.getInt32(vnet + VNET_OFF_CSUM_START, true) !== CSUM_PLAIN) break;

    // What track does: sequence, acknowledgement, age and counts.
    const seqEnd = (view.getInt32(ip + 24) + room - IP_BYTES - tcpBytes) | 0;
    const ack = view.getInt32(ip + 28);
    const sent = (seqEnd - lines.getInt32(at + W_SEQ_END * 4, true)) | 0;
    if (sent > 0 && sent < LEAP_MAX) lines.setInt32(at + W_SEQ_END * 4, seqEnd, true);
    const acked = (ack - lines.getInt32(at + W_ACK * 4, true)) | 0;
    if (acked > 0 && acked < LEAP_MAX) lines.setInt32(at + W_ACK * 4, ack, true);
    lines.setInt32(at + W_SEEN * 4, now, true);
    lines.setInt32(at + W_PACKETS * 4, (lines.getInt32(at + W_PACKETS * 4, true) + 1) | 0, true);
    const bytes = (lines.getInt32(at + W_BYTES * 4, true) + room) | 0;
    lines.setInt32(at + W_BYTES * 4, bytes, true);
    if (bytes >>> 0 < room) {
      const high = lines.getInt32(at + W_BYTES_HIGH * 4, true);
      lines.setInt32(at + W_BYTES_HIGH * 4, (high + 1) | 0, true);
    }

    // What translate does: TTL, addresses, ports, checksums.
    let word = w2;
    let delta = 0;
    if ((meta & FLAG_TTL_BACK) !== 0 && w2 >>> 24 !== 255) {
      word = (w2 + TTL_ONE) | 0;
      delta = 0x0100;
    }
    if ((meta & NAT) !== 0) {
      const sums = lines.getInt32(at + W_SUMS * 4, true);
      delta = addSums(delta, sums & 0xffff);
      const sum = view.getUint16(ip + 36);
      const newSum = partial !== 0 ? addSums(sum, sums & 0xffff) : patchFull(sum, sums >>> 16);
      view.setInt32(ip + 12, lines.getInt32(at + W_NEW_SRC * 4, true));
      view.setInt32(ip + 16, lines.getInt32(at + W_NEW_DST * 4, true));
      view.setInt32(ip + 20, lines.getInt32(at + W_NEW_PORTS * 4, true));
      view.setUint16(ip + 36, newSum);
    }
    view.setInt32(ip + 8, (word & ~0xffff) | patchFull(word & 0xffff, delta));
  }
  return record >> 2;
}
