// A batch through the datapath. Read this file first: a packet's whole way is here, top to bottom.
//
//   parse      lengths and header checked once                                    parse.ts
//   find       the side whose key is the packet's tuple                           ../flow/table.ts
//   track      hit: state, sequence numbers, age                                  track.ts
//   establish  miss: Service, endpoint, masquerade, source port                   establish.ts
//   commit     both sides of the new flow into the table                          commit.ts
//   translate  addresses, ports, checksums, TTL                                   translate.ts
//   refuse     or an answer to the sender                                         refuse.ts

import { H_FLOW_HIGH } from '../arena/layout.ts';
import { sweep } from '../flow/expire.ts';
import { LINE_SHIFT, NO_SIDE, W_DST, W_META, W_SRC } from '../flow/line.ts';
import { type Batch, KIND_FLOW, KIND_ICMP_ERROR, PACKET_FIRST_FRAGMENT } from './batch.ts';
import { commit } from './commit.ts';
import type { Datapath } from './datapath.ts';
import { ESTABLISH_FLOW, ESTABLISH_PASS, establish } from './establish.ts';
import { datagramId, FRAGMENT_UNKNOWN } from './fragments.ts';
import { translateIcmpError } from './icmp-error.ts';
import { parse } from './parse.ts';
import { refuse } from './refuse.ts';
import { TRACK_REOPEN, track } from './track.ts';
import { translate } from './translate.ts';
import * as V from './verdict.ts';

/** Expiry looks at this many flow slots a tick, or at one in 64: at 10 ticks/s every flow is seen in 6.4 s. */
const SWEEP_SLICE_MIN = 2048;
const SWEEP_SHIFT = 6;

/**
 * Decides about every packet of a batch and rewrites it in place; `b.verdict` says what became of each. `now` is
 * the clock in ms, as a wrapping int32.
 */
export function run(d: Datapath, b: Batch, now: number): void {
  d.now = now;
  d.services.refresh();
  for (let i = 0; i < b.count; i++) {
    b.verdict[i] = parse(b, i);
    b.side[i] = NO_SIDE;
    if (b.verdict[i] === 0 && b.kind[i] === KIND_FLOW) {
      b.hash[i] = d.table.hash(b.src[i]!, b.dst[i]!, b.ports[i]!, b.proto[i]!);
    }
  }
  if (b.count > 1) touch(d, b);
  // The count grows when a first fragment releases those that waited for it.
  for (let i = 0; i < b.count; i++) {
    let verdict = b.verdict[i]!;
    if (verdict === 0) {
      if (b.kind[i] !== KIND_FLOW) verdict = runOther(d, b, i);
      else if ((b.flags[i]! & PACKET_FIRST_FRAGMENT) === 0) verdict = runFlow(d, b, i);
      else verdict = runFirstFragment(d, b, i);
      b.verdict[i] = verdict;
    }
    if (verdict <= V.VERDICT_FORWARD) d.count(verdict < 0 ? -verdict : V.COUNT_FORWARDED);
  }
  d.counters[V.COUNT_PACKETS] = d.counters[V.COUNT_PACKETS]! + b.count;
  d.count(V.COUNT_BATCHES);
}

/**
 * Reads the index slot, then the line, of every packet, so that their cache misses overlap: at a million flows a
 * look-up costs half of what it does one by one.
 */
function touch(d: Datapath, b: Batch): void {
  const { index, indexMask, sideMask, lines } = d.table;
  for (let i = 0; i < b.count; i++) b.slot[i] = index[b.hash[i]! & indexMask]!;
  for (let i = 0; i < b.count; i++) {
    const side = (b.slot[i]! & sideMask) - 1;
    // A free slot touches the first line, which is in the cache: no branch to mispredict.
    b.slot[i] = lines[Math.max(side, 0) << LINE_SHIFT]!;
  }
}

/** A packet with a tuple of its own. */
function runFlow(d: Datapath, b: Batch, i: number): number {
  const { table } = d;
  let side = table.find(b.hash[i]!, b.src[i]!, b.dst[i]!, b.ports[i]!, b.proto[i]!);
  if (side !== NO_SIDE && track(d, b, i, side) === TRACK_REOPEN) {
    table.remove(side >> 1);
    d.count(V.COUNT_FLOWS_REOPENED);
    side = NO_SIDE;
  }
  if (side === NO_SIDE) {
    const decided = establish(d, b, i);
    if (decided < 0) return decided;
    if (decided === ESTABLISH_PASS) return V.VERDICT_FORWARD;
    if (decided !== ESTABLISH_FLOW) return refuse(b, i);
    side = commit(d, b, i);
    if (side < 0) return side;
    track(d, b, i, side);
  }
  b.side[i] = side;
  translate(d, b, i, side);
  return V.VERDICT_FORWARD;
}

/** A packet that belongs to another packet: an ICMP error to the quoted one, a fragment to its first one. */
function runOther(d: Datapath, b: Batch, i: number): number {
  if (b.kind[i] === KIND_ICMP_ERROR) return translateIcmpError(d, b, i);
  d.count(V.COUNT_FRAGMENTS);
  const verdict = d.fragments.find(b.src[i]!, b.dst[i]!, datagramId(b, i), d.now);
  if (verdict === FRAGMENT_UNKNOWN) {
    return d.fragments.hold(b, i, d.now) ? V.VERDICT_HELD : -V.DROP_FRAGMENT_LIMIT;
  }
  if (verdict === V.VERDICT_REPLY) return -V.DROP_UNANSWERABLE;
  const { side } = d.fragments;
  if (verdict < 0 || side === NO_SIDE) return verdict;
  const { lines } = d.table;
  const at = side << LINE_SHIFT;
  const stillThere = lines[at + W_META] !== 0;
  if (!stillThere || lines[at + W_SRC] !== b.src[i] || lines[at + W_DST] !== b.dst[i]) {
    return -V.DROP_FRAGMENT_ORPHAN;
  }
  b.side[i] = side;
  translate(d, b, i, side);
  return verdict;
}

/** A packet with a tuple, and later fragments that follow it: those that came too early join the batch now. */
function runFirstFragment(d: Datapath, b: Batch, i: number): number {
  const id = datagramId(b, i); // Before a refusal overwrites it.
  const verdict = runFlow(d, b, i);
  d.fragments.remember(b, i, id, verdict, d.now);
  const before = b.count;
  d.fragments.release(b, b.src[i]!, b.dst[i]!, id);
  for (let n = before; n < b.count; n++) {
    b.verdict[n] = parse(b, n);
    b.side[n] = NO_SIDE;
  }
  return verdict;
}

/** Work between batches: a bounded slice of expiry. Call it a few times a second, traffic or not. */
export function tick(d: Datapath, now: number): void {
  d.now = now;
  d.services.refresh();
  const part = d.header[H_FLOW_HIGH]! >> SWEEP_SHIFT;
  const slice = Math.max(part, SWEEP_SLICE_MIN);
  const gone = sweep(d.table, now, d.timeouts, slice);
  d.counters[V.COUNT_FLOWS_EXPIRED] = d.counters[V.COUNT_FLOWS_EXPIRED]! + gone;
  const orphans = d.fragments.expire(now);
  d.counters[V.DROP_FRAGMENT_ORPHAN] = d.counters[V.DROP_FRAGMENT_ORPHAN]! + orphans;
}
