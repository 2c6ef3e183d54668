import { TCP_FLAGS_VALID } from '../flow/state.ts';
import { fold, sumBytes } from '../wire/checksum.ts';
import * as W from '../wire/layout.ts';
import {
  type Batch,
  KIND_FLOW,
  KIND_ICMP_ERROR,
  KIND_LATER_FRAGMENT,
  PACKET_FIRST_FRAGMENT,
  PACKET_PARTIAL,
} from './batch.ts';
import * as V from './verdict.ts';

const FLAGS_CHECKED = 0x37; // FIN SYN RST ACK URG.

/**
 * Checks packet `i` once and fills in its columns; later stages trust every length. 0, or minus a DROP_*.
 * A frame longer than its IPv4 total length is cut to it. RFC 791, 9293, 768, 792, 9260.
 */
export function parse(b: Batch, i: number): number {
  const { view } = b;
  const ip = b.start[i]! + W.VNET_HEADER_BYTES;
  const room = b.length[i]! - W.VNET_HEADER_BYTES;
  if (room < W.IP4_HEADER_BYTES_MIN) return -V.DROP_SHORT;
  const first = view.getUint8(ip);
  if (first >>> 4 !== 4) return -V.DROP_NOT_IPV4;
  const headerBytes = (first & 15) << 2;
  const total = view.getUint16(ip + W.IP4_OFF_TOTAL);
  if (headerBytes < W.IP4_HEADER_BYTES_MIN || total < headerBytes || total > room) {
    return -V.DROP_IP_LENGTH;
  }
  if (sumHeader(view, ip, headerBytes) !== 0xffff) return -V.DROP_IP_CHECKSUM;
  b.length[i] = total + W.VNET_HEADER_BYTES;
  const proto = view.getUint8(ip + W.IP4_OFF_PROTO);
  b.ip[i] = ip;
  b.l4[i] = ip + headerBytes;
  b.proto[i] = proto;
  b.src[i] = view.getInt32(ip + W.IP4_OFF_SRC);
  b.dst[i] = view.getInt32(ip + W.IP4_OFF_DST);
  b.kind[i] = KIND_FLOW;
  b.flags[i] = 0;
  b.sumAt[i] = 0;
  const fragment = view.getUint16(ip + W.IP4_OFF_FRAGMENT);
  const offset = (fragment & W.IP4_FRAGMENT_OFFSET_MASK) << 3;
  if (offset !== 0) {
    if (offset + total - headerBytes > W.IP4_TOTAL_BYTES_MAX) return -V.DROP_FRAGMENT_RANGE;
    b.kind[i] = KIND_LATER_FRAGMENT;
    b.ports[i] = 0;
    return 0;
  }
  const more = fragment & W.IP4_FLAG_MORE_FRAGMENTS;
  if (more !== 0) b.flags[i] = PACKET_FIRST_FRAGMENT;
  const l4Bytes = total - headerBytes;
  if (proto === W.PROTO_TCP) return parseTcp(b, i, l4Bytes);
  if (proto === W.PROTO_UDP) return parseUdp(b, i, l4Bytes, more);
  if (proto === W.PROTO_ICMP) return parseIcmp(b, i, l4Bytes);
  if (proto === W.PROTO_SCTP) {
    if (l4Bytes < W.SCTP_HEADER_BYTES) return -V.DROP_L4_LENGTH;
    b.ports[i] = view.getInt32(b.l4[i]!);
    return 0;
  }
  b.ports[i] = 0;
  return 0;
}

function sumHeader(view: DataView, ip: number, bytes: number): number {
  let sum =
    view.getUint16(ip) +
    view.getUint16(ip + 2) +
    view.getUint16(ip + 4) +
    view.getUint16(ip + 6) +
    view.getUint16(ip + 8) +
    view.getUint16(ip + 10) +
    view.getUint16(ip + 12) +
    view.getUint16(ip + 14) +
    view.getUint16(ip + 16) +
    view.getUint16(ip + 18);
  for (let at = 20; at < bytes; at += 2) sum += view.getUint16(ip + at);
  return fold(sum);
}

