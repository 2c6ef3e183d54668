// Role gateway: the edge of the cluster's network. Balancer flows are looked up first. Then each
// node has a public address, one to one. That translation keeps no state, so it passes all
// protocols, fragments, and connections older than the gateway (RFC 2663 4.1.1, RFC 5508 section 4
// for errors).

import { MARK_NODE, MARK_PUBLIC } from '../image/layout.ts';
import { addSums, deltaOfWord, patchFull } from '../wire/checksum.ts';
import { ICMP_HEADER_BYTES } from '../wire/icmp.ts';
import {
  IP4_FRAGMENT_OFFSET_MASK,
  IP4_HEADER_BYTES_MIN,
  IP4_OFF_DST,
  IP4_OFF_FRAGMENT,
  IP4_OFF_PROTO,
  IP4_OFF_SRC,
  IP4_OFF_SUM,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { UDP_OFF_SUM } from '../wire/udp.ts';
// biome-ignore format: a list.
import {
  type Batch, KIND_LATER_FRAGMENT, P_DST, P_IP, P_KIND, P_L4, P_LENGTH, P_PORTS, P_PROTO, P_SRC,
  P_START,
} from './batch.ts';
import type { Datapath } from './datapath.ts';
import { patchQuotedTransport, readdressError, readdressQuote } from './quote.ts';
import { giveHopBack, translatePorts } from './translate.ts';
import {
  COUNT_ICMP_TRANSLATED,
  COUNT_ONE_TO_ONE,
  DROP_FOREIGN_SOURCE,
  DROP_ICMP_WITHOUT_FLOW,
  DROP_UNALLOCATED,
  VERDICT_FORWARD,
} from './verdict.ts';

/** Their checksums cover addresses (RFC 3828, RFC 4340 9.1) at the same offset as UDP's. */
const PROTO_DCCP = 33;
const PROTO_UDP_LITE = 136;

/** True for an inside source that is neither a node nor the gateway: it has no public address. */
export function isForeign(d: Datapath, src: number): boolean {
  const { services } = d;
  if (src === services.nodeAddress) return false;
  return services.inPodRange(src) && services.counterpartOf(src, MARK_NODE) === 0;
}

/**
 * A client's source address at a balancer's endpoint: a node's address becomes its public one, so
 * that the answer comes back here.
 */
export function publicSource(d: Datapath, src: number): number {
  return d.services.counterpartOf(src, MARK_NODE) || src;
}

/** The gateway's own address on the side where the packet leaves. */
function ownSource(d: Datapath, src: number, to: number): number {
  return d.services.inPodRange(to) ? src : publicSource(d, src);
}

/** Source of an ICMP error as its receiver sees it: outside, a node has its public address. */
export function errorSource(d: Datapath, src: number, to: number): number {
  return d.services.isOwn(src) ? ownSource(d, src, to) : publicSource(d, src);
}

/**
 * Decides about a packet of no balancer and fills in `d.decision`. Returns 0, or minus a DROP_*.
 */
export function toPublic(d: Datapath, src: number, dst: number): number {
  const { decision, services } = d;
  const from = services.counterpartOf(src, MARK_NODE);
  const to = services.counterpartOf(dst, MARK_PUBLIC);
  // The gateway's own pings and ICMP errors also come through here.
  const isOwn = services.isOwn(src);
  if (from === 0 && to === 0 && !isOwn) {
    return services.inServiceRange(dst) ? -DROP_UNALLOCATED : -DROP_FOREIGN_SOURCE;
  }
  decision.newSrc = isOwn ? ownSource(d, src, to || dst) : from || src;
  decision.newDst = to || dst;
  decision.cause = COUNT_ONE_TO_ONE;
  return 0;
}

/** A later fragment whose datagram has no balancer flow. */
export function translateLaterPublic(d: Datapath, b: Batch, r: number): number {
  const decided = toPublic(d, b.p[r | P_SRC]!, b.p[r | P_DST]!);
  return decided < 0 ? decided : translatePublic(d, b, r);
}

/**
 * Rewrites packet `r` to the addresses in `d.decision`. A full sum stays right, a partial one
 * partial.
 */
export function translatePublic(d: Datapath, b: Batch, r: number): number {
  const { p, view } = b;
  const { newSrc, newDst } = d.decision;
  const ip = p[r | P_IP]!;
  const delta = addSums(deltaOfWord(p[r | P_SRC]!, newSrc), deltaOfWord(p[r | P_DST]!, newDst));
  view.setInt32(ip + IP4_OFF_SRC, newSrc);
  view.setInt32(ip + IP4_OFF_DST, newDst);
  view.setUint16(ip + IP4_OFF_SUM, patchFull(view.getUint16(ip + IP4_OFF_SUM), delta));
  giveHopBack(d, b, r, p[r | P_SRC]!, newDst);
  if (p[r | P_KIND] !== KIND_LATER_FRAGMENT) patchTransport(b, r, delta);
  d.count(COUNT_ONE_TO_ONE);
  return VERDICT_FORWARD;
}

/** Patches a transport checksum that covers addresses: not ICMP's or SCTP's. */
function patchTransport(b: Batch, r: number, delta: number): void {
  const { p, view } = b;
  const proto = p[r | P_PROTO]!;
  if (proto === PROTO_TCP || proto === PROTO_UDP) {
    translatePorts(b, r, p[r | P_PORTS]!, delta, delta);
  } else if (proto === PROTO_UDP_LITE || proto === PROTO_DCCP) {
    const at = p[r | P_L4]! + UDP_OFF_SUM;
    if (at + 2 > p[r | P_START]! + p[r | P_LENGTH]!) return;
    view.setUint16(at, patchFull(view.getUint16(at), delta) || 0xffff);
  }
}

/**
 * An ICMP error whose quote has no balancer flow. It must go to the source of its quote: a node by
 * its public address, or, if the error comes from inside, any sender to a node. The gateway's own
 * errors may also quote a packet before translation. Any other is unrelated and dropped: the
 * outside cannot quote a private address.
 */
export function translatePublicError(d: Datapath, b: Batch, r: number): number {
  const { services } = d;
  const { view } = b;
  const quote = b.p[r | P_L4]! + ICMP_HEADER_BYTES;
  const end = b.p[r | P_START]! + b.p[r | P_LENGTH]!;
  const l4 = quote + ((view.getUint8(quote) & 15) << 2);
  const whole = quote + IP4_HEADER_BYTES_MIN <= end && l4 >= quote + IP4_HEADER_BYTES_MIN;
  if (!whole || view.getUint8(quote) >>> 4 !== 4) return -DROP_ICMP_WITHOUT_FLOW;
  const src = view.getInt32(quote + IP4_OFF_SRC);
  const dst = view.getInt32(quote + IP4_OFF_DST);
  const sender = services.counterpartOf(src, MARK_PUBLIC);
  const target = services.counterpartOf(dst, MARK_NODE);
  const from = b.p[r | P_SRC]!;
  const isOwn = services.isOwn(from);
  const isInside = isOwn || services.counterpartOf(from, MARK_NODE) !== 0;
  const isAboutNode = isInside && target !== 0;
  const toOutside = (isAboutNode || isOwn) && !services.inPodRange(src);
  if (src !== b.p[r | P_DST] || (sender === 0 && !toOutside)) return -DROP_ICMP_WITHOUT_FLOW;
  const delta = readdressQuote(view, quote, sender || src, target || dst);
  if ((view.getUint16(quote + IP4_OFF_FRAGMENT) & IP4_FRAGMENT_OFFSET_MASK) === 0) {
    patchQuotedTransport(view, view.getUint8(quote + IP4_OFF_PROTO), l4, end, delta);
  }
  const to = sender || src;
  readdressError(b, r, errorSource(d, from, to), to);
  d.count(COUNT_ICMP_TRANSLATED);
  return VERDICT_FORWARD;
}
