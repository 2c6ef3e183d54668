// TCP as the kernel tracks it: net/netfilter/nf_conntrack_proto_tcp.c. A table has the state
// changes. This file has the rest: segments that pass without counting and their answers, which
// RSTs count, and when a SYN opens a new connection.

// biome-ignore format: a list.
import {
  FLAG_ASSURED, FLAG_REPLIED, FLAG_TURN, LINE_SHIFT, LINE_WORDS, META_RECENT_MASK,
  META_RECENT_SHIFT, META_STATE_MASK, META_STATE_SHIFT, META_TCP_MASK, RECENT_ACK, RECENT_ACK_BACK,
  RECENT_OTHER, RECENT_RST, RECENT_RST_BACK, RECENT_SYN, RECENT_SYN_BACK, RECENT_SYN_LATE, W_ACK,
  W_META, W_PACKETS, W_RECENT_ACK, W_RECENT_END, W_SEQ_END,
} from '../flow/line.ts';
// biome-ignore format: a list.
import {
  MOVE_IGNORE, MOVE_NONE, MOVE_REOPEN, moveTcp, STATE_CLOSE, STATE_ESTABLISHED, STATE_FIN_WAIT,
  STATE_LAST_ACK, STATE_SYN_RECV, STATE_SYN_SENT, STATE_SYN_SENT2, STATE_TIME_WAIT,
} from '../flow/state.ts';
import {
  TCP_FLAG_ACK,
  TCP_FLAG_FIN,
  TCP_FLAG_RST,
  TCP_FLAG_SYN,
  TCP_OFF_ACK,
  TCP_OFF_DATA,
  TCP_OFF_SEQ,
} from '../wire/tcp.ts';
import { type Batch, P_L4, P_LENGTH, P_START } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { isStale } from './stale.ts';
import { COUNT_RST_IMPLAUSIBLE } from './verdict.ts';

const SYN_ACK = TCP_FLAG_SYN | TCP_FLAG_ACK;
const EVENTFUL = TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST;
/** Sequence space that one segment may skip: 16 MiB, above the default windows of kernels. */
export const LEAP_MAX = 1 << 24;

/** The flow gets its full timeout again. */
const TCP_RENEWS = 0;
/** The segment passes. The flow's time left does not change. */
export const TCP_KEEPS = 1;
/** The flow gets the timeout of a closed one, until a segment renews it. */
export const TCP_SHORTENS = 2;
/** The segment passes, and then the flow is deleted. */
export const TCP_ENDS = 3;
/** A SYN in place of a closed connection. */
export const TCP_REOPENS = 4;
/** An unanswered SYN to an endpoint that is gone. */
export const TCP_STALE = 5;

/** Applies a TCP segment that hit `side` to its flow: a TCP_*. */
export function trackTcp(d: Datapath, b: Batch, r: number, side: number, flags: number): number {
  const { lines } = d.table;
  const client = (side & ~1) << LINE_SHIFT;
  const meta = lines[client | W_META]!;
  let state = (meta & META_STATE_MASK) >> META_STATE_SHIFT;
  // A repeated SYN: not the packet that made the flow.
  const again = state === STATE_SYN_SENT && (side & 1) === 0 && lines[client | W_PACKETS] !== 0;
  if (again && (flags & TCP_FLAG_SYN) !== 0 && isStale(d, client)) return TCP_STALE;
  if ((flags & TCP_FLAG_RST) !== 0) return reset(d, b, r, side, flags);
  let next = moveTcp(state, flags, side & 1);
  if (next === MOVE_NONE) return TCP_KEEPS;
  if (next === MOVE_REOPEN) {
    if (isOver(meta, side)) return TCP_REOPENS;
    next = MOVE_IGNORE;
  }
  if (next === MOVE_IGNORE) {
    if (!answersSyn(lines, b, r, side, flags)) return ignore(lines, b, r, side, flags);
    // Both ends agree on a connection that was not known here: follow it again.
    lines[((side ^ 1) << LINE_SHIFT) | W_SEQ_END] = lines[client | W_RECENT_END]!;
    state = STATE_SYN_SENT;
    next = STATE_SYN_RECV;
  }
  const isAck = (flags & EVENTFUL) === 0;
  const recent = recentOf(meta);
  if (next === STATE_TIME_WAIT && state === STATE_LAST_ACK && isAck) {
    // The backend challenges a SYN (RFC 5961 4). It does not acknowledge a FIN.
    if (recent === RECENT_SYN_LATE && (side & 1) === 1) {
      setState(lines, side, bitsOf(state, RECENT_SYN) | (meta & FLAG_TURN), 0);
      return TCP_KEEPS;
    }
  }
  const simultaneous = next === STATE_SYN_RECV && isAck && (meta & FLAG_TURN) !== 0;
  if (simultaneous && (side & 1) === 1) next = STATE_ESTABLISHED;
  learn(lines, b, r, side, flags);
  return accept(lines, side, flags, state, next);
}