function parseTcp(b: Batch, i: number, l4Bytes: number): number {
  const { view } = b;
  const l4 = b.l4[i]!;
  if (l4Bytes < W.TCP_HEADER_BYTES_MIN) return -V.DROP_L4_LENGTH;
  const headerBytes = (view.getUint8(l4 + W.TCP_OFF_DATA) >>> 4) << 2;
  if (headerBytes < W.TCP_HEADER_BYTES_MIN || headerBytes > l4Bytes) return -V.DROP_L4_LENGTH;
  const flags = view.getUint8(l4 + W.TCP_OFF_FLAGS);
  if (TCP_FLAGS_VALID[flags & FLAGS_CHECKED] === 0) return -V.DROP_TCP_FLAGS;
  b.ports[i] = view.getInt32(l4);
  b.flags[i] = b.flags[i]! | (flags & 0x3f);
  return locateSum(b, i, l4 + W.TCP_OFF_SUM);
}

function parseUdp(b: Batch, i: number, l4Bytes: number, more: number): number {
  const { view } = b;
  const l4 = b.l4[i]!;
  if (l4Bytes < W.UDP_HEADER_BYTES) return -V.DROP_L4_LENGTH;
  const bytes = view.getUint16(l4 + W.UDP_OFF_LENGTH);
  if (bytes < W.UDP_HEADER_BYTES || (more === 0 && bytes > l4Bytes)) return -V.DROP_L4_LENGTH;
  b.ports[i] = view.getInt32(l4);
  return locateSum(b, i, l4 + W.UDP_OFF_SUM);
}

/** Finds the checksum field: where the virtio header says when the sum is partial, else where the format says. */
function locateSum(b: Batch, i: number, at: number): number {
  const { view } = b;
  const vnet = b.start[i]!;
  b.sumAt[i] = at;
  if ((view.getUint8(vnet + W.VNET_OFF_FLAGS) & W.VNET_FLAG_NEEDS_CSUM) === 0) return 0;
  const ip = b.ip[i]!;
  const start = ip + view.getUint16(vnet + W.VNET_OFF_CSUM_START, true);
  const partial = start + view.getUint16(vnet + W.VNET_OFF_CSUM_OFFSET, true);
  // The header's csum_start is trusted within the packet: options move it, tunnels would.
  if (start < b.l4[i]! || partial + 2 > vnet + b.length[i]!) return -V.DROP_VNET_HEADER;
  b.sumAt[i] = partial;
  b.flags[i] = b.flags[i]! | PACKET_PARTIAL;
  return 0;
}

function parseIcmp(b: Batch, i: number, l4Bytes: number): number {
  const { view } = b;
  const l4 = b.l4[i]!;
  if (l4Bytes < W.ICMP_HEADER_BYTES) return -V.DROP_L4_LENGTH;
  const type = view.getUint8(l4);
  b.sumAt[i] = l4 + W.ICMP_OFF_SUM;
  if (type === W.ICMP_ECHO_REQUEST || type === W.ICMP_ECHO_REPLY) {
    b.ports[i] = (view.getUint16(l4 + W.ICMP_OFF_ID) << 16) | type;
    return 0;
  }
  b.ports[i] = type;
  const isError =
    type === W.ICMP_UNREACHABLE ||
    type === W.ICMP_TIME_EXCEEDED ||
    type === W.ICMP_PARAMETER_PROBLEM;
  if (!isError) return 0;
  // An error is summed anew after its inside was translated, which would hide damage: check it first.
  if (sumBytes(view, l4, l4 + l4Bytes) !== 0xffff) return -V.DROP_ICMP_CHECKSUM;
  b.kind[i] = KIND_ICMP_ERROR;
  return 0;
}
