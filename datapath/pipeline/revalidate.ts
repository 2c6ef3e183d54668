// After each new image every flow is looked at again, a slice of the table at a time: what a
// Service, a pod or a policy has ended goes even if no packet comes. So no flow's epoch, which
// counts to 511, is ever taken for a later one.

import { H_FLOW_HIGH } from '../arena/layout.ts';
import {
  EPOCH_SHIFT,
  EPOCHS,
  LINE_SHIFT,
  LINE_WORDS,
  META_PROTO_MASK,
  W_META,
} from '../flow/line.ts';
import { PROTO_UDP } from '../wire/layout.ts';
import type { Datapath } from './datapath.ts';
import { isUnjudged, JUDGED_GONE, judgeAgain } from './policy-check.ts';
import { isStaleUdp } from './stale.ts';
import { COUNT_FLOWS_STALE } from './verdict.ts';

/** Policies may change so often before every flow has been looked at. */
export const GENERATIONS_MAX = EPOCHS - 1;
/** As many changes as there are in one round of the search, at 50 a second, and some more. */
export const ROUND_GENERATIONS = 400;
/** When the search is so far behind it takes so many slices at a time. */
const GENERATIONS_LATE = 200;
const HASTE = 4;
const BELOW_EPOCH = (1 << EPOCH_SHIFT) - 1;

/** Looks at the next flows, at most `slice` of the `high` that there may be. */
export function recheck(d: Datapath, high: number, slice: number): void {
  const { services, policy } = d;
  if (services.generation !== d.recheckGeneration) {
    d.recheckGeneration = services.generation;
    d.recheckLeft = high;
  }
  // Policies that change all the time must not get ahead of a search through a large table.
  const changed = policy.generation !== d.roundSince;
  const behind = changed && policy.generation - d.judgedSince > GENERATIONS_LATE;
  const steps = Math.min(behind ? slice * HASTE : slice, d.recheckLeft);
  d.recheckLeft -= steps;
  for (let n = 0; n < steps; n++) {
    if (d.recheckAt >= high) {
      d.recheckAt = 0;
      d.judgedSince = d.roundSince;
      d.roundSince = policy.generation;
    }
    if (isOver(d, d.recheckAt)) {
      d.table.remove(d.recheckAt);
      d.count(COUNT_FLOWS_STALE);
    }
    d.recheckAt++;
  }
  if (d.recheckLeft > 0) return;
  d.judgedSince = policy.generation;
  d.roundSince = policy.generation;
}

function isOver(d: Datapath, flow: number): boolean {
  const at = flow << (LINE_SHIFT + 1);
  const meta = d.lines[at | W_META]!;
  if (meta === 0) return false;
  if ((meta & META_PROTO_MASK) === PROTO_UDP && isStaleUdp(d, at)) return true;
  return isUnjudged(d, flow << 1) && judgeAgain(d, flow) === JUDGED_GONE;
}

/**
 * Marks every flow as one that was judged nobody knows when: an epoch may be that of another
 * generation by now.
 */
export function forgetEpochs(d: Datapath): void {
  const { lines, table } = d;
  const sides = table.header[H_FLOW_HIGH]! * 2;
  for (let side = 0; side < sides; side++) {
    const at = side * LINE_WORDS + W_META;
    lines[at] = lines[at]! & BELOW_EPOCH;
  }
  d.judgedSince = d.policy.generation;
  d.roundSince = d.policy.generation;
}
