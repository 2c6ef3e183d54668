// A batch through the datapath. Read this file first: a packet's whole way is here, top to bottom.
//
//   touch      a likely side for every packet of the batch, in the cache          below
//   fast path  the packet that nearly all are: checked and done in one place      fast-path.ts
//   parse      any other: lengths and header checked once                         parse.ts
//   find       the side whose key is the packet's tuple                           ../flow/table.ts
//   track      hit: state, sequence numbers, age                        track.ts, track-tcp.ts
//   establish  miss: Service, endpoint, masquerade, source port                   establish.ts
//   policy     NetworkPolicy: of a new flow, of an old one when policies change   policy-check.ts
//   commit     both sides of the new flow into the table                          commit.ts
//   translate  addresses, ports, checksums, TTL                                   translate.ts
//   gateway    where each node has a public address: one to one, without a flow   gateway.ts
//   refuse     or an answer to the sender                                         refuse.ts
//   trace      what became of it, while somebody looks                            trace.ts

import { H_FLOW_HIGH, H_PROBE_ADDRESS, H_TRACE_UNTIL } from '../arena/layout.ts';
import { sweep } from '../flow/expire.ts';
import { LINE_SHIFT, NO_SIDE, W_META } from '../flow/line.ts';
import { IP4_OFF_DST, PROTO_SCTP } from '../wire/layout.ts';
// biome-ignore format: a list.
import {
  type Batch, KIND_FLOW, KIND_ICMP_ERROR, P_DST, P_FLAGS, P_HASH, P_IN, P_IP, P_KIND, P_L4, P_PORTS,
  P_PROTO, P_SIDE, P_SRC, P_VERDICT, P_WORDS, PACKET_FIRST_FRAGMENT, PORT_SPOOFED,
} from './batch.ts';
import { commit } from './commit.ts';
import type { Datapath } from './datapath.ts';
import { ESTABLISH_FLOW, ESTABLISH_PASS, ESTABLISH_PUBLIC, establish } from './establish.ts';
import { express } from './fast-path.ts';
import { datagramId, FRAGMENT_UNKNOWN } from './fragments.ts';
import { translateLaterPublic, translatePublic } from './gateway.ts';
import { translateIcmpError } from './icmp-error.ts';
import { answerProbe } from './loop-probe.ts';
import { parse } from './parse.ts';
import { JUDGED_GONE, judgeFlow, judgeNew, judgePassing } from './policy-check.ts';
import { touch } from './prefetch.ts';
import { refuse } from './refuse.ts';
import { recheck } from './revalidate.ts';
import { trace } from './trace.ts';
import { TRACK_END, TRACK_REOPEN, TRACK_STALE, track } from './track.ts';
import { giveHopBack, translate } from './translate.ts';
// biome-ignore format: a list.
import {
  COUNT_BATCHES, COUNT_FLOWS_EXPIRED, COUNT_FLOWS_REOPENED, COUNT_FLOWS_STALE, COUNT_FORWARDED,
  COUNT_FRAGMENTS, COUNT_PACKETS, DROP_FRAGMENT_LIMIT, DROP_FRAGMENT_ORPHAN, DROP_FRAGMENT_SCTP,
  DROP_SPOOFED, DROP_UNANSWERABLE, VERDICT_FORWARD, VERDICT_HELD, VERDICT_PROBE, VERDICT_REPLY,
} from './verdict.ts';

/**
 * Expiry looks at this many flow slots a tick, or at one in 64: at 10 ticks/s every flow is seen in
 * 6.4 s.
 */
const SWEEP_SLICE_MIN = 2048;
const SWEEP_SHIFT = 6;
/** At the default size all entries are seen in two minutes; it may take days. */
const AFFINITY_SLICE = 256;

/**
 * Decides about every packet of a batch and rewrites it in place; the records' verdicts say what
 * became of each. `now` is the clock in ms, as a wrapping int32.
 */
