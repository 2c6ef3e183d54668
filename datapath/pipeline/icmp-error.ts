// ICMP errors about packets that were translated here: the error and its quote get the addresses
// that the sender used (RFC 5508 section 4, RFC 1812 4.3.2.3). They neither refresh nor delete a
// flow.

// biome-ignore format: a list.
import {
  FLAG_DNAT, FLAG_SNAT, LINE_SHIFT, NO_SIDE, W_META, W_NEW_DST, W_NEW_PORTS, W_NEW_SRC, W_SRC,
} from '../flow/line.ts';
import { MARK_NODE } from '../image/layout.ts';
import { addSums, deltaOfWord } from '../wire/checksum.ts';
import {
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER_BYTES,
  ICMP_OFF_ID,
  ICMP_OFF_SUM,
} from '../wire/icmp.ts';
import {
  IP4_FRAGMENT_OFFSET_MASK,
  IP4_HEADER_BYTES_MIN,
  IP4_OFF_DST,
  IP4_OFF_FRAGMENT,
  IP4_OFF_PROTO,
  IP4_OFF_SRC,
  PROTO_ICMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { type Batch, P_DST, P_L4, P_LENGTH, P_SIDE, P_SRC, P_START } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { isHeld } from './establish.ts';
import { errorSource, translatePublicError } from './gateway.ts';
import { CHECK_GONE, checkFlow, checkPassing } from './policy-check.ts';
import { patchQuotedSum, patchQuotedTransport, readdressError, readdressQuote } from './quote.ts';
import {
  COUNT_ICMP_TRANSLATED,
  COUNT_PASSED_UNTRACKED,
  DROP_NO_IMAGE,
  VERDICT_FORWARD,
} from './verdict.ts';

const PORTS_BYTES = 4;
const NAT = FLAG_DNAT | FLAG_SNAT;

/**
 * Translates packet `r`, an ICMP error. The quoted packet left here, so its reverse is the tuple of
 * the side that answers it. That side's reversed rewrite gives the packet as its sender made it.
 * The quoted length and checksum are not trusted: the kernel quotes segments with partial sums. An
 * error that matches no flow passes unchanged if policies allow it. Policies that deny a flow also
 * drop its errors.
 */
export function translateIcmpError(d: Datapath, b: Batch, r: number): number {
  const side = findQuoted(d, b, r);
  if (side === NO_SIDE) return runUnrelated(d, b, r);
  b.p[r | P_SIDE] = side;
  const checked = checkFlow(d, side);
  if (checked !== 0) return checked === CHECK_GONE ? runUnrelated(d, b, r) : checked;
  const { lines } = d.table;
  const at = side << LINE_SHIFT;
  if ((lines[at | W_META]! & NAT) !== 0) {
    rewriteQuote(lines, at, b, r);
    rewriteOutside(d, at, b, r);
  }
  d.count(COUNT_ICMP_TRANSLATED);
  return VERDICT_FORWARD;
}

function runUnrelated(d: Datapath, b: Batch, r: number): number {
  b.p[r | P_SIDE] = NO_SIDE;
  return d.services.gateway ? translatePublicError(d, b, r) : passUnrelated(d, b, r);
}

/**
 * An error about no known or a closed flow is checked like any packet: only related errors are
 * exempt from policies.
 */
function passUnrelated(d: Datapath, b: Batch, r: number): number {
  const held = isHeld(d, b.p[r | P_SRC]!) || isHeld(d, b.p[r | P_DST]!);
  if (held && !d.services.ready) return -DROP_NO_IMAGE;
  const checked = checkPassing(d, b, r);
  if (checked < 0) return checked;
  d.count(COUNT_PASSED_UNTRACKED);
  return VERDICT_FORWARD;
}

/** The side that answers the quoted packet, or NO_SIDE. */
function findQuoted(d: Datapath, b: Batch, r: number): number {
  const { view } = b;
  const ip = b.p[r | P_L4]! + ICMP_HEADER_BYTES;
  const end = b.p[r | P_START]! + b.p[r | P_LENGTH]!;
  if (ip + IP4_HEADER_BYTES_MIN > end) return NO_SIDE;
  const first = view.getUint8(ip);
  const l4 = ip + ((first & 15) << 2);
  const isFirst = (view.getUint16(ip + IP4_OFF_FRAGMENT) & IP4_FRAGMENT_OFFSET_MASK) === 0;
  if (first >>> 4 !== 4 || l4 < ip + IP4_HEADER_BYTES_MIN || !isFirst) return NO_SIDE;
  const proto = view.getUint8(ip + IP4_OFF_PROTO);
  const src = view.getInt32(ip + IP4_OFF_SRC);
  const dst = view.getInt32(ip + IP4_OFF_DST);
  let reply = 0;
  if (proto === PROTO_TCP || proto === PROTO_UDP || proto === PROTO_SCTP) {
    if (l4 + PORTS_BYTES > end) return NO_SIDE;
    const ports = view.getInt32(l4);
    reply = (ports << 16) | (ports >>> 16);
  } else if (proto === PROTO_ICMP) {
    if (l4 + ICMP_HEADER_BYTES > end) return NO_SIDE;
    const type = view.getUint8(l4);
    if (type !== ICMP_ECHO_REQUEST && type !== ICMP_ECHO_REPLY) return NO_SIDE;
    // A reply answers a request, and the reverse.
    reply = (view.getUint16(l4 + ICMP_OFF_ID) << 16) | (ICMP_ECHO_REQUEST - type);
  }
  // An error goes to the source of its quote. Otherwise the quoted packet did not leave here.
  if (src !== b.p[r | P_DST]) return NO_SIDE;
  return d.table.find(d.table.hash(dst, src, reply, proto), dst, src, reply, proto);
}

/**
 * Turns the quote into the packet that its sender sent: the reverse of the answering side's
 * rewrite.
 */
function rewriteQuote(lines: Int32Array, at: number, b: Batch, r: number): void {
  const { view } = b;
  const ip = b.p[r | P_L4]! + ICMP_HEADER_BYTES;
  const end = b.p[r | P_START]! + b.p[r | P_LENGTH]!;
  const l4 = ip + ((view.getUint8(ip) & 15) << 2);
  const proto = view.getUint8(ip + IP4_OFF_PROTO);
  const addresses = readdressQuote(view, ip, lines[at | W_NEW_DST]!, lines[at | W_NEW_SRC]!);
  const back = lines[at | W_NEW_PORTS]!;
  if (proto === PROTO_ICMP) {
    const was = view.getUint16(l4 + ICMP_OFF_ID);
    view.setUint16(l4 + ICMP_OFF_ID, back >>> 16);
    patchQuotedSum(view, l4 + ICMP_OFF_SUM, end, deltaOfWord(was, back >>> 16));
  } else if (proto === PROTO_TCP || proto === PROTO_UDP || proto === PROTO_SCTP) {
    const ports = (back << 16) | (back >>> 16);
    const delta = addSums(addresses, deltaOfWord(view.getInt32(l4), ports));
    view.setInt32(l4, ports);
    patchQuotedTransport(view, proto, l4, end, delta);
  }
}

/**
 * Rewrites the error's own addresses. Its destination becomes the sender of the quoted packet. If
 * the endpoint reports the error, the source becomes the address that the sender used. The same
 * applies if a node reports it and the client was masqueraded: that node may be the client's, and
 * would drop a packet from the wire with its own address as source.
 */
function rewriteOutside(d: Datapath, at: number, b: Batch, r: number): void {
  const { lines, services } = d;
  const from = b.p[r | P_SRC]!;
  const to = lines[at | W_NEW_DST]!;
  const isMasqueraded = (lines[at | W_META]! & NAT) === NAT;
  const isEndpoints =
    from === lines[at | W_SRC] ||
    (isMasqueraded && !services.gateway && (services.markOf(from) & MARK_NODE) !== 0);
  if (isEndpoints) readdressError(b, r, lines[at | W_NEW_SRC]!, to);
  else readdressError(b, r, services.gateway ? errorSource(d, from, to) : from, to);
}
