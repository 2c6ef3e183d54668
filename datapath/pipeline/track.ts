import * as line from '../flow/line.ts';
import * as states from '../flow/state.ts';
import { moveTcp } from '../flow/state.ts';
import * as wire from '../wire/layout.ts';
import type { Batch } from './batch.ts';
import * as batch from './batch.ts';
import type { Datapath } from './datapath.ts';
import { isStale, isStaleUdp } from './stale.ts';
import * as verdict from './verdict.ts';

// Own constants, not imported ones: see the JIT facts in ../worker/jit.ts.
// biome-ignore format: a list.
const {
  MOVE_NONE, MOVE_REOPEN, STATE_ESTABLISHED, STATE_SCTP_ESTABLISHED, STATE_SYN_SENT,
  STATE_UDP_REPLIED, STATE_UDP_STREAM,
} = states;
// biome-ignore format: a list.
const {
  PROTO_SCTP, PROTO_TCP, PROTO_UDP, TCP_FLAG_ACK, TCP_FLAG_FIN, TCP_FLAG_RST, TCP_FLAG_SYN,
  TCP_OFF_ACK, TCP_OFF_DATA, TCP_OFF_SEQ, VNET_HEADER_BYTES,
} = wire;
// biome-ignore format: a list.
const {
  FLAG_ASSURED, FLAG_REPLIED, LINE_SHIFT, LINE_WORDS, META_STATE_MASK, META_STATE_SHIFT, W_ACK,
  W_BORN, W_BYTES, W_BYTES_HIGH, W_META, W_PACKETS, W_SEEN, W_SEQ_END,
} = line;
const { P_FLAGS, P_L4, P_LENGTH, P_START } = batch;
const { COUNT_RST_IMPLAUSIBLE } = verdict;

const EVENTFUL = TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST;
/** A UDP flow that is replied to and this old counts as a stream. */
const UDP_STREAM_MS = 2000;
/** Sequence space that one segment may skip: 16 MiB, more than the windows that kernels offer by default. */
export const LEAP_MAX = 1 << 24;

/** The flow lives on. */
export const TRACK_GO = 0;
/** The packet opens a new connection over a closed one. */
export const TRACK_REOPEN = 1;

/** Its endpoint or its Service is gone: the packet begins a new flow. */
export const TRACK_STALE = 2;

/** Lets a packet that hit `side` move the flow's state, sequence numbers, age and counts. TRACK_*. */
export function track(d: Datapath, b: Batch, r: number, side: number): number {
  const { lines } = d.table;
  const at = side << LINE_SHIFT;
  const meta = lines[at | W_META]!;
  const proto = meta & 0xff;
  if (proto === PROTO_TCP) {
    const state = (meta & META_STATE_MASK) >> META_STATE_SHIFT;
    const flags = b.p[r | P_FLAGS]! & 0xff;
    // Nearly every packet of a connection ends here: established, and nothing but ACK and data.
    if (state === STATE_ESTABLISHED && (flags & EVENTFUL) === 0 && (meta & FLAG_ASSURED) !== 0) {
      advance(lines, at, b, r, flags);
    } else {
      const tracked = trackTcp(d, b, r, side, state, flags);
      if (tracked !== TRACK_GO) return tracked;
    }
  } else {
    if (proto === PROTO_UDP && (side & 1) === 0 && isStaleUdp(d, at)) return TRACK_STALE;
    if ((meta & FLAG_ASSURED) === 0 || (meta & FLAG_REPLIED) === 0) {
      trackOther(d, side, proto, meta);
    }
  }
  lines[at | W_SEEN] = d.now;
  lines[at | W_PACKETS] = (lines[at | W_PACKETS]! + 1) | 0;
  const bytes = b.p[r | P_LENGTH]! - VNET_HEADER_BYTES;
  const sum = (lines[at | W_BYTES]! + bytes) | 0;
  lines[at | W_BYTES] = sum;
  if (sum >>> 0 < bytes) lines[at | W_BYTES_HIGH] = (lines[at | W_BYTES_HIGH]! + 1) | 0;
  return TRACK_GO;
}

/** Sequence space that a segment takes: data, SYN and FIN. */
function seqLength(b: Batch, r: number, flags: number): number {
  const l4 = b.p[r | P_L4]!;
  const end = b.p[r | P_START]! + b.p[r | P_LENGTH]!;
  const headerBytes = (b.view.getUint8(l4 + TCP_OFF_DATA) >>> 4) << 2;
  return end - l4 - headerBytes + (flags & TCP_FLAG_FIN) + ((flags & TCP_FLAG_SYN) >> 1);
}

/**
 * Remembers the furthest byte sent and acknowledged; RSTs are held against them. A leap beyond any window is not
 * believed, so that a spoofed segment cannot make every RST plausible.
 */
function advance(lines: Int32Array, at: number, b: Batch, r: number, flags: number): void {
  const l4 = b.p[r | P_L4]!;
  const seqEnd = (b.view.getInt32(l4 + TCP_OFF_SEQ) + seqLength(b, r, flags)) | 0;
  const sent = (seqEnd - lines[at | W_SEQ_END]!) | 0;
  if (sent > 0 && sent < LEAP_MAX) lines[at | W_SEQ_END] = seqEnd;
  if ((flags & TCP_FLAG_ACK) === 0) return;
  const ack = b.view.getInt32(l4 + TCP_OFF_ACK);
  const acked = (ack - lines[at | W_ACK]!) | 0;
  if (acked > 0 && acked < LEAP_MAX) lines[at | W_ACK] = ack;
}

