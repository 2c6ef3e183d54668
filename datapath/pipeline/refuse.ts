import { addSums, sumBytes, sumPseudoHeader } from '../wire/checksum.ts';
import {
  ICMP_CODE_PORT_UNREACHABLE,
  ICMP_HEADER_BYTES,
  ICMP_OFF_SUM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
} from '../wire/icmp.ts';
import {
  IP4_FLAG_MORE_FRAGMENTS,
  IP4_HEADER_BYTES_MIN,
  IP4_OFF_DST,
  IP4_OFF_FRAGMENT,
  IP4_OFF_ID,
  IP4_OFF_SRC,
  IP4_OFF_SUM,
  IP4_OFF_TOTAL,
  IP4_OFF_TTL,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import {
  TCP_FLAG_ACK,
  TCP_FLAG_FIN,
  TCP_FLAG_RST,
  TCP_FLAG_SYN,
  TCP_HEADER_BYTES_MIN,
  TCP_OFF_ACK,
  TCP_OFF_DATA,
  TCP_OFF_FLAGS,
  TCP_OFF_SEQ,
  TCP_OFF_SUM,
  TCP_OFF_WINDOW,
} from '../wire/tcp.ts';
import { UDP_OFF_LENGTH } from '../wire/udp.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';
// biome-ignore format: a list.
import {
  type Batch, KIND_FLOW, P_DST, P_FLAGS, P_IP, P_KIND, P_L4, P_LENGTH, P_PORTS, P_PROTO, P_SRC,
  P_START, P_SUM_AT, PACKET_PARTIAL,
} from './batch.ts';
import type { Datapath } from './datapath.ts';
import {
  COUNT_TTL_EXCEEDED,
  DROP_L4_CHECKSUM,
  DROP_NO_IMAGE,
  DROP_REFUSAL_LIMITED,
  DROP_UNANSWERABLE,
  VERDICT_REPLY,
} from './verdict.ts';

const TTL = 64;
/** An ICMP error is at most this long, RFC 1812 4.3.2.3: header, ICMP header and the quote. */
const ICMP_ERROR_BYTES_MAX = 576;
const QUOTE_BYTES_MAX = ICMP_ERROR_BYTES_MAX - IP4_HEADER_BYTES_MIN - ICMP_HEADER_BYTES;
const MULTICAST_FIRST_BYTE = 224;

/**
 * Turns packet `r` into its refusal: RST for TCP (RFC 9293 3.10.7.1), else ICMP port unreachable
 * (RFC 1122 3.2.2.1). VERDICT_REPLY, or minus a DROP_*: if a reply is forbidden, if the packet is
 * damaged and so its sender unknown, or above the rate limit.
 */
export function refuse(d: Datapath, b: Batch, r: number): number {
  const firstByte = b.p[r | P_SRC]! >>> 24;
  const answerable = firstByte !== 0 && firstByte !== 127 && firstByte < MULTICAST_FIRST_BYTE;
  const isTcp = b.p[r | P_PROTO] === PROTO_TCP;
  if (!answerable || (isTcp && (b.p[r | P_FLAGS]! & TCP_FLAG_RST) !== 0)) return -DROP_UNANSWERABLE;
  if (!isIntact(b, r)) return -DROP_L4_CHECKSUM;
  if (!d.refusals.take(d.now)) return -DROP_REFUSAL_LIMITED;
  if (isTcp) return refuseByReset(b, r);
  const unreachable = (ICMP_UNREACHABLE << 24) | (ICMP_CODE_PORT_UNREACHABLE << 16);
  return answerByIcmp(b, r, unreachable, 0, b.p[r | P_DST]!);
}

/**
 * Turns packet `r` of a pod, whose TTL ends here, into the node's ICMP time exceeded (RFC 1812
 * 5.3.1). VERDICT_REPLY, or minus a DROP_*. Errors and later fragments get none (RFC 1122 3.2.2).
 */
export function expire(d: Datapath, b: Batch, r: number): number {
  if (!d.services.ready) return -DROP_NO_IMAGE;
  const isMulticast = b.p[r | P_DST]! >>> 24 >= MULTICAST_FIRST_BYTE;
  if (b.p[r | P_KIND] !== KIND_FLOW || isMulticast) return -DROP_UNANSWERABLE;
  if (!d.refusals.take(d.now)) return -DROP_REFUSAL_LIMITED;
  d.decision.reset(b.p[r | P_SRC]!, b.p[r | P_DST]!, b.p[r | P_PORTS]!);
  d.decision.cause = COUNT_TTL_EXCEEDED;
  d.count(COUNT_TTL_EXCEEDED);
  return answerByIcmp(b, r, ICMP_TIME_EXCEEDED << 24, 0, d.services.nodeAddress);
}

/**
 * False if the full transport checksum is wrong. Partial sums, fragments and protocols without a
 * known checksum pass.
 */
function isIntact(b: Batch, r: number): boolean {
  const { p, view } = b;
  const sumAt = p[r | P_SUM_AT]!;
  const fragment = view.getUint16(p[r | P_IP]! + IP4_OFF_FRAGMENT);
  if ((fragment & IP4_FLAG_MORE_FRAGMENTS) !== 0) return true;
  if (sumAt === 0 || (p[r | P_FLAGS]! & PACKET_PARTIAL) !== 0) return true;
  const l4 = p[r | P_L4]!;
  const proto = p[r | P_PROTO]!;
  const end = p[r | P_START]! + p[r | P_LENGTH]!;
  if (proto === PROTO_ICMP) return sumBytes(view, l4, end) === 0xffff;
  const isUdp = proto === PROTO_UDP;
  if (isUdp && view.getUint16(sumAt) === 0) return true; // Sent without one.
  const bytes = isUdp ? view.getUint16(l4 + UDP_OFF_LENGTH) : end - l4;
  const pseudo = sumPseudoHeader(p[r | P_SRC]!, p[r | P_DST]!, proto, bytes);
  return addSums(pseudo, sumBytes(view, l4, l4 + bytes)) === 0xffff;
}

function refuseByReset(b: Batch, r: number): number {
  const { view } = b;
  const ip = b.p[r | P_IP]!;
  const l4 = b.p[r | P_L4]!;
  const flags = b.p[r | P_FLAGS]!;
  const ports = b.p[r | P_PORTS]!;
  const headerBytes = (view.getUint8(l4 + TCP_OFF_DATA) >>> 4) << 2;
  const end = b.p[r | P_START]! + b.p[r | P_LENGTH]!;
  const taken = end - l4 - headerBytes + (flags & TCP_FLAG_FIN) + ((flags & TCP_FLAG_SYN) >> 1);
  const hasAck = (flags & TCP_FLAG_ACK) !== 0;
  const seq = hasAck ? view.getInt32(l4 + TCP_OFF_ACK) : 0;
  const ack = hasAck ? 0 : (view.getInt32(l4 + TCP_OFF_SEQ) + taken) | 0;
  const tcp = ip + IP4_HEADER_BYTES_MIN;
  view.setInt32(tcp, (ports << 16) | (ports >>> 16));
  view.setInt32(tcp + TCP_OFF_SEQ, seq);
  view.setInt32(tcp + TCP_OFF_ACK, ack);
  view.setUint8(tcp + TCP_OFF_DATA, (TCP_HEADER_BYTES_MIN >> 2) << 4);
  view.setUint8(tcp + TCP_OFF_FLAGS, TCP_FLAG_RST | (hasAck ? 0 : TCP_FLAG_ACK));
  view.setUint16(tcp + TCP_OFF_WINDOW, 0);
  view.setInt32(tcp + TCP_OFF_SUM, 0); // And the urgent pointer.
  const pseudo = sumPseudoHeader(b.p[r | P_DST]!, b.p[r | P_SRC]!, PROTO_TCP, TCP_HEADER_BYTES_MIN);
  const data = sumBytes(view, tcp, tcp + TCP_HEADER_BYTES_MIN);
  view.setUint16(tcp + TCP_OFF_SUM, ~addSums(pseudo, data) & 0xffff);
  return writeReplyHeader(b, r, b.p[r | P_DST]!, PROTO_TCP, TCP_HEADER_BYTES_MIN);
}

/**
 * Turns packet `r` into the ICMP error that quotes it. `kind` has the error's type and code in its
 * two high bytes, `rest` is its second word, `from` its source. VERDICT_REPLY.
 */
export function answerByIcmp(
  b: Batch,
  r: number,
  kind: number,
  rest: number,
  from: number,
): number {
  const { view } = b;
  const ip = b.p[r | P_IP]!;
  const total = b.p[r | P_LENGTH]! - VNET_HEADER_BYTES;
  const quoted = Math.min(total, QUOTE_BYTES_MAX);
  const icmp = ip + IP4_HEADER_BYTES_MIN;
  b.bytes.copyWithin(icmp + ICMP_HEADER_BYTES, ip, ip + quoted);
  view.setInt32(icmp, kind);
  view.setInt32(icmp + 4, rest);
  const bytes = ICMP_HEADER_BYTES + quoted;
  view.setUint16(icmp + ICMP_OFF_SUM, ~sumBytes(view, icmp, icmp + bytes) & 0xffff);
  return writeReplyHeader(b, r, from, PROTO_ICMP, bytes);
}

/** Writes an IPv4 header to the packet's source, and an empty virtio header. */
function writeReplyHeader(
  b: Batch,
  r: number,
  from: number,
  proto: number,
  l4Bytes: number,
): number {
  const { view } = b;
  const vnet = b.p[r | P_START]!;
  const ip = b.p[r | P_IP]!;
  b.bytes.fill(0, vnet, vnet + VNET_HEADER_BYTES);
  const total = IP4_HEADER_BYTES_MIN + l4Bytes;
  view.setUint16(ip, 0x4500);
  view.setUint16(ip + IP4_OFF_TOTAL, total);
  view.setInt32(ip + IP4_OFF_ID, 0x4000); // Identification 0, don't fragment.
  view.setInt32(ip + IP4_OFF_TTL, (TTL << 24) | (proto << 16)); // And a zero checksum.
  view.setInt32(ip + IP4_OFF_SRC, from);
  view.setInt32(ip + IP4_OFF_DST, b.p[r | P_SRC]!);
  const sum = ~sumBytes(view, ip, ip + IP4_HEADER_BYTES_MIN) & 0xffff;
  view.setUint16(ip + IP4_OFF_SUM, sum);
  b.p[r | P_LENGTH] = VNET_HEADER_BYTES + total;
  return VERDICT_REPLY;
}
