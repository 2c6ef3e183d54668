import { addSums, sumBytes, sumPseudoHeader } from '../wire/checksum.ts';
import * as W from '../wire/layout.ts';
import type { Batch } from './batch.ts';
import { DROP_UNANSWERABLE, VERDICT_REPLY } from './verdict.ts';

const TTL = 64;
/** An ICMP error is at most this long, RFC 1812 4.3.2.3: header, ICMP header and the quote. */
const ICMP_ERROR_BYTES_MAX = 576;
const QUOTE_BYTES_MAX = ICMP_ERROR_BYTES_MAX - W.IP4_HEADER_BYTES_MIN - W.ICMP_HEADER_BYTES;
const MULTICAST_FIRST_BYTE = 224;

/**
 * Turns packet `i` into the refusal that its sender gets: RST for TCP (RFC 9293 3.10.7.1), ICMP port unreachable
 * for the rest (RFC 1122 3.2.2.1). VERDICT_REPLY, or minus DROP_UNANSWERABLE where a reply is forbidden.
 */
export function refuse(b: Batch, i: number): number {
  const firstByte = b.src[i]! >>> 24;
  const answerable = firstByte !== 0 && firstByte !== 127 && firstByte < MULTICAST_FIRST_BYTE;
  if (!answerable) return -DROP_UNANSWERABLE;
  if (b.proto[i] !== W.PROTO_TCP) return refuseByIcmp(b, i);
  return (b.flags[i]! & W.TCP_FLAG_RST) === 0 ? refuseByReset(b, i) : -DROP_UNANSWERABLE;
}

function refuseByReset(b: Batch, i: number): number {
  const { view } = b;
  const ip = b.ip[i]!;
  const l4 = b.l4[i]!;
  const flags = b.flags[i]!;
  const ports = b.ports[i]!;
  const headerBytes = (view.getUint8(l4 + W.TCP_OFF_DATA) >>> 4) << 2;
  const end = b.start[i]! + b.length[i]!;
  const taken = end - l4 - headerBytes + (flags & W.TCP_FLAG_FIN) + ((flags & W.TCP_FLAG_SYN) >> 1);
  const hasAck = (flags & W.TCP_FLAG_ACK) !== 0;
  const seq = hasAck ? view.getInt32(l4 + W.TCP_OFF_ACK) : 0;
  const ack = hasAck ? 0 : (view.getInt32(l4 + W.TCP_OFF_SEQ) + taken) | 0;
  const tcp = ip + W.IP4_HEADER_BYTES_MIN;
  view.setInt32(tcp, (ports << 16) | (ports >>> 16));
  view.setInt32(tcp + W.TCP_OFF_SEQ, seq);
  view.setInt32(tcp + W.TCP_OFF_ACK, ack);
  view.setUint8(tcp + W.TCP_OFF_DATA, (W.TCP_HEADER_BYTES_MIN >> 2) << 4);
  view.setUint8(tcp + W.TCP_OFF_FLAGS, W.TCP_FLAG_RST | (hasAck ? 0 : W.TCP_FLAG_ACK));
  view.setUint16(tcp + W.TCP_OFF_WINDOW, 0);
  view.setInt32(tcp + W.TCP_OFF_SUM, 0); // And the urgent pointer.
  const pseudo = sumPseudoHeader(b.dst[i]!, b.src[i]!, W.PROTO_TCP, W.TCP_HEADER_BYTES_MIN);
  const data = sumBytes(view, tcp, tcp + W.TCP_HEADER_BYTES_MIN);
  view.setUint16(tcp + W.TCP_OFF_SUM, ~addSums(pseudo, data) & 0xffff);
  return writeReplyHeader(b, i, W.PROTO_TCP, W.TCP_HEADER_BYTES_MIN);
}

function refuseByIcmp(b: Batch, i: number): number {
  const { view } = b;
  const ip = b.ip[i]!;
  const total = b.length[i]! - W.VNET_HEADER_BYTES;
  const quoted = Math.min(total, QUOTE_BYTES_MAX);
  const icmp = ip + W.IP4_HEADER_BYTES_MIN;
  b.bytes.copyWithin(icmp + W.ICMP_HEADER_BYTES, ip, ip + quoted);
  view.setInt32(icmp, (W.ICMP_UNREACHABLE << 24) | (W.ICMP_CODE_PORT_UNREACHABLE << 16));
  view.setInt32(icmp + 4, 0);
  const bytes = W.ICMP_HEADER_BYTES + quoted;
  view.setUint16(icmp + W.ICMP_OFF_SUM, ~sumBytes(view, icmp, icmp + bytes) & 0xffff);
  return writeReplyHeader(b, i, W.PROTO_ICMP, bytes);
}

/** A fresh IPv4 header from the packet's destination to its source, and a virtio header that asks for nothing. */
function writeReplyHeader(b: Batch, i: number, proto: number, l4Bytes: number): number {
  const { view } = b;
  const vnet = b.start[i]!;
  const ip = b.ip[i]!;
  b.bytes.fill(0, vnet, vnet + W.VNET_HEADER_BYTES);
  const total = W.IP4_HEADER_BYTES_MIN + l4Bytes;
  view.setUint16(ip, 0x4500);
  view.setUint16(ip + W.IP4_OFF_TOTAL, total);
  view.setInt32(ip + W.IP4_OFF_ID, 0x4000); // Identification 0, don't fragment.
  view.setInt32(ip + W.IP4_OFF_TTL, (TTL << 24) | (proto << 16)); // And a zero checksum.
  view.setInt32(ip + W.IP4_OFF_SRC, b.dst[i]!);
  view.setInt32(ip + W.IP4_OFF_DST, b.src[i]!);
  const sum = ~sumBytes(view, ip, ip + W.IP4_HEADER_BYTES_MIN) & 0xffff;
  view.setUint16(ip + W.IP4_OFF_SUM, sum);
  b.length[i] = W.VNET_HEADER_BYTES + total;
  return VERDICT_REPLY;
}
