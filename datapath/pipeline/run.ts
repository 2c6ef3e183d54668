// A batch through the pipeline. Read this file first: it has the stages in their order.
//
//   enter      at a pod's port: checks the source, takes a hop              ports.ts
//   prefetch   reads index slots and flow lines of the whole batch          prefetch.ts
//   fast path  does the next stages at once for a plain TCP segment         fast-path.ts
//   parse      checks every length and the IPv4 header once                 parse.ts
//   find       finds the side whose key is the packet's tuple               ../flow/table.ts
//   track      on a hit: state, sequence numbers, age                       track.ts, track-tcp.ts
//   establish  on a miss: Service, endpoint, masquerade, source port        establish.ts
//   policy     checks NetworkPolicies for a new flow, and when they change  policy-check.ts
//   commit     puts both sides of a new flow into the table                 commit.ts
//   translate  rewrites addresses, ports, checksums, TTL                    translate.ts
//   gateway    on a gateway: translates one to one, without a flow          gateway.ts
//   refuse     makes the answer to a refused packet                         refuse.ts
//   leave      chooses the port that a forwarded packet leaves by           ports.ts
//   path MTU   answers a packet that is too large for a pod's port          path-mtu.ts
//   trace      records what became of the packet, on request                trace.ts

import { H_FLOW_HIGH, H_PROBE_ADDRESS, H_TRACE_UNTIL } from '../arena/layout.ts';
import { sweep } from '../flow/expire.ts';
import { LINE_SHIFT, NO_SIDE, W_META } from '../flow/line.ts';
import { IP4_OFF_DST, PROTO_SCTP } from '../wire/ipv4.ts';
// biome-ignore format: a list.
import {
  type Batch, KIND_FLOW, KIND_ICMP_ERROR, P_DST, P_FLAGS, P_HASH, P_IP, P_KIND, P_L4, P_PORTS,
  P_PROTO, P_SIDE, P_SRC, P_VERDICT, P_WORDS, PACKET_FIRST_FRAGMENT,
} from './batch.ts';
import { commit } from './commit.ts';
import type { Datapath } from './datapath.ts';
import { ESTABLISH_FLOW, ESTABLISH_PASS, ESTABLISH_PUBLIC, establish } from './establish.ts';
import { takeFastPath } from './fast-path.ts';
import { datagramId, FRAGMENT_UNKNOWN } from './fragments.ts';
import { translateLaterPublic, translatePublic } from './gateway.ts';
import { translateIcmpError } from './icmp-error.ts';
import { answerProbe } from './loop-probe.ts';
import { parse } from './parse.ts';
import { answerTooLarge } from './path-mtu.ts';
import { CHECK_GONE, checkFlow, checkNew, checkPassing } from './policy-check.ts';
import { ENTER_PASS, enterAll, leave } from './ports.ts';
import { prefetch } from './prefetch.ts';
import { expire, refuse } from './refuse.ts';
import { revalidate } from './revalidate.ts';
import { trace } from './trace.ts';
import { TRACK_END, TRACK_REOPEN, TRACK_STALE, track } from './track.ts';
import { giveHopBack, translate } from './translate.ts';
// biome-ignore format: a list.
import {
  COUNT_BATCHES, COUNT_FLOWS_EXPIRED, COUNT_FLOWS_REOPENED, COUNT_FLOWS_STALE, COUNT_FORWARDED,
  COUNT_FRAGMENTS, COUNT_PACKETS, DROP_FRAGMENT_LIMIT, DROP_FRAGMENT_ORPHAN, DROP_FRAGMENT_SCTP,
  DROP_UNANSWERABLE, VERDICT_FORWARD, VERDICT_HELD, VERDICT_PROBE, VERDICT_REPLY,
} from './verdict.ts';

/** Flow slots per tick: this many, or one in 64, so that a round takes at most 6.4 s. */
const SWEEP_SLICE_MIN = 2048;
const SWEEP_SHIFT = 6;
/** A round takes two minutes at the default size. Entries may live for days. */
const AFFINITY_SLICE = 256;

/**
 * Takes every packet of a batch through the stages and rewrites it in place. The verdict is in its
 * record. `now` is the clock in ms, as a wrapping int32.
 */