/** An RST closes the flow, shortens its time, or passes without effect. */
function reset(d: Datapath, b: Batch, r: number, side: number, flags: number): number {
  const { lines } = d.table;
  const meta = lines[(side << LINE_SHIFT) | W_META]!;
  const state = (meta & META_STATE_MASK) >> META_STATE_SHIFT;
  const next = stateAfterReset(lines, b, r, side, flags);
  if (next === MOVE_NONE) {
    d.count(COUNT_RST_IMPLAUSIBLE);
    return TCP_KEEPS;
  }
  // Delete a connection that was refused at once.
  if ((meta & FLAG_REPLIED) === 0) return TCP_ENDS;
  const recent = (side & 1) === 0 ? RECENT_RST : RECENT_RST_BACK;
  const turn = state === next || isClosing(state) ? meta & FLAG_TURN : 0;
  setState(lines, side, bitsOf(next, recent) | turn, 0);
  return next === STATE_CLOSE ? TCP_RENEWS : TCP_SHORTENS;
}

/**
 * STATE_CLOSE; the present state for an RST in the window but not exact; or MOVE_NONE. After both
 * ends have closed, any RST counts. Before that it counts if it answers a segment that passed, or
 * if its sequence lies between the peer's acknowledgement and the sender's next byte. An RST that
 * answers a segment carries the former, one that aborts the latter (RFC 9293 3.5.2, RFC 5961 3.2).
 * Until the peer has sent a segment, the RST must acknowledge the SYN.
 */
function stateAfterReset(
  lines: Int32Array,
  b: Batch,
  r: number,
  side: number,
  flags: number,
): number {
  const at = side << LINE_SHIFT;
  const peer = (side ^ 1) << LINE_SHIFT;
  const client = (side & ~1) << LINE_SHIFT;
  const meta = lines[at | W_META]!;
  const state = (meta & META_STATE_MASK) >> META_STATE_SHIFT;
  if (state >= STATE_LAST_ACK && state <= STATE_CLOSE) return STATE_CLOSE;
  const recent = recentOf(meta);
  const l4 = b.p[r | P_L4]!;
  const seq = b.view.getInt32(l4 + TCP_OFF_SEQ);
  const ack = b.view.getInt32(l4 + TCP_OFF_ACK);
  const isSyn = recent === RECENT_SYN || recent === RECENT_SYN_BACK || recent === RECENT_SYN_LATE;
  const isAck = recent === RECENT_ACK || recent === RECENT_ACK_BACK;
  const answerable =
    (isSyn && (meta & FLAG_REPLIED) !== 0) || (isAck && (meta & FLAG_ASSURED) === 0);
  const answers = (flags & TCP_FLAG_ACK) !== 0 && ack === lines[client | W_RECENT_END];
  if (answerable && answers) return STATE_CLOSE;
  const sent = lines[at | W_SEQ_END]!;
  if (state === STATE_SYN_SENT) {
    const challenged =
      recent === RECENT_ACK_BACK && seq === lines[(client + LINE_WORDS) | W_RECENT_ACK];
    const fits =
      (side & 1) === 0
        ? seq === sent || challenged
        : (flags & TCP_FLAG_ACK) !== 0 && ack === lines[peer | W_SEQ_END];
    return fits ? STATE_CLOSE : MOVE_NONE;
  }
  const acked = lines[peer | W_ACK]!;
  if (seq === acked || seq === sent) return STATE_CLOSE;
  if (((seq - acked) | 0) < 0 || ((seq - sent) | 0) > 0) return MOVE_NONE;
  // In the window but not exact: the peer challenges it, and the answer renews the flow.
  const isEnough = state !== STATE_ESTABLISHED || (meta & FLAG_ASSURED) === 0 || isSyn;
  return isEnough ? STATE_CLOSE : state;
}

