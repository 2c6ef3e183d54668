import { hashTuple } from '../flow/hash.ts';
import { NO_SIDE } from '../flow/line.ts';
import { TCP_FLAGS_VALID } from '../flow/state.ts';
import { fold, sumBytes } from '../wire/checksum.ts';
import {
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER_BYTES,
  ICMP_OFF_ID,
  ICMP_OFF_SUM,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
} from '../wire/icmp.ts';
import {
  IP4_FLAG_MORE_FRAGMENTS,
  IP4_FRAGMENT_OFFSET_MASK,
  IP4_HEADER_BYTES_MIN,
  IP4_OFF_DST,
  IP4_OFF_SRC,
  IP4_TOTAL_BYTES_MAX,
  PROTO_ICMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { SCTP_HEADER_BYTES } from '../wire/sctp.ts';
import { TCP_HEADER_BYTES_MIN, TCP_OFF_DATA, TCP_OFF_SUM } from '../wire/tcp.ts';
import { UDP_HEADER_BYTES, UDP_OFF_LENGTH, UDP_OFF_SUM } from '../wire/udp.ts';
import {
  VNET_FLAG_NEEDS_CSUM,
  VNET_HEADER_BYTES,
  VNET_OFF_CSUM_OFFSET,
  VNET_OFF_CSUM_START,
  VNET_OFF_FLAGS,
} from '../wire/vnet.ts';
// biome-ignore format: a list.
import {
  type Batch, KIND_FLOW, KIND_ICMP_ERROR, KIND_LATER_FRAGMENT, P_DST, P_FLAGS, P_HASH, P_IP, P_KIND,
  P_L4, P_LENGTH, P_PORTS, P_PROTO, P_SIDE, P_SRC, P_START, P_SUM_AT, P_VERDICT,
  PACKET_FIRST_FRAGMENT, PACKET_PARTIAL,
} from './batch.ts';
// biome-ignore format: a list.
import {
  DROP_FRAGMENT_RANGE, DROP_ICMP_CHECKSUM, DROP_IP_CHECKSUM, DROP_IP_LENGTH, DROP_L4_LENGTH,
  DROP_NOT_IPV4, DROP_SHORT, DROP_TCP_FLAGS, DROP_VNET_HEADER,
} from './verdict.ts';

const FLAGS_CHECKED = 0x37; // FIN SYN RST ACK URG.
const FRAGMENT_MASK = IP4_FLAG_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET_MASK;

/**
 * Checks packet `r` once and fills in its record. Later stages trust every length. The verdict is
 * 0, or minus a DROP_*. A frame longer than its IPv4 total length is cut. RFC 791, 9293, 768, 792,
 * 9260.
 */
export function parse(b: Batch, r: number, seed: number): void {
  const { p } = b;
  const verdict = parseHeader(b, r);
  p[r | P_VERDICT] = verdict;
  p[r | P_SIDE] = NO_SIDE;
  p[r | P_HASH] = hashTuple(p[r | P_SRC]!, p[r | P_DST]!, p[r | P_PORTS]!, p[r | P_PROTO]!, seed);
}

function parseHeader(b: Batch, r: number): number {
  const { p, view } = b;
  const ip = p[r | P_START]! + VNET_HEADER_BYTES;
  const room = p[r | P_LENGTH]! - VNET_HEADER_BYTES;
  if (room < IP4_HEADER_BYTES_MIN) return -DROP_SHORT;
  // The header as five words: each is read once, for its fields and for the sum.
  const w0 = view.getInt32(ip);
  const w1 = view.getInt32(ip + 4);
  const w2 = view.getInt32(ip + 8);
  const src = view.getInt32(ip + IP4_OFF_SRC);
  const dst = view.getInt32(ip + IP4_OFF_DST);
  if (w0 >>> 28 !== 4) return -DROP_NOT_IPV4;
  const headerBytes = (w0 >>> 22) & 0x3c;
  const total = w0 & 0xffff;
  if (headerBytes < IP4_HEADER_BYTES_MIN || total < headerBytes || total > room) {
    return -DROP_IP_LENGTH;
  }
  const high = (w0 >>> 16) + (w1 >>> 16) + (w2 >>> 16) + (src >>> 16) + (dst >>> 16);
  let sum = high + (w0 & 0xffff) + (w1 & 0xffff) + (w2 & 0xffff) + (src & 0xffff) + (dst & 0xffff);
  if (headerBytes > IP4_HEADER_BYTES_MIN) {
    sum += sumBytes(view, ip + IP4_HEADER_BYTES_MIN, ip + headerBytes);
  }
  if (fold(sum) !== 0xffff) return -DROP_IP_CHECKSUM;
  const proto = (w2 >>> 16) & 0xff;
  p[r | P_LENGTH] = total + VNET_HEADER_BYTES;
  p[r | P_IP] = ip;
  p[r | P_L4] = ip + headerBytes;
  p[r | P_KIND] = KIND_FLOW;
  p[r | P_SRC] = src;
  p[r | P_DST] = dst;
  p[r | P_PORTS] = 0;
  p[r | P_PROTO] = proto;
  p[r | P_FLAGS] = 0;
  p[r | P_SUM_AT] = 0;
  const l4Bytes = total - headerBytes;
  if ((w1 & FRAGMENT_MASK) !== 0 && (w1 & IP4_FRAGMENT_OFFSET_MASK) !== 0) {
    const offset = (w1 & IP4_FRAGMENT_OFFSET_MASK) << 3;
    p[r | P_KIND] = KIND_LATER_FRAGMENT;
    return offset + l4Bytes > IP4_TOTAL_BYTES_MAX ? -DROP_FRAGMENT_RANGE : 0;
  }
  const more = w1 & IP4_FLAG_MORE_FRAGMENTS;
  if (more !== 0) p[r | P_FLAGS] = PACKET_FIRST_FRAGMENT;
  if (proto === PROTO_TCP) return parseTcp(b, r, l4Bytes);
  if (proto === PROTO_UDP) return parseUdp(b, r, l4Bytes, more);
  if (proto === PROTO_ICMP) return parseIcmp(b, r, l4Bytes);
  if (proto !== PROTO_SCTP) return 0;
  if (l4Bytes < SCTP_HEADER_BYTES) return -DROP_L4_LENGTH;
  p[r | P_PORTS] = view.getInt32(ip + headerBytes);
  return 0;
}

function parseTcp(b: Batch, r: number, l4Bytes: number): number {
  const { p, view } = b;
  const l4 = p[r | P_L4]!;
  if (l4Bytes < TCP_HEADER_BYTES_MIN) return -DROP_L4_LENGTH;
  const dataAndFlags = view.getUint16(l4 + TCP_OFF_DATA);
  const headerBytes = (dataAndFlags >>> 12) << 2;
  if (headerBytes < TCP_HEADER_BYTES_MIN || headerBytes > l4Bytes) return -DROP_L4_LENGTH;
  if (TCP_FLAGS_VALID[dataAndFlags & FLAGS_CHECKED] === 0) return -DROP_TCP_FLAGS;
  p[r | P_PORTS] = view.getInt32(l4);
  p[r | P_FLAGS] = p[r | P_FLAGS]! | (dataAndFlags & 0x3f);
  return locateSum(b, r, l4 + TCP_OFF_SUM);
}

function parseUdp(b: Batch, r: number, l4Bytes: number, more: number): number {
  const { p, view } = b;
  const l4 = p[r | P_L4]!;
  if (l4Bytes < UDP_HEADER_BYTES) return -DROP_L4_LENGTH;
  const bytes = view.getUint16(l4 + UDP_OFF_LENGTH);
  if (bytes < UDP_HEADER_BYTES || (more === 0 && bytes > l4Bytes)) return -DROP_L4_LENGTH;
  p[r | P_PORTS] = view.getInt32(l4);
  return locateSum(b, r, l4 + UDP_OFF_SUM);
}

/** Finds the checksum field: from the virtio header if the sum is partial, else by protocol. */
function locateSum(b: Batch, r: number, at: number): number {
  const { p, view } = b;
  const vnet = p[r | P_START]!;
  p[r | P_SUM_AT] = at;
  if ((view.getUint8(vnet + VNET_OFF_FLAGS) & VNET_FLAG_NEEDS_CSUM) === 0) return 0;
  const start = p[r | P_IP]! + view.getUint16(vnet + VNET_OFF_CSUM_START, true);
  const partial = start + view.getUint16(vnet + VNET_OFF_CSUM_OFFSET, true);
  // csum_start is trusted within the packet, because IPv4 options move it.
  if (start < p[r | P_L4]! || partial + 2 > vnet + p[r | P_LENGTH]!) return -DROP_VNET_HEADER;
  p[r | P_SUM_AT] = partial;
  p[r | P_FLAGS] = p[r | P_FLAGS]! | PACKET_PARTIAL;
  return 0;
}

function parseIcmp(b: Batch, r: number, l4Bytes: number): number {
  const { view } = b;
  const l4 = b.p[r | P_L4]!;
  if (l4Bytes < ICMP_HEADER_BYTES) return -DROP_L4_LENGTH;
  const type = view.getUint8(l4);
  b.p[r | P_SUM_AT] = l4 + ICMP_OFF_SUM;
  if (type === ICMP_ECHO_REQUEST || type === ICMP_ECHO_REPLY) {
    b.p[r | P_PORTS] = (view.getUint16(l4 + ICMP_OFF_ID) << 16) | type;
    return 0;
  }
  b.p[r | P_PORTS] = type;
  const isError =
    type === ICMP_UNREACHABLE || type === ICMP_TIME_EXCEEDED || type === ICMP_PARAMETER_PROBLEM;
  if (!isError) return 0;
  // Check the sum first: it is computed again after the quote is translated, which hides damage.
  if (sumBytes(view, l4, l4 + l4Bytes) !== 0xffff) return -DROP_ICMP_CHECKSUM;
  b.p[r | P_KIND] = KIND_ICMP_ERROR;
  return 0;
}