export function run(d: Datapath, b: Batch, now: number): void {
  d.now = now;
  d.refresh();
  enterAll(d.ports, b, 0);
  prefetch(d, b);
  const tracing = ((d.header[H_TRACE_UNTIL]! - now) | 0) > 0 && d.header[H_TRACE_UNTIL] !== 0;
  // The fast path writes nothing that a trace could read.
  const isFast = d.useFastPath && !tracing;
  const isRouted = d.ports.count > 0;
  let forwarded = 0;
  // The count grows when a first fragment releases later ones that waited.
  for (let r = 0; r < b.count * P_WORDS; r += P_WORDS) {
    if (isFast) {
      const next = takeFastPath(d, b, r);
      forwarded += isRouted ? leaveAll(d, b, r, next) : (next - r) / P_WORDS;
      if (next >= b.count * P_WORDS) break;
      r = next;
    }
    let verdict = runStages(d, b, r);
    if (verdict === VERDICT_FORWARD) {
      if (!isRouted || leave(d.ports, b, r)) forwarded++;
      else verdict = answerLarge(d, b, r);
    } else if (verdict < 0) d.count(-verdict);
    if (tracing && verdict !== VERDICT_PROBE) trace(d, b, r, verdict);
  }
  d.add(COUNT_FORWARDED, forwarded);
  d.add(COUNT_PACKETS, b.count);
  d.count(COUNT_BATCHES);
}

/** Answers a packet that is too large for its port, or drops it. */
function answerLarge(d: Datapath, b: Batch, r: number): number {
  const verdict = answerTooLarge(d, b, r);
  b.p[r | P_VERDICT] = verdict;
  if (verdict < 0) d.count(-verdict);
  else leave(d.ports, b, r);
  return verdict;
}

/** Packets from record `from` up to `end` leave: the number of those that fit their ports. */
function leaveAll(d: Datapath, b: Batch, from: number, end: number): number {
  let count = 0;
  for (let r = from; r < end; r += P_WORDS) {
    if (leave(d.ports, b, r)) count++;
    else answerLarge(d, b, r);
  }
  return count;
}

/** Takes a packet through the stages behind the fast path. Its verdict, as in its record. */
function runStages(d: Datapath, b: Batch, r: number): number {
  const { p } = b;
  const entered = p[r | P_VERDICT]!;
  parse(b, r, d.table.seed);
  let verdict = p[r | P_VERDICT]!;
  if (verdict !== 0) return verdict;
  if (entered !== ENTER_PASS) verdict = entered < 0 ? entered : expire(d, b, r);
  else if (p[r | P_KIND] === KIND_FLOW) verdict = runFlow(d, b, r);
  else verdict = runOther(d, b, r);
  p[r | P_VERDICT] = verdict;
  return verdict;
}

/** A packet that has ports: alone or as a first fragment. */
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
  const checked = checkFlow(d, side);
  if (checked === CHECK_GONE) return runReplaced(d, b, r, side, TRACK_STALE);
  if (checked < 0) return checked;
  const tracked = track(d, b, r, side);
  if (tracked >= TRACK_REOPEN) return runReplaced(d, b, r, side, tracked);
  translate(d, b, r, side);
  if (tracked === TRACK_END) table.remove(side >> 1);
  return VERDICT_FORWARD;
}

/** A packet whose flow is closed, or has lost its endpoint or its pod: it starts a new flow. */
function runReplaced(d: Datapath, b: Batch, r: number, side: number, why: number): number {
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
  if (decided === ESTABLISH_PASS) return pass(d, b, r, checkPassing(d, b, r));
  if (decided === ESTABLISH_PUBLIC) return translatePublic(d, b, r);
  if (decided !== ESTABLISH_FLOW) return refuse(d, b, r);
  const checked = checkNew(d, b, r);
  if (checked < 0) return checked;
  const side = commit(d, b, r);
  if (side < 0) return side;
  track(d, b, r, side);
  b.p[r | P_SIDE] = side;
  translate(d, b, r, side);
  return VERDICT_FORWARD;
}

/** Lets a packet pass that needs no translation and no flow. */
function pass(d: Datapath, b: Batch, r: number, verdict: number): number {
  if (verdict === VERDICT_FORWARD) giveHopBack(d, b, r, b.p[r | P_SRC]!, b.p[r | P_DST]!);
  return verdict;
}

/**
 * Runs a packet whose verdict depends on another packet: an ICMP error (on the packet it quotes),
 * or a later fragment (on the first fragment).
 */
