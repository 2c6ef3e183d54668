// biome-ignore format: a list.
import {
  FLAG_DNAT, FLAG_SNAT, FLAG_TTL_BACK, LINE_SHIFT, W_META, W_NEW_DST, W_NEW_PORTS, W_NEW_SRC,
  W_SUMS,
} from '../flow/line.ts';
import { addSums, patchFull } from '../wire/checksum.ts';
import { ICMP_OFF_ID } from '../wire/icmp.ts';
import {
  IP4_OFF_DST,
  IP4_OFF_SRC,
  IP4_OFF_TTL,
  PROTO_ICMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { crc32cOfChange, SCTP_OFF_SUM } from '../wire/sctp.ts';
// biome-ignore format: a list.
import {
  type Batch, KIND_LATER_FRAGMENT, P_FLAGS, P_IP, P_KIND, P_L4, P_LENGTH, P_PROTO, P_START,
  P_SUM_AT, PACKET_PARTIAL,
} from './batch.ts';
import type { Datapath } from './datapath.ts';

const TTL_STEP = 0x0100; // The TTL is the high byte of its checksum word.

/** Rewrites packet `r` by the line of its side. A full sum stays right, a partial one partial. */
export function translate(d: Datapath, b: Batch, r: number, side: number): void {
  const { lines } = d.table;
  const at = side << LINE_SHIFT;
  const meta = lines[at | W_META]!;
  const { p, view } = b;
  const ip = p[r | P_IP]!;
  // TTL, protocol and checksum are one word, read and written once.
  let word = view.getInt32(ip + IP4_OFF_TTL);
  let delta = 0;
  if ((meta & FLAG_TTL_BACK) !== 0 && word >>> 24 !== 255) {
    word = (word + (1 << 24)) | 0;
    delta = TTL_STEP;
  }
  if ((meta & (FLAG_DNAT | FLAG_SNAT)) !== 0) {
    const sums = lines[at | W_SUMS]!;
    delta = addSums(delta, sums & 0xffff);
    view.setInt32(ip + IP4_OFF_SRC, lines[at | W_NEW_SRC]!);
    view.setInt32(ip + IP4_OFF_DST, lines[at | W_NEW_DST]!);
    if (p[r | P_KIND] !== KIND_LATER_FRAGMENT) {
      translatePorts(b, r, lines[at | W_NEW_PORTS]!, sums & 0xffff, sums >>> 16);
    }
  }
  view.setInt32(ip + IP4_OFF_TTL, (word & ~0xffff) | patchFull(word & 0xffff, delta));
}

/**
 * Restores one hop of the TTL for a packet without a flow. `from` and `to` are its addresses as it
 * leaves. The kernel decrements the TTL before the datapath and after it; a node must cost one hop
 * in transit and none at an end.
 */
export function giveHopBack(d: Datapath, b: Batch, r: number, from: number, to: number): void {
  const { services } = d;
  if (!services.ready || (services.isOwn(from) && services.isOwn(to))) return;
  const { view } = b;
  const at = b.p[r | P_IP]! + IP4_OFF_TTL;
  const word = view.getInt32(at);
  if (word >>> 24 === 255) return;
  view.setInt32(at, ((word + (1 << 24)) & ~0xffff) | patchFull(word & 0xffff, TTL_STEP));
}

/**
 * Ports and the transport checksum. A partial sum is the pseudo-header's, not complemented: only
 * the delta of the addresses is added.
 */
export function translatePorts(
  b: Batch,
  r: number,
  ports: number,
  addresses: number,
  all: number,
): void {
  const { view } = b;
  const l4 = b.p[r | P_L4]!;
  const sumAt = b.p[r | P_SUM_AT]!;
  const proto = b.p[r | P_PROTO]!;
  if (proto === PROTO_TCP || proto === PROTO_UDP) {
    view.setInt32(l4, ports);
    const sum = view.getUint16(sumAt);
    if ((b.p[r | P_FLAGS]! & PACKET_PARTIAL) !== 0) view.setUint16(sumAt, addSums(sum, addresses));
    else if (proto === PROTO_TCP) view.setUint16(sumAt, patchFull(sum, all));
    else if (sum !== 0) view.setUint16(sumAt, patchFull(sum, all) || 0xffff);
  } else if (proto === PROTO_ICMP) {
    view.setUint16(l4 + ICMP_OFF_ID, ports >>> 16);
    view.setUint16(sumAt, patchFull(view.getUint16(sumAt), all));
  } else if (proto === PROTO_SCTP) {
    const crcAt = l4 + SCTP_OFF_SUM;
    const bytes = b.p[r | P_START]! + b.p[r | P_LENGTH]! - l4;
    const change = crc32cOfChange(view.getInt32(l4) ^ ports, bytes);
    view.setInt32(l4, ports);
    view.setInt32(crcAt, view.getInt32(crcAt, true) ^ change, true);
  }
}