/** True if a SYN of `side` may replace the connection: a FIN or this side's RST closed it. */
function isOver(meta: number, side: number): boolean {
  const recent = (side & 1) === 0 ? RECENT_RST : RECENT_RST_BACK;
  return (meta & FLAG_TURN) !== 0 || recentOf(meta) === recent;
}

/** True for a SYN-ACK that acknowledges a SYN of the peer that passed without counting. */
function answersSyn(lines: Int32Array, b: Batch, r: number, side: number, flags: number): boolean {
  if ((flags & SYN_ACK) !== SYN_ACK) return false;
  const client = (side & ~1) << LINE_SHIFT;
  const recent = recentOf(lines[client | W_META]!);
  const byPeer =
    (side & 1) === 0
      ? recent === RECENT_SYN_BACK
      : recent === RECENT_SYN || recent === RECENT_SYN_LATE;
  return byPeer && b.view.getInt32(b.p[r | P_L4]! + TCP_OFF_ACK) === lines[client | W_RECENT_END];
}

/** Remembers, until the next segment, one that does not count but may be right for its receiver. */
function ignore(lines: Int32Array, b: Batch, r: number, side: number, flags: number): number {
  const client = (side & ~1) << LINE_SHIFT;
  const meta = lines[client | W_META]!;
  const state = (meta & META_STATE_MASK) >> META_STATE_SHIFT;
  let turn = meta & FLAG_TURN;
  let recent = recentFor(flags, side);
  if (recent === RECENT_SYN) {
    if (state === STATE_LAST_ACK) recent = RECENT_SYN_LATE;
    if (state === STATE_SYN_RECV) turn = 0;
  }
  if (recent === RECENT_ACK && state === STATE_SYN_SENT) {
    recent = RECENT_ACK_BACK;
    lines[(client + LINE_WORDS) | W_RECENT_ACK] = b.view.getInt32(b.p[r | P_L4]! + TCP_OFF_ACK);
  }
  lines[client | W_RECENT_END] = endOf(b, r, flags);
  setState(lines, side, bitsOf(state, recent) | turn, (side & 1) !== 0 ? FLAG_REPLIED : 0);
  return TCP_KEEPS;
}

/** Records the sequence numbers of a segment that counts. */
function learn(lines: Int32Array, b: Batch, r: number, side: number, flags: number): void {
  const at = side << LINE_SHIFT;
  if ((flags & TCP_FLAG_SYN) === 0) {
    advance(lines, at, b, r, flags);
    if ((flags & TCP_FLAG_FIN) === 0) {
      lines[((side & ~1) << LINE_SHIFT) | W_RECENT_END] = endOf(b, r, flags);
    }
    return;
  }
  // A SYN or SYN-ACK starts this side's sequence: earlier numbers are void. Nothing is acknowledged
  // yet, and the peer's first acknowledgement must not count as a leap.
  const l4 = b.p[r | P_L4]!;
  lines[at | W_SEQ_END] = endOf(b, r, flags);
  lines[((side ^ 1) << LINE_SHIFT) | W_ACK] = b.view.getInt32(l4 + TCP_OFF_SEQ);
  if ((flags & TCP_FLAG_ACK) !== 0) lines[at | W_ACK] = b.view.getInt32(l4 + TCP_OFF_ACK);
}

