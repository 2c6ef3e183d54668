// Joins consecutive packets of one flow in a batch's output, so that one write hands several to the
// kernel: UDP datagrams as a train (VIRTIO_NET_HDR_GSO_UDP_L4), TCP segments as one segment, under
// the conditions of the kernel's GRO (net/ipv4/{af_inet,tcp_offload,udp_offload}.c). Splitting the
// packet again gives the packets as they were, except for the identification of datagrams that are
// never fragmented, which has no meaning (RFC 6864 4.1).
//
// The payloads are moved together in the batch's buffer. writev(2) would spare the copies; it
// measured the same with small payloads, and 0.25 against 0.18 us a packet with 1,400 bytes
// (docs/adr/0024).

import { type Batch, P_LENGTH, P_OUT, P_START, P_VERDICT, P_WORDS } from '../pipeline/batch.ts';
import type { Datapath } from '../pipeline/datapath.ts';
import {
  COUNT_MERGED_PACKETS,
  COUNT_MERGED_TRAINS,
  VERDICT_FORWARD,
  VERDICT_MERGED,
  VERDICT_REPLY,
} from '../pipeline/verdict.ts';
import { deltaOfWord, patchFull, sumPseudoHeader } from '../wire/checksum.ts';
import {
  IP4_HEADER_BYTES_MIN as IP_BYTES,
  IP4_OFF_DST,
  IP4_OFF_ID,
  IP4_OFF_PROTO,
  IP4_OFF_SRC,
  IP4_OFF_SUM,
  IP4_OFF_TOTAL,
  IP4_OFF_TTL,
  IP4_TOTAL_BYTES_MAX,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import {
  TCP_FLAG_PSH,
  TCP_HEADER_BYTES_MIN,
  TCP_OFF_ACK,
  TCP_OFF_DATA,
  TCP_OFF_FLAGS,
  TCP_OFF_SEQ,
  TCP_OFF_SUM,
} from '../wire/tcp.ts';
import { UDP_HEADER_BYTES, UDP_OFF_LENGTH, UDP_OFF_SUM } from '../wire/udp.ts';
import {
  VNET_FLAG_DATA_VALID,
  VNET_FLAG_NEEDS_CSUM,
  VNET_GSO_TCP4,
  VNET_GSO_UDP_L4,
  VNET_HEADER_BYTES,
  VNET_OFF_CSUM_START,
  VNET_OFF_FLAGS,
  VNET_OFF_GSO_SIZE,
  VNET_OFF_GSO_TYPE,
  VNET_OFF_HEADERS,
} from '../wire/vnet.ts';

/** What to merge: bits of a Merger's `kinds`. */
export const MERGE_TCP = 1;
export const MERGE_UDP = 2;

/** UDP_MAX_SEGMENTS of kernels before 6.9; later ones take 128. */
export const TRAIN_PACKETS_MAX = 64;

const NONE = -1;
/** Version 4 and a header of five words. */
const FIRST_BYTE = 0x45;
/** In the second word: reserved bit, more fragments, offset. */
const FRAGMENT_MASK = 0xbfff;
const FLAG_DF = 0x4000;
/** In TCP's fourth word: ACK, and of the other flags at most PSH. */
const TCP_FLAGS_MASK = 0x0ff70000;
const TCP_FLAGS_ACK = 0x00100000;
const TCP_WORD_PSH = TCP_FLAG_PSH << 16;
const TRUSTED = VNET_FLAG_NEEDS_CSUM | VNET_FLAG_DATA_VALID;
/** Start and offset of a partial checksum, little endian in one word. */
const CSUM_TCP = IP_BYTES | (TCP_OFF_SUM << 16);
const CSUM_UDP = IP_BYTES | (UDP_OFF_SUM << 16);

/** Merges the output of batches. Its fields describe the current train. */
export class Merger {
  readonly #kinds: number;
  /** Record of the first packet, or NONE. */
  #head = NONE;
  #count = 0;
  /** Bytes of the IPv4 and transport headers. */
  #headers = 0;
  /** Payload of every packet but the last. */
  #size = 0;
  /** Where the next payload goes. */
  #end = 0;
  /** Step of the identification: 1, or 0 for datagrams that are never fragmented. */
  #step = 1;
  /** The last packet ends the train. */
  #isFull = false;

  constructor(kinds: number) {
    this.#kinds = kinds;
  }

  /** Merges what `run` has forwarded. Merged packets keep their records, as VERDICT_MERGED. */
  run(d: Datapath, b: Batch): void {
    if (this.#kinds === 0) return;
    const { p } = b;
    this.#head = NONE;
    for (let r = 0; r < b.count * P_WORDS; r += P_WORDS) {
      const verdict = p[r | P_VERDICT]!;
      if (verdict < 0 || verdict > VERDICT_REPLY) continue; // Not written.
      const headers = verdict === VERDICT_FORWARD ? headersOf(b, r, this.#kinds) : 0;
      if (headers !== 0 && this.#fits(b, r, headers)) this.#add(b, r);
      else {
        this.#finish(d, b);
        this.#begin(b, r, headers);
      }
    }
    this.#finish(d, b);
  }

  #begin(b: Batch, r: number, headers: number): void {
    this.#head = headers === 0 ? NONE : r;
    if (headers === 0) return;
    const { p, view } = b;
    const start = p[r | P_START]!;
    const bytes = p[r | P_LENGTH]!;
    const tcp = start + VNET_HEADER_BYTES + IP_BYTES;
    this.#headers = headers;
    this.#size = bytes - VNET_HEADER_BYTES - headers;
    this.#end = start + bytes;
    this.#count = 1;
    this.#isFull = isTcp(headers) && (view.getUint8(tcp + TCP_OFF_FLAGS) & TCP_FLAG_PSH) !== 0;
  }

  /** True if packet `r` continues the train. */
  #fits(b: Batch, r: number, headers: number): boolean {
    if (this.#head === NONE || this.#isFull || headers !== this.#headers) return false;
    const { p, view } = b;
    const first = p[this.#head | P_START]! + VNET_HEADER_BYTES;
    const ip = p[r | P_START]! + VNET_HEADER_BYTES;
    const payload = p[r | P_LENGTH]! - VNET_HEADER_BYTES - headers;
    const w1 = view.getInt32(first + IP4_OFF_ID);
    const v1 = view.getInt32(ip + IP4_OFF_ID);
    if (
      // Compares ports first: they differ for most flows. Then addresses; version, header length,
      // TOS; TTL and protocol; "don't fragment".
      view.getInt32(ip + IP_BYTES) !== view.getInt32(first + IP_BYTES) ||
      view.getInt32(ip + IP4_OFF_SRC) !== view.getInt32(first + IP4_OFF_SRC) ||
      view.getInt32(ip + IP4_OFF_DST) !== view.getInt32(first + IP4_OFF_DST) ||
      p[r | P_OUT] !== p[this.#head | P_OUT] ||
      payload > this.#size ||
      this.#end - first + payload > IP4_TOTAL_BYTES_MAX ||
      view.getUint16(ip) !== view.getUint16(first) ||
      view.getUint16(ip + IP4_OFF_TTL) !== view.getUint16(first + IP4_OFF_TTL) ||
      (w1 & FLAG_DF) !== (v1 & FLAG_DF)
    ) {
      return false;
    }
    const ids = ((v1 >>> 16) - (w1 >>> 16)) & 0xffff;
    const isFixed = this.#count === 1 ? ids === 0 && (w1 & FLAG_DF) !== 0 : this.#step === 0;
    if (ids !== (isFixed ? 0 : this.#count)) return false;
    if (isTcp(headers) && !this.#fitsTcp(b, first + IP_BYTES, ip + IP_BYTES)) return false;
    this.#step = isFixed ? 0 : 1;
    return true;
  }

  /** True if the next segment of the stream, with equal acknowledgement, window and options. */
  #fitsTcp({ view }: Batch, first: number, tcp: number): boolean {
    const sent = this.#end - first - (this.#headers - IP_BYTES);
    const seq = (view.getInt32(first + TCP_OFF_SEQ) + sent) | 0;
    const words = view.getInt32(first + TCP_OFF_DATA) ^ view.getInt32(tcp + TCP_OFF_DATA);
    if (
      view.getInt32(tcp + TCP_OFF_SEQ) !== seq ||
      view.getInt32(tcp + TCP_OFF_ACK) !== view.getInt32(first + TCP_OFF_ACK) ||
      (words & ~TCP_WORD_PSH) !== 0
    ) {
      return false;
    }
    // The urgent pointer, which is behind the checksum, and the options: at most 11 words.
    if (view.getUint16(tcp + TCP_OFF_SUM + 2) !== view.getUint16(first + TCP_OFF_SUM + 2))
      return false;
    for (let at = TCP_HEADER_BYTES_MIN; at < this.#headers - IP_BYTES; at += 4) {
      if (view.getInt32(tcp + at) !== view.getInt32(first + at)) return false;
    }
    return true;
  }

  /** Moves the payload of packet `r` behind the train. */
  #add(b: Batch, r: number): void {
    const { p, view } = b;
    const start = p[r | P_START]!;
    const from = start + VNET_HEADER_BYTES + this.#headers;
    const payload = start + p[r | P_LENGTH]! - from;
    this.#count++;
    this.#isFull = payload < this.#size || this.#count === TRAIN_PACKETS_MAX;
    if (isTcp(this.#headers)) {
      const tcp = start + VNET_HEADER_BYTES + IP_BYTES;
      if ((view.getUint8(tcp + TCP_OFF_FLAGS) & TCP_FLAG_PSH) !== 0) {
        // The device that splits the train sets PSH on its last segment.
        const first = p[this.#head | P_START]! + VNET_HEADER_BYTES + IP_BYTES;
        view.setUint8(first + TCP_OFF_FLAGS, view.getUint8(first + TCP_OFF_FLAGS) | TCP_FLAG_PSH);
        this.#isFull = true;
      }
    }
    b.bytes.copyWithin(this.#end, from, from + payload);
    this.#end += payload;
    p[r | P_VERDICT] = VERDICT_MERGED;
  }

  /** Gives the first packet the lengths, checksums and virtio header of the train. */
  #finish(d: Datapath, b: Batch): void {
    if (this.#head === NONE || this.#count === 1) return;
    const { p, view } = b;
    const vnet = p[this.#head | P_START]!;
    const ip = vnet + VNET_HEADER_BYTES;
    const l4 = ip + IP_BYTES;
    const total = this.#end - ip;
    const before = view.getUint16(ip + IP4_OFF_TOTAL);
    view.setUint16(ip + IP4_OFF_TOTAL, total);
    const delta = deltaOfWord(before, total);
    view.setUint16(ip + IP4_OFF_SUM, patchFull(view.getUint16(ip + IP4_OFF_SUM), delta));
    const segments = isTcp(this.#headers);
    const sum = sumPseudoHeader(
      view.getInt32(ip + IP4_OFF_SRC),
      view.getInt32(ip + IP4_OFF_DST),
      segments ? PROTO_TCP : PROTO_UDP,
      total - IP_BYTES,
    );
    view.setUint16(l4 + (segments ? TCP_OFF_SUM : UDP_OFF_SUM), sum);
    if (!segments) view.setUint16(l4 + UDP_OFF_LENGTH, total - IP_BYTES);
    view.setUint8(vnet + VNET_OFF_FLAGS, VNET_FLAG_NEEDS_CSUM);
    view.setUint8(vnet + VNET_OFF_GSO_TYPE, segments ? VNET_GSO_TCP4 : VNET_GSO_UDP_L4);
    view.setUint16(vnet + VNET_OFF_HEADERS, this.#headers, true);
    view.setUint16(vnet + VNET_OFF_GSO_SIZE, this.#size, true);
    view.setInt32(vnet + VNET_OFF_CSUM_START, segments ? CSUM_TCP : CSUM_UDP, true);
    p[this.#head | P_LENGTH] = this.#end - vnet;
    d.count(COUNT_MERGED_TRAINS);
    d.add(COUNT_MERGED_PACKETS, this.#count);
  }
}

/** Headers of a UDP train have 28 bytes, those of TCP 40 or more. */
function isTcp(headers: number): boolean {
  return headers !== IP_BYTES + UDP_HEADER_BYTES;
}

/**
 * Bytes of the headers of a packet that may be merged, 0 for any other: one that is a train itself,
 * without payload, with IP options, a fragment, with TCP flags besides ACK and PSH, or with a
 * checksum that is absent or that the kernel has not verified.
 */
function headersOf(b: Batch, r: number, kinds: number): number {
  const { p, view } = b;
  const vnet = p[r | P_START]!;
  const room = p[r | P_LENGTH]! - VNET_HEADER_BYTES;
  const ip = vnet + VNET_HEADER_BYTES;
  if (room <= IP_BYTES + UDP_HEADER_BYTES || view.getUint8(vnet + VNET_OFF_GSO_TYPE) !== 0)
    return 0;
  const flags = view.getUint8(vnet + VNET_OFF_FLAGS);
  const w0 = view.getInt32(ip);
  if (
    (flags & TRUSTED) === 0 ||
    w0 >>> 24 !== FIRST_BYTE ||
    (w0 & 0xffff) !== room ||
    (view.getInt32(ip + IP4_OFF_ID) & FRAGMENT_MASK) !== 0
  ) {
    return 0;
  }
  const proto = view.getUint8(ip + IP4_OFF_PROTO);
  const isPartial = (flags & VNET_FLAG_NEEDS_CSUM) !== 0;
  const csum = view.getInt32(vnet + VNET_OFF_CSUM_START, true);
  const l4 = ip + IP_BYTES;
  if (proto === PROTO_UDP && (kinds & MERGE_UDP) !== 0) {
    if (view.getUint16(l4 + UDP_OFF_LENGTH) !== room - IP_BYTES) return 0;
    const hasSum = isPartial ? csum === CSUM_UDP : view.getUint16(l4 + UDP_OFF_SUM) !== 0;
    return hasSum ? IP_BYTES + UDP_HEADER_BYTES : 0;
  }
  if (proto !== PROTO_TCP || (kinds & MERGE_TCP) === 0) return 0;
  if (room <= IP_BYTES + TCP_HEADER_BYTES_MIN || (isPartial && csum !== CSUM_TCP)) return 0;
  const w3 = view.getInt32(l4 + TCP_OFF_DATA);
  const headers = IP_BYTES + ((w3 >>> 26) & 0x3c);
  const isPlain = (w3 & TCP_FLAGS_MASK & ~TCP_WORD_PSH) === TCP_FLAGS_ACK;
  return isPlain && headers >= IP_BYTES + TCP_HEADER_BYTES_MIN && headers < room ? headers : 0;
}