export function run(d: Datapath, b: Batch, now: number): void {
  d.now = now;
  d.refresh();
  const { p } = b;
  const { seed } = d.table;
  touch(d, b);
  const tracing = ((d.header[H_TRACE_UNTIL]! - now) | 0) > 0 && d.header[H_TRACE_UNTIL] !== 0;
  // The short way leaves nothing to tell.
  const lane = d.useExpress && !tracing;
  let forwarded = 0;
  // The count grows when a first fragment releases those that waited for it.
  for (let r = 0; r < b.count * P_WORDS; r += P_WORDS) {
    const isSpoofed = (p[r | P_IN]! & PORT_SPOOFED) !== 0;
    if (lane && !isSpoofed && express(d, b, r)) {
      forwarded++;
      continue;
    }
    parse(b, r, seed);
    let verdict = p[r | P_VERDICT]!;
    if (verdict === 0) {
      if (isSpoofed) verdict = -DROP_SPOOFED;
      else if (p[r | P_KIND] === KIND_FLOW) verdict = runFlow(d, b, r);
      else verdict = runOther(d, b, r);
      p[r | P_VERDICT] = verdict;
    }
    if (verdict === VERDICT_FORWARD) forwarded++;
    else if (verdict < 0) d.count(-verdict);
    if (tracing && verdict !== VERDICT_PROBE) trace(d, b, r, verdict);
  }
  d.add(COUNT_FORWARDED, forwarded);
  d.add(COUNT_PACKETS, b.count);
  d.count(COUNT_BATCHES);
}

/** A packet with a tuple of its own; a first fragment takes those that follow it along. */
function runFlow(d: Datapath, b: Batch, r: number): number {
  const { p } = b;
  const { table } = d;
  if ((p[r | P_FLAGS]! & PACKET_FIRST_FRAGMENT) !== 0) return runFirstFragment(d, b, r);
  const src = p[r | P_SRC]!;
  const dst = p[r | P_DST]!;
  const ports = p[r | P_PORTS]!;
  const proto = p[r | P_PROTO]!;
  const side = table.find(p[r | P_HASH]!, src, dst, ports, proto);
  p[r | P_SIDE] = side;
  if (side === NO_SIDE) return runMiss(d, b, r);
  const judged = judgeFlow(d, side);
  if (judged === JUDGED_GONE) return runAnew(d, b, r, side, TRACK_STALE);
  if (judged < 0) return judged;
  const tracked = track(d, b, r, side);
  if (tracked >= TRACK_REOPEN) return runAnew(d, b, r, side, tracked);
  translate(d, b, r, side);
  if (tracked === TRACK_END) table.remove(side >> 1);
  return VERDICT_FORWARD;
}

/** A packet that takes the place of a flow that was closed, or whose endpoint or pod is gone. */
function runAnew(d: Datapath, b: Batch, r: number, side: number, why: number): number {
  d.table.remove(side >> 1);
  d.count(why === TRACK_REOPEN ? COUNT_FLOWS_REOPENED : COUNT_FLOWS_STALE);
  return runMiss(d, b, r);
}

/** The first packet of a flow. */
function runMiss(d: Datapath, b: Batch, r: number): number {
  b.p[r | P_SIDE] = NO_SIDE;
  if (b.p[r | P_DST] === d.header[H_PROBE_ADDRESS] && answerProbe(d, b, r)) return VERDICT_PROBE;
  const decided = establish(d, b, r);
  if (decided < 0) return decided;
  if (decided === ESTABLISH_PASS) return pass(d, b, r, judgePassing(d, b, r));
  if (decided === ESTABLISH_PUBLIC) return translatePublic(d, b, r);
  if (decided !== ESTABLISH_FLOW) return refuse(d, b, r);
  const judged = judgeNew(d, b, r);
  if (judged < 0) return judged;
  const side = commit(d, b, r);
  if (side < 0) return side;
  track(d, b, r, side);
  b.p[r | P_SIDE] = side;
  translate(d, b, r, side);
  return VERDICT_FORWARD;
}

/** What needs no translation and no flow goes on as it is. */
function pass(d: Datapath, b: Batch, r: number, verdict: number): number {
  if (verdict === VERDICT_FORWARD) giveHopBack(d, b, r, b.p[r | P_SRC]!, b.p[r | P_DST]!);
  return verdict;
}

/**
 * A packet that belongs to another packet: an ICMP error to the quoted one, a fragment to its first
 * one.
 */