/** Moves from `state` to `next`; the result is the effect on the flow's time. */
function accept(
  lines: Int32Array,
  side: number,
  flags: number,
  state: number,
  next: number,
): number {
  const meta = lines[(side << LINE_SHIFT) | W_META]!;
  let more = (side & 1) !== 0 ? FLAG_REPLIED : 0;
  const replied = (meta & FLAG_REPLIED) !== 0;
  if (next === STATE_ESTABLISHED && (replied || more !== 0)) more |= FLAG_ASSURED;
  const turn = turnOf(state, next, meta & FLAG_TURN);
  setState(lines, side, bitsOf(next, recentFor(flags, side)) | turn, more);
  // A client that repeats its SYN must not keep its flow, and so an endpoint that does not answer.
  const unanswered = !replied && state === STATE_SYN_SENT && (flags & SYN_ACK) === TCP_FLAG_SYN;
  return unanswered ? TCP_KEEPS : TCP_RENEWS;
}

function turnOf(state: number, next: number, turn: number): number {
  if (next === STATE_SYN_SENT2) return FLAG_TURN;
  if (next === STATE_FIN_WAIT && state !== STATE_FIN_WAIT) return FLAG_TURN;
  if (next === STATE_SYN_RECV) return state === STATE_SYN_SENT ? 0 : turn;
  return isClosing(state) ? turn : 0;
}

function isClosing(state: number): boolean {
  return state >= STATE_FIN_WAIT && state <= STATE_CLOSE;
}

function recentOf(meta: number): number {
  return (meta & META_RECENT_MASK) >> META_RECENT_SHIFT;
}

/** The RECENT_* for a segment. */
function recentFor(flags: number, side: number): number {
  if ((flags & EVENTFUL) === 0) return RECENT_ACK;
  if ((flags & SYN_ACK) !== TCP_FLAG_SYN) return RECENT_OTHER;
  return (side & 1) === 0 ? RECENT_SYN : RECENT_SYN_BACK;
}

function bitsOf(state: number, recent: number): number {
  return (state << META_STATE_SHIFT) | (recent << META_RECENT_SHIFT);
}

/** The sequence number after the segment: data, SYN and FIN count. */
function endOf(b: Batch, r: number, flags: number): number {
  const l4 = b.p[r | P_L4]!;
  const end = b.p[r | P_START]! + b.p[r | P_LENGTH]!;
  const headerBytes = (b.view.getUint8(l4 + TCP_OFF_DATA) >>> 4) << 2;
  const bytes = end - l4 - headerBytes + (flags & TCP_FLAG_FIN) + ((flags & TCP_FLAG_SYN) >> 1);
  return (b.view.getInt32(l4 + TCP_OFF_SEQ) + bytes) | 0;
}

/**
 * Keeps the furthest byte sent and acknowledged, to check RSTs against. A leap beyond any window is
 * ignored: a spoofed segment must not make every RST plausible.
 */
export function advance(lines: Int32Array, at: number, b: Batch, r: number, flags: number): void {
  const seqEnd = endOf(b, r, flags);
  const sent = (seqEnd - lines[at | W_SEQ_END]!) | 0;
  if (sent > 0 && sent < LEAP_MAX) lines[at | W_SEQ_END] = seqEnd;
  if ((flags & TCP_FLAG_ACK) === 0) return;
  const ack = b.view.getInt32(b.p[r | P_L4]! + TCP_OFF_ACK);
  const acked = (ack - lines[at | W_ACK]!) | 0;
  if (acked > 0 && acked < LEAP_MAX) lines[at | W_ACK] = ack;
}

/** Writes state and flags to both lines, so that a hit reads its own line only. */
export function setState(lines: Int32Array, side: number, bits: number, more: number): void {
  const at = (side & ~1) << LINE_SHIFT;
  const peer = at + LINE_WORDS;
  lines[at | W_META] = (lines[at | W_META]! & ~META_TCP_MASK) | bits | more;
  lines[peer | W_META] = (lines[peer | W_META]! & ~META_TCP_MASK) | bits | more;
}
