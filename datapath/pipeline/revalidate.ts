// Revalidates every flow after a new image, a slice of the table per tick. A flow ends when its
// Service or pod is gone, even if it has no packets. Epochs repeat after 511 generations, so no
// flow may keep one that long.

import { LINE_SHIFT, META_PROTO_MASK, W_META } from '../flow/line.ts';
import { PROTO_UDP } from '../wire/ipv4.ts';
import type { Datapath } from './datapath.ts';
import { CHECK_GONE, needsCheck, revalidateFlow } from './policy-check.ts';
import { isStaleUdp } from './stale.ts';
import { COUNT_FLOWS_STALE } from './verdict.ts';

/** A round this many generations late takes HASTE slices at a time. */
const GENERATIONS_LATE = 200;
const HASTE = 4;

/** Revalidates the next flows, at most `slice` of the table's first `high` slots. */
export function revalidate(d: Datapath, high: number, slice: number): void {
  const { services, policy } = d;
  if (services.generation !== d.revalidateGeneration) {
    d.revalidateGeneration = services.generation;
    d.revalidateLeft = high;
  }
  // Frequent policy changes must not overtake a round through a large table.
  const changed = policy.generation !== d.roundSince;
  const behind = changed && policy.generation - d.checkedSince > GENERATIONS_LATE;
  const steps = Math.min(behind ? slice * HASTE : slice, d.revalidateLeft);
  d.revalidateLeft -= steps;
  for (let n = 0; n < steps; n++) {
    if (d.revalidateAt >= high) {
      d.revalidateAt = 0;
      d.checkedSince = d.roundSince;
      d.roundSince = policy.generation;
    }
    if (isOver(d, d.revalidateAt)) {
      d.table.remove(d.revalidateAt);
      d.count(COUNT_FLOWS_STALE);
    }
    d.revalidateAt++;
  }
  if (d.revalidateLeft > 0) return;
  d.checkedSince = policy.generation;
  d.roundSince = policy.generation;
}

function isOver(d: Datapath, flow: number): boolean {
  const at = flow << (LINE_SHIFT + 1);
  const meta = d.lines[at | W_META]!;
  if (meta === 0) return false;
  if ((meta & META_PROTO_MASK) === PROTO_UDP && isStaleUdp(d, at)) return true;
  return needsCheck(d, flow << 1) && revalidateFlow(d, flow) === CHECK_GONE;
}