function runOther(d: Datapath, b: Batch, r: number): number {
  if (b.p[r | P_KIND] === KIND_ICMP_ERROR) return runError(d, b, r);
  d.count(COUNT_FRAGMENTS);
  // The first look took other bytes for ports, and what was judged last was another packet.
  b.p[r | P_SIDE] = NO_SIDE;
  d.judgement.reset();
  const verdict = d.fragments.find(b.p[r | P_SRC]!, b.p[r | P_DST]!, datagramId(b, r), d.now);
  if (verdict === FRAGMENT_UNKNOWN) return hold(d, b, r);
  if (verdict === VERDICT_REPLY) return -DROP_UNANSWERABLE;
  if (verdict < 0) return verdict;
  const { side } = d.fragments;
  if (side === NO_SIDE && d.services.gateway) return translateLaterPublic(d, b, r);
  if (side === NO_SIDE) return pass(d, b, r, verdict);
  // Where the flow is gone, this may be a new datagram with the same identification.
  if (!isThere(d, b, r, side)) return hold(d, b, r);
  b.p[r | P_SIDE] = side;
  const judged = judgeFlow(d, side);
  if (judged !== 0) return judged === JUDGED_GONE ? -DROP_FRAGMENT_ORPHAN : judged;
  translate(d, b, r, side);
  return verdict;
}

function hold(d: Datapath, b: Batch, r: number): number {
  return d.fragments.hold(b, r, d.now) ? VERDICT_HELD : -DROP_FRAGMENT_LIMIT;
}

/** True if the side that the first fragment took is still that flow's. */
function isThere(d: Datapath, b: Batch, r: number, side: number): boolean {
  const { p } = b;
  const { ports } = d.fragments;
  if (d.table.lines[(side << LINE_SHIFT) | W_META] === 0) return false;
  return d.table.matches(side, p[r | P_SRC]!, p[r | P_DST]!, ports, p[r | P_PROTO]!);
}

/** An ICMP error: to whoever sent what it quotes, or on its way unchanged. */
function runError(d: Datapath, b: Batch, r: number): number {
  const verdict = translateIcmpError(d, b, r);
  const to = b.view.getInt32(b.p[r | P_IP]! + IP4_OFF_DST);
  if (verdict === VERDICT_FORWARD) giveHopBack(d, b, r, b.p[r | P_SRC]!, to);
  return verdict;
}

/** Decides as for any packet, and lets the fragments that came before this one join the batch. */
function runFirstFragment(d: Datapath, b: Batch, r: number): number {
  const { p } = b;
  const id = datagramId(b, r); // Before a refusal overwrites it.
  p[r | P_FLAGS] = p[r | P_FLAGS]! & ~PACKET_FIRST_FRAGMENT;
  let verdict = runFlow(d, b, r);
  // The CRC is over the whole, whose length a piece does not tell: where ports changed it is wrong
  // now.
  if (verdict === VERDICT_FORWARD && p[r | P_PROTO] === PROTO_SCTP) {
    if (b.view.getInt32(p[r | P_L4]!) !== p[r | P_PORTS]) verdict = -DROP_FRAGMENT_SCTP;
  }
  d.fragments.remember(b, r, id, verdict, d.now);
  const before = b.count;
  d.fragments.release(b, p[r | P_SRC]!, p[r | P_DST]!, id);
  for (let n = before; n < b.count; n++) p[(n * P_WORDS) | P_SIDE] = NO_SIDE;
  // They were counted when they were read, and are about to be counted again.
  d.add(COUNT_PACKETS, before - b.count);
  d.add(COUNT_FRAGMENTS, before - b.count);
  return verdict;
}

/**
 * Work between batches: a bounded slice of expiry. Call it a few times a second, traffic or not.
 */
export function tick(d: Datapath, now: number): void {
  d.now = now;
  d.refresh();
  const until = d.header[H_TRACE_UNTIL]!;
  if (until !== 0 && ((until - now) | 0) <= 0) d.header[H_TRACE_UNTIL] = 0;
  const part = d.header[H_FLOW_HIGH]! >> SWEEP_SHIFT;
  const slice = Math.max(part, SWEEP_SLICE_MIN);
  const gone = sweep(d.table, now, d.timeouts, slice);
  d.counters[COUNT_FLOWS_EXPIRED] = d.counters[COUNT_FLOWS_EXPIRED]! + gone;
  recheck(d, d.header[H_FLOW_HIGH]!, slice);
  d.affinity.sweep(now, AFFINITY_SLICE);
  const orphans = d.fragments.expire(now);
  d.counters[DROP_FRAGMENT_ORPHAN] = d.counters[DROP_FRAGMENT_ORPHAN]! + orphans;
}
