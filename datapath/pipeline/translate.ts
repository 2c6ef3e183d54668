import {
  FLAG_DNAT,
  FLAG_SNAT,
  FLAG_TTL_BACK,
  LINE_SHIFT,
  W_META,
  W_NEW_DST,
  W_NEW_PORTS,
  W_NEW_SRC,
  W_SUMS,
} from '../flow/line.ts';
import { addSums, patchFull } from '../wire/checksum.ts';
import { crc32c } from '../wire/crc32c.ts';
import * as W from '../wire/layout.ts';
import { type Batch, KIND_LATER_FRAGMENT, PACKET_PARTIAL } from './batch.ts';
import type { Datapath } from './datapath.ts';

const TTL_STEP = 0x0100; // The TTL is the high byte of its checksum word.

/** Rewrites packet `i` as the line of its side says. Sums stay right, or partial and right. */
export function translate(d: Datapath, b: Batch, i: number, side: number): void {
  const { lines } = d.table;
  const at = side << LINE_SHIFT;
  const meta = lines[at + W_META]!;
  const { view } = b;
  const ip = b.ip[i]!;
  let ipDelta = 0;
  if ((meta & FLAG_TTL_BACK) !== 0) {
    const ttl = view.getUint8(ip + W.IP4_OFF_TTL);
    if (ttl < 255) {
      view.setUint8(ip + W.IP4_OFF_TTL, ttl + 1);
      ipDelta = TTL_STEP;
    }
  }
  if ((meta & (FLAG_DNAT | FLAG_SNAT)) !== 0) {
    const sums = lines[at + W_SUMS]!;
    ipDelta = addSums(ipDelta, sums & 0xffff);
    view.setInt32(ip + W.IP4_OFF_SRC, lines[at + W_NEW_SRC]!);
    view.setInt32(ip + W.IP4_OFF_DST, lines[at + W_NEW_DST]!);
    if (b.kind[i] !== KIND_LATER_FRAGMENT) {
      translatePorts(b, i, lines[at + W_NEW_PORTS]!, sums & 0xffff, sums >>> 16);
    }
  }
  if (ipDelta !== 0) {
    const sumAt = ip + W.IP4_OFF_SUM;
    view.setUint16(sumAt, patchFull(view.getUint16(sumAt), ipDelta));
  }
}

/**
 * Ports and the transport checksum. A partial sum covers the pseudo-header alone and is not complemented: the
 * addresses' delta is added and the ports' is not.
 */
function translatePorts(b: Batch, i: number, ports: number, addresses: number, all: number): void {
  const { view } = b;
  const l4 = b.l4[i]!;
  const sumAt = b.sumAt[i]!;
  const proto = b.proto[i]!;
  if (proto === W.PROTO_TCP || proto === W.PROTO_UDP) {
    view.setInt32(l4, ports);
    const sum = view.getUint16(sumAt);
    if ((b.flags[i]! & PACKET_PARTIAL) !== 0) view.setUint16(sumAt, addSums(sum, addresses));
    else if (proto === W.PROTO_TCP) view.setUint16(sumAt, patchFull(sum, all));
    else if (sum !== 0) view.setUint16(sumAt, patchFull(sum, all) || 0xffff);
  } else if (proto === W.PROTO_ICMP) {
    view.setUint16(l4 + W.ICMP_OFF_ID, ports >>> 16);
    view.setUint16(sumAt, patchFull(view.getUint16(sumAt), all));
  } else if (proto === W.PROTO_SCTP && view.getInt32(l4) !== ports) {
    view.setInt32(l4, ports);
    const end = b.start[i]! + b.length[i]!;
    const crc = crc32c(view, l4, end, l4 + W.SCTP_OFF_SUM);
    view.setInt32(l4 + W.SCTP_OFF_SUM, crc, true);
  }
}