function runOther(d: Datapath, b: Batch, r: number): number {
  if (b.p[r | P_KIND] === KIND_ICMP_ERROR) return runError(d, b, r);
  d.count(COUNT_FRAGMENTS);
  // Prefetch read other bytes as ports. The last policy check was of another packet.
  b.p[r | P_SIDE] = NO_SIDE;
  d.policyVerdict.reset();
  const verdict = d.fragments.find(b.p[r | P_SRC]!, b.p[r | P_DST]!, datagramId(b, r), d.now);
  if (verdict === FRAGMENT_UNKNOWN) return hold(d, b, r);
  if (verdict === VERDICT_REPLY) return -DROP_UNANSWERABLE;
  if (verdict < 0) return verdict;
  const { side } = d.fragments;
  if (side === NO_SIDE && d.services.gateway) return translateLaterPublic(d, b, r);
  if (side === NO_SIDE) return pass(d, b, r, verdict);
  // If the flow is gone, this may be a new datagram with the same identification.
  if (!isThere(d, b, r, side)) return hold(d, b, r);
  b.p[r | P_SIDE] = side;
  const checked = checkFlow(d, side);
  if (checked !== 0) return checked === CHECK_GONE ? -DROP_FRAGMENT_ORPHAN : checked;
  translate(d, b, r, side);
  return verdict;
}

function hold(d: Datapath, b: Batch, r: number): number {
  return d.fragments.hold(b, r, d.now) ? VERDICT_HELD : -DROP_FRAGMENT_LIMIT;
}

/** True if the side of the first fragment still belongs to the same flow. */
function isThere(d: Datapath, b: Batch, r: number, side: number): boolean {
  const { p } = b;
  const { ports } = d.fragments;
  if (d.table.lines[(side << LINE_SHIFT) | W_META] === 0) return false;
  return d.table.matches(side, p[r | P_SRC]!, p[r | P_DST]!, ports, p[r | P_PROTO]!);
}

/** An ICMP error: translated for the sender of its quote, or passed unchanged. */
function runError(d: Datapath, b: Batch, r: number): number {
  const verdict = translateIcmpError(d, b, r);
  const to = b.view.getInt32(b.p[r | P_IP]! + IP4_OFF_DST);
  if (verdict === VERDICT_FORWARD) giveHopBack(d, b, r, b.p[r | P_SRC]!, to);
  return verdict;
}

/** Runs a first fragment, and adds the later ones that waited for it to the batch. */
function runFirstFragment(d: Datapath, b: Batch, r: number): number {
  const { p } = b;
  const id = datagramId(b, r); // Before a refusal overwrites it.
  p[r | P_FLAGS] = p[r | P_FLAGS]! & ~PACKET_FIRST_FRAGMENT;
  let verdict = runFlow(d, b, r);
  // SCTP's CRC covers the whole datagram, which is not here: a new port would make it wrong.
  if (verdict === VERDICT_FORWARD && p[r | P_PROTO] === PROTO_SCTP) {
    if (b.view.getInt32(p[r | P_L4]!) !== p[r | P_PORTS]) verdict = -DROP_FRAGMENT_SCTP;
  }
  d.fragments.remember(b, r, id, verdict, d.now);
  const before = b.count;
  d.fragments.release(b, p[r | P_SRC]!, p[r | P_DST]!, id);
  enterAll(d.ports, b, before * P_WORDS);
  for (let n = before; n < b.count; n++) p[(n * P_WORDS) | P_SIDE] = NO_SIDE;
  // They were counted when they were read, and this batch counts them again.
  d.add(COUNT_PACKETS, before - b.count);
  d.add(COUNT_FRAGMENTS, before - b.count);
  return verdict;
}

/** Work between batches: bounded slices of expiry and revalidation, ten times a second. */
export function tick(d: Datapath, now: number): void {
  d.now = now;
  d.refresh();
  const until = d.header[H_TRACE_UNTIL]!;
  if (until !== 0 && ((until - now) | 0) <= 0) d.header[H_TRACE_UNTIL] = 0;
  const part = d.header[H_FLOW_HIGH]! >> SWEEP_SHIFT;
  const slice = Math.max(part, SWEEP_SLICE_MIN);
  const gone = sweep(d.table, now, d.timeouts, slice);
  d.counters[COUNT_FLOWS_EXPIRED] = d.counters[COUNT_FLOWS_EXPIRED]! + gone;
  revalidate(d, d.header[H_FLOW_HIGH]!, slice);
  d.affinity.sweep(now, AFFINITY_SLICE);
  const orphans = d.fragments.expire(now);
  d.counters[DROP_FRAGMENT_ORPHAN] = d.counters[DROP_FRAGMENT_ORPHAN]! + orphans;
}