/**
 * An RST closes a flow only if its sequence lies between what the peer acknowledged and what the sender has sent:
 * one that answers a segment carries exactly that acknowledgement, one that aborts carries the sender's next byte
 * (RFC 9293 3.5.2, RFC 5961 3.2). Before the peer has spoken it must acknowledge the SYN.
 */
function isPlausibleReset(d: Datapath, b: Batch, r: number, side: number, state: number): boolean {
  const { lines } = d.table;
  const at = side << LINE_SHIFT;
  const peer = (side ^ 1) << LINE_SHIFT;
  const l4 = b.p[r | P_L4]!;
  const seq = b.view.getInt32(l4 + TCP_OFF_SEQ);
  if (state === STATE_SYN_SENT && (side & 1) === 1) {
    const hasAck = (b.p[r | P_FLAGS]! & TCP_FLAG_ACK) !== 0;
    return hasAck && b.view.getInt32(l4 + TCP_OFF_ACK) === lines[peer | W_SEQ_END];
  }
  const sent = lines[at | W_SEQ_END]!;
  if (state === STATE_SYN_SENT) return seq === sent;
  const acked = lines[peer | W_ACK]!;
  return seq === acked || (((seq - acked) | 0) > 0 && ((seq - sent) | 0) <= 0);
}

function trackTcp(
  d: Datapath,
  b: Batch,
  r: number,
  side: number,
  state: number,
  flags: number,
): number {
  const { lines } = d.table;
  const at = side << LINE_SHIFT;
  if ((flags & TCP_FLAG_RST) !== 0 && !isPlausibleReset(d, b, r, side, state)) {
    d.count(COUNT_RST_IMPLAUSIBLE);
    return TRACK_GO;
  }
  // A SYN that is sent again, its packet not the one that made the flow.
  const again = state === STATE_SYN_SENT && (side & 1) === 0 && lines[at | W_PACKETS] !== 0;
  if (again && (flags & TCP_FLAG_SYN) !== 0 && isStale(d, at)) return TRACK_STALE;
  const next = moveTcp(state, flags, side & 1);
  if (next === MOVE_REOPEN) return TRACK_REOPEN;
  if ((flags & TCP_FLAG_SYN) !== 0 && next !== MOVE_NONE) {
    // A SYN, or its answer, starts this side's sequence: whatever was held before is void. Nothing of it is
    // acknowledged yet, and the peer's first acknowledgement must not look like a leap.
    const l4 = b.p[r | P_L4]!;
    const seq = b.view.getInt32(l4 + TCP_OFF_SEQ);
    lines[at | W_SEQ_END] = (seq + seqLength(b, r, flags)) | 0;
    lines[((side ^ 1) << LINE_SHIFT) | W_ACK] = seq;
    if ((flags & TCP_FLAG_ACK) !== 0) lines[at | W_ACK] = b.view.getInt32(l4 + TCP_OFF_ACK);
  } else if ((flags & TCP_FLAG_RST) === 0) {
    advance(lines, at, b, r, flags);
  }
  if (next === MOVE_NONE) return TRACK_GO;
  let more = (side & 1) !== 0 ? FLAG_REPLIED : 0;
  const replied = (lines[at | W_META]! & FLAG_REPLIED) !== 0 || more !== 0;
  if (next === STATE_ESTABLISHED && replied) more |= FLAG_ASSURED;
  setState(lines, side, next, more);
  return TRACK_GO;
}

/** UDP, ICMP echo, SCTP and the rest: replied to or not, and for how long. */
function trackOther(d: Datapath, side: number, proto: number, meta: number): void {
  const { lines } = d.table;
  const state = (meta & META_STATE_MASK) >> META_STATE_SHIFT;
  const replied = (side & 1) !== 0 || (meta & FLAG_REPLIED) !== 0;
  if (!replied) return;
  let next = state;
  let more = FLAG_REPLIED;
  if (proto === PROTO_UDP) {
    const old = ((d.now - lines[(side << LINE_SHIFT) + W_BORN]!) | 0) >= UDP_STREAM_MS;
    next = old ? STATE_UDP_STREAM : STATE_UDP_REPLIED;
    if (old) more |= FLAG_ASSURED;
  } else if (proto === PROTO_SCTP) {
    next = STATE_SCTP_ESTABLISHED;
    more |= FLAG_ASSURED;
  }
  setState(lines, side, next, more);
}

/** State and flags stand on both lines, so that a hit reads its own line only. */
function setState(lines: Int32Array, side: number, state: number, more: number): void {
  const at = (side & ~1) << LINE_SHIFT;
  const bits = (state << META_STATE_SHIFT) | more;
  lines[at | W_META] = (lines[at | W_META]! & ~META_STATE_MASK) | bits;
  const twin = at + LINE_WORDS;
  lines[twin | W_META] = (lines[twin | W_META]! & ~META_STATE_MASK) | bits;
}
