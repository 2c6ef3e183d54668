// Applies a packet to the flow that it hit: state, time left, counts.

// biome-ignore format: a list.
import {
  FLAG_ASSURED, FLAG_REPLIED, LINE_SHIFT, LINE_WORDS, META_STATE_MASK, META_STATE_SHIFT,
  META_TCP_MASK, W_BORN, W_BYTES, W_BYTES_HIGH, W_META, W_PACKETS, W_SEEN,
} from '../flow/line.ts';
import {
  STATE_CLOSE,
  STATE_ESTABLISHED,
  STATE_SCTP_ESTABLISHED,
  STATE_UDP_REPLIED,
  STATE_UDP_STREAM,
} from '../flow/state.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { TCP_FLAG_FIN, TCP_FLAG_RST, TCP_FLAG_SYN } from '../wire/tcp.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';
import { type Batch, P_FLAGS, P_LENGTH } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { isStaleUdp } from './stale.ts';
// biome-ignore format: a list.
import {
  advance, setState, TCP_ENDS, TCP_KEEPS, TCP_REOPENS, TCP_SHORTENS, TCP_STALE, trackTcp,
} from './track-tcp.ts';

const EVENTFUL = TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST;
const ESTABLISHED = STATE_ESTABLISHED << META_STATE_SHIFT;
/** A UDP flow of this age that has a reply counts as a stream. */
const UDP_STREAM_MS = 2000;

/** The flow lives on. */
export const TRACK_GO = 0;
/** The flow ends with this packet, which is translated first. */
export const TRACK_END = 1;
/** The packet opens a new connection in place of a closed one. */
export const TRACK_REOPEN = 2;
/** The flow's endpoint or Service is gone: the packet starts a new flow. */
export const TRACK_STALE = 3;

/**
 * Applies a packet that hit `side` to the flow's state, sequence numbers, age and counts. TRACK_*.
 */
export function track(d: Datapath, b: Batch, r: number, side: number): number {
  const { lines } = d.table;
  const at = side << LINE_SHIFT;
  const meta = lines[at | W_META]!;
  const proto = meta & 0xff;
  let tracked = TRACK_GO;
  if (proto === PROTO_TCP) {
    const flags = b.p[r | P_FLAGS]! & 0xff;
    // Nearly every packet of a connection ends here: established, with ACK and data only.
    const plain = (meta & META_TCP_MASK) === ESTABLISHED && (flags & EVENTFUL) === 0;
    if (plain && (meta & FLAG_ASSURED) !== 0) {
      advance(lines, at, b, r, flags);
      lines[at | W_SEEN] = d.now;
    } else {
      const moved = trackTcp(d, b, r, side, flags);
      if (moved === TCP_REOPENS) return TRACK_REOPEN;
      if (moved === TCP_STALE) return TRACK_STALE;
      if (moved === TCP_SHORTENS) shorten(d, side);
      else if (moved !== TCP_KEEPS) lines[at | W_SEEN] = d.now;
      if (moved === TCP_ENDS) tracked = TRACK_END;
    }
  } else {
    if (proto === PROTO_UDP && (side & 1) === 0 && isStaleUdp(d, at)) return TRACK_STALE;
    if ((meta & FLAG_ASSURED) === 0 || (meta & FLAG_REPLIED) === 0) {
      trackOther(d, side, proto, meta);
    }
    lines[at | W_SEEN] = d.now;
  }
  lines[at | W_PACKETS] = (lines[at | W_PACKETS]! + 1) | 0;
  const bytes = b.p[r | P_LENGTH]! - VNET_HEADER_BYTES;
  const sum = (lines[at | W_BYTES]! + bytes) | 0;
  lines[at | W_BYTES] = sum;
  if (sum >>> 0 < bytes) lines[at | W_BYTES_HIGH] = (lines[at | W_BYTES_HIGH]! + 1) | 0;
  return tracked;
}

/** Cuts the time left to that of a closed flow, as if both sides had been silent until then. */
function shorten(d: Datapath, side: number): void {
  const { lines } = d.table;
  const client = (side & ~1) << LINE_SHIFT;
  const state = (lines[client | W_META]! & META_STATE_MASK) >> META_STATE_SHIFT;
  const silence = Math.max(d.timeouts[state]! - d.timeouts[STATE_CLOSE]!, 0);
  const seen = (d.now - silence) | 0;
  lines[client | W_SEEN] = seen;
  lines[(client + LINE_WORDS) | W_SEEN] = seen;
}

/** UDP, ICMP echo, SCTP and the rest: replied or not, and the timeout. */
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
  setState(lines, side, next << META_STATE_SHIFT, more);
}
