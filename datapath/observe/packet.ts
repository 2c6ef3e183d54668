// Test packets and their results: full checksums, no options, four bytes of payload.
import { formatAddress } from '../wire/address.ts';
import { fold, sumBytes, sumPseudoHeader } from '../wire/checksum.ts';
import { ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST } from '../wire/icmp.ts';
import { IP4_HEADER_BYTES_MIN, PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { SCTP_HEADER_BYTES } from '../wire/sctp.ts';
import { TCP_FLAG_ACK, TCP_FLAG_SYN, TCP_HEADER_BYTES_MIN } from '../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';

export interface Tuple {
  proto: number;
  src: number;
  sport: number;
  dst: number;
  dport: number;
}

/** A tuple as `conntrack list -o json` prints it; for ICMP echo both ports are the identifier. */
export interface TupleRow {
  src: string;
  sport: number;
  dst: string;
  dport: number;
}

export function tupleRow({ src, sport, dst, dport }: Tuple): TupleRow {
  return { src: formatAddress(src), sport, dst: formatAddress(dst), dport };
}

/** The tuple of a line or record. An echo has its type in place of a port. */
export function tupleOf(proto: number, src: number, dst: number, ports: number): Tuple {
  return { proto, src, sport: ports >>> 16, dst, dport: proto === PROTO_ICMP ? 0 : ports & 0xffff };
}

const PAYLOAD_BYTES = 4;

/** The first packet of a connection after an empty virtio header: SYN, datagram, INIT or echo. */
export function firstPacket(t: Tuple): Uint8Array {
  return makePacket(t, TCP_FLAG_SYN, ICMP_ECHO_REQUEST);
}

/** A packet from the middle of a connection: an ACK, a datagram, or the answer to an echo. */
export function laterPacket(t: Tuple): Uint8Array {
  return makePacket(t, TCP_FLAG_ACK, ICMP_ECHO_REPLY);
}

function makePacket(t: Tuple, tcpFlags: number, icmpType: number): Uint8Array {
  const l4Bytes = headerBytes(t.proto) + PAYLOAD_BYTES;
  const bytes = new Uint8Array(VNET_HEADER_BYTES + IP4_HEADER_BYTES_MIN + l4Bytes);
  const view = new DataView(bytes.buffer, VNET_HEADER_BYTES);
  view.setUint16(0, 0x4500);
  view.setUint16(2, IP4_HEADER_BYTES_MIN + l4Bytes);
  view.setUint8(8, 64);
  view.setUint8(9, t.proto);
  view.setInt32(12, t.src);
  view.setInt32(16, t.dst);
  view.setUint16(10, ~sumBytes(view, 0, IP4_HEADER_BYTES_MIN) & 0xffff);
  writeL4(view, t, l4Bytes, tcpFlags, icmpType);
  return bytes;
}

function headerBytes(proto: number): number {
  if (proto === PROTO_TCP) return TCP_HEADER_BYTES_MIN;
  return proto === PROTO_UDP || proto === PROTO_ICMP ? UDP_HEADER_BYTES : SCTP_HEADER_BYTES;
}

function writeL4(
  view: DataView,
  t: Tuple,
  l4Bytes: number,
  tcpFlags: number,
  icmpType: number,
): void {
  const at = IP4_HEADER_BYTES_MIN;
  if (t.proto === PROTO_ICMP) {
    view.setUint8(at, icmpType);
    view.setUint16(at + 4, t.sport);
    view.setUint16(at + 2, ~sumBytes(view, at, at + l4Bytes) & 0xffff);
    return;
  }
  view.setUint16(at, t.sport);
  view.setUint16(at + 2, t.dport);
  if (t.proto === PROTO_TCP) view.setUint16(at + 12, (5 << 12) | tcpFlags);
  else if (t.proto === PROTO_UDP) view.setUint16(at + 4, l4Bytes);
  else return; // SCTP's checksum does not cover addresses.
  const sumAt = at + (t.proto === PROTO_TCP ? 16 : 6);
  view.setUint16(sumAt, ~sumL4(view, t.proto, at, l4Bytes) & 0xffff);
}

function sumL4(view: DataView, proto: number, at: number, l4Bytes: number): number {
  const pseudo = sumPseudoHeader(view.getInt32(12), view.getInt32(16), proto, l4Bytes);
  return fold(pseudo + sumBytes(view, at, at + l4Bytes));
}

/** The tuple of a packet, whose `view` begins at the IP header; throws if a checksum is wrong. */
export function readPacket(view: DataView): Tuple {
  const proto = view.getUint8(9);
  const l4Bytes = view.getUint16(2) - IP4_HEADER_BYTES_MIN;
  const at = IP4_HEADER_BYTES_MIN;
  if (sumBytes(view, 0, at) !== 0xffff) throw new Error('the IP checksum is wrong');
  if (proto === PROTO_TCP || proto === PROTO_UDP) {
    if (sumL4(view, proto, at, l4Bytes) !== 0xffff)
      throw new Error('the TCP or UDP checksum is wrong');
  }
  const echo = proto === PROTO_ICMP;
  return {
    proto,
    src: view.getInt32(12),
    sport: view.getUint16(echo ? at + 4 : at),
    dst: view.getInt32(16),
    dport: echo ? 0 : view.getUint16(at + 2),
  };
}
