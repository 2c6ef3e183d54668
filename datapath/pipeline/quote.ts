// The two parts of an ICMP error: the quoted packet and the error itself.

import { addSums, deltaOfWord, patchFull, sumBytes } from '../wire/checksum.ts';
import { ICMP_OFF_SUM } from '../wire/icmp.ts';
import { IP4_OFF_DST, IP4_OFF_SRC, IP4_OFF_SUM, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { TCP_OFF_SUM } from '../wire/tcp.ts';
import { UDP_HEADER_BYTES, UDP_OFF_SUM } from '../wire/udp.ts';
import { type Batch, P_DST, P_IP, P_L4, P_LENGTH, P_SRC, P_START } from './batch.ts';

/** Rewrites the addresses of the packet quoted at `ip`; returns the delta for sums over them. */
export function readdressQuote(view: DataView, ip: number, src: number, dst: number): number {
  const delta = addSums(
    deltaOfWord(view.getInt32(ip + IP4_OFF_SRC), src),
    deltaOfWord(view.getInt32(ip + IP4_OFF_DST), dst),
  );
  view.setInt32(ip + IP4_OFF_SRC, src);
  view.setInt32(ip + IP4_OFF_DST, dst);
  patchQuotedSum(view, ip + IP4_OFF_SUM, ip + IP4_OFF_SRC, delta);
  return delta;
}

/** Patches the quoted transport checksum if the quote, which ends at `end`, has it. */
export function patchQuotedTransport(
  view: DataView,
  proto: number,
  l4: number,
  end: number,
  delta: number,
): void {
  if (proto === PROTO_TCP) patchQuotedSum(view, l4 + TCP_OFF_SUM, end, delta);
  // A datagram sent without a checksum (zero) is quoted without one.
  const summed = proto === PROTO_UDP && l4 + UDP_HEADER_BYTES <= end;
  if (summed && view.getUint16(l4 + UDP_OFF_SUM) !== 0) {
    patchQuotedSum(view, l4 + UDP_OFF_SUM, end, delta);
  }
}

/** A quote may end before its checksum field. */
export function patchQuotedSum(view: DataView, at: number, end: number, delta: number): void {
  if (at + 2 <= end) view.setUint16(at, patchFull(view.getUint16(at), delta));
}

/** Rewrites the addresses of the error, packet `r`, and sums it again over its changed quote. */
export function readdressError(b: Batch, r: number, src: number, dst: number): void {
  const { view } = b;
  const ip = b.p[r | P_IP]!;
  const delta = addSums(deltaOfWord(b.p[r | P_SRC]!, src), deltaOfWord(b.p[r | P_DST]!, dst));
  view.setInt32(ip + IP4_OFF_SRC, src);
  view.setInt32(ip + IP4_OFF_DST, dst);
  const sumAt = ip + IP4_OFF_SUM;
  view.setUint16(sumAt, patchFull(view.getUint16(sumAt), delta));
  const icmp = b.p[r | P_L4]!;
  const end = b.p[r | P_START]! + b.p[r | P_LENGTH]!;
  view.setUint16(icmp + ICMP_OFF_SUM, 0);
  view.setUint16(icmp + ICMP_OFF_SUM, ~sumBytes(view, icmp, end) & 0xffff);
}
