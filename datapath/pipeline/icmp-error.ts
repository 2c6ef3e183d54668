// ICMP errors about packets that were translated here: inside and outside go back to what the sender sent
// (RFC 5508 section 4, RFC 1812 4.3.2.3). They neither refresh nor delete a flow.

import * as F from '../flow/line.ts';
import { addSums, deltaOfWord, patchFull, sumBytes } from '../wire/checksum.ts';
import * as W from '../wire/layout.ts';
import type { Batch } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { COUNT_ICMP_TRANSLATED, COUNT_PASSED_UNTRACKED, VERDICT_FORWARD } from './verdict.ts';

const PORTS_BYTES = 4;

/**
 * Translates packet `i`, an ICMP error. The quoted packet is one that left here, so its reverse is the tuple of
 * the side that answers it; that side's rewrite, reversed, is the quoted packet as its sender made it. The quoted
 * length and checksum are not trusted: the kernel quotes segments with partial sums. What matches no flow is
 * passed on unchanged: on a node it is about somebody else's packet.
 */
export function translateIcmpError(d: Datapath, b: Batch, i: number): number {
  const side = findQuoted(d, b, i);
  if (side === F.NO_SIDE) {
    d.count(COUNT_PASSED_UNTRACKED);
    return VERDICT_FORWARD;
  }
  const { lines } = d.table;
  const at = side << F.LINE_SHIFT;
  if ((lines[at + F.W_META]! & (F.FLAG_DNAT | F.FLAG_SNAT)) !== 0) {
    rewriteQuote(lines, at, b, i);
    rewriteOutside(lines, at, b, i);
  }
  b.side[i] = side;
  d.count(COUNT_ICMP_TRANSLATED);
  return VERDICT_FORWARD;
}

/** The side that answers the quoted packet, or NO_SIDE. */
function findQuoted(d: Datapath, b: Batch, i: number): number {
  const { view } = b;
  const ip = b.l4[i]! + W.ICMP_HEADER_BYTES;
  const end = b.start[i]! + b.length[i]!;
  if (ip + W.IP4_HEADER_BYTES_MIN > end) return F.NO_SIDE;
  const first = view.getUint8(ip);
  const l4 = ip + ((first & 15) << 2);
  const isFirst = (view.getUint16(ip + W.IP4_OFF_FRAGMENT) & W.IP4_FRAGMENT_OFFSET_MASK) === 0;
  if (first >>> 4 !== 4 || l4 < ip + W.IP4_HEADER_BYTES_MIN || !isFirst) return F.NO_SIDE;
  const proto = view.getUint8(ip + W.IP4_OFF_PROTO);
  const src = view.getInt32(ip + W.IP4_OFF_SRC);
  const dst = view.getInt32(ip + W.IP4_OFF_DST);
  let reply = 0;
  if (proto === W.PROTO_TCP || proto === W.PROTO_UDP || proto === W.PROTO_SCTP) {
    if (l4 + PORTS_BYTES > end) return F.NO_SIDE;
    const ports = view.getInt32(l4);
    reply = (ports << 16) | (ports >>> 16);
  } else if (proto === W.PROTO_ICMP) {
    if (l4 + W.ICMP_HEADER_BYTES > end) return F.NO_SIDE;
    const type = view.getUint8(l4);
    if (type !== W.ICMP_ECHO_REQUEST && type !== W.ICMP_ECHO_REPLY) return F.NO_SIDE;
    // Requests are answered by replies, and the other way round.
    reply = (view.getUint16(l4 + W.ICMP_OFF_ID) << 16) | (W.ICMP_ECHO_REQUEST - type);
  }
  return d.table.find(d.table.hash(dst, src, reply, proto), dst, src, reply, proto);
}

/** The quoted packet back to what its sender sent: the reverse of what the answering side becomes. */
function rewriteQuote(lines: Int32Array, at: number, b: Batch, i: number): void {
  const { view } = b;
  const ip = b.l4[i]! + W.ICMP_HEADER_BYTES;
  const end = b.start[i]! + b.length[i]!;
  const l4 = ip + ((view.getUint8(ip) & 15) << 2);
  const proto = view.getUint8(ip + W.IP4_OFF_PROTO);
  const src = lines[at + F.W_NEW_DST]!;
  const dst = lines[at + F.W_NEW_SRC]!;
  const addresses = addSums(
    deltaOfWord(view.getInt32(ip + W.IP4_OFF_SRC), src),
    deltaOfWord(view.getInt32(ip + W.IP4_OFF_DST), dst),
  );
  view.setInt32(ip + W.IP4_OFF_SRC, src);
  view.setInt32(ip + W.IP4_OFF_DST, dst);
  const sumAt = ip + W.IP4_OFF_SUM;
  view.setUint16(sumAt, patchFull(view.getUint16(sumAt), addresses));
  const back = lines[at + F.W_NEW_PORTS]!;
  if (proto === W.PROTO_ICMP) {
    const was = view.getUint16(l4 + W.ICMP_OFF_ID);
    view.setUint16(l4 + W.ICMP_OFF_ID, back >>> 16);
    patchQuotedSum(view, l4 + W.ICMP_OFF_SUM, end, deltaOfWord(was, back >>> 16));
  } else if (proto === W.PROTO_TCP || proto === W.PROTO_UDP || proto === W.PROTO_SCTP) {
    const ports = (back << 16) | (back >>> 16);
    const delta = addSums(addresses, deltaOfWord(view.getInt32(l4), ports));
    view.setInt32(l4, ports);
    if (proto === W.PROTO_TCP) patchQuotedSum(view, l4 + W.TCP_OFF_SUM, end, delta);
    if (proto === W.PROTO_UDP) patchQuotedSum(view, l4 + W.UDP_OFF_SUM, end, delta);
  }
}

/** A quote may end before its checksum field. */
function patchQuotedSum(view: DataView, at: number, end: number, delta: number): void {
  if (at + 2 <= end) view.setUint16(at, patchFull(view.getUint16(at), delta));
}

/** The outside: to the sender; from the address that the sender knows, if the endpoint itself complains. */
function rewriteOutside(lines: Int32Array, at: number, b: Batch, i: number): void {
  const { view } = b;
  const ip = b.ip[i]!;
  const src = b.src[i] === lines[at + F.W_SRC] ? lines[at + F.W_NEW_SRC]! : b.src[i]!;
  const dst = lines[at + F.W_NEW_DST]!;
  const delta = addSums(deltaOfWord(b.src[i]!, src), deltaOfWord(b.dst[i]!, dst));
  view.setInt32(ip + W.IP4_OFF_SRC, src);
  view.setInt32(ip + W.IP4_OFF_DST, dst);
  const sumAt = ip + W.IP4_OFF_SUM;
  view.setUint16(sumAt, patchFull(view.getUint16(sumAt), delta));
  const icmp = b.l4[i]!;
  const end = b.start[i]! + b.length[i]!;
  view.setUint16(icmp + W.ICMP_OFF_SUM, 0);
  view.setUint16(icmp + W.ICMP_OFF_SUM, ~sumBytes(view, icmp, end) & 0xffff);
}
