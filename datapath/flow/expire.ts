// How flows expire, and which one is evicted when the table is full.

import { H_FLOW_HIGH, H_HAND, H_SWEEP } from '../arena/layout.ts';
import {
  FLAG_ASSURED,
  LINE_SHIFT,
  LINE_WORDS,
  META_STATE_MASK,
  META_STATE_SHIFT,
  W_META,
  W_SEEN,
} from './line.ts';
import { STATE_CLOSE, STATE_LAST_ACK, STATE_TIME_WAIT } from './state.ts';
import type { FlowTable } from './table.ts';
import type { Timeouts } from './timeouts.ts';

/** Flows tried per eviction: with one in four unreplied, all but one search in 10^8 find one. */
const EVICT_LOOK_MAX = 64;
/**
 * 12.4 days: half of the time after which the clock, a wrapping int32, takes the past for the
 * future.
 */
const SILENCE_MAX_MS = 1 << 30;

/** ms left to a flow that is not free; not positive once it has expired. */
export function remainingMs(t: FlowTable, flow: number, now: number, timeouts: Timeouts): number {
  const at = flow << (LINE_SHIFT + 1);
  const state = (t.lines[at | W_META]! & META_STATE_MASK) >> META_STATE_SHIFT;
  const client = (now - t.lines[at | W_SEEN]!) | 0;
  const backend = (now - t.lines[at + LINE_WORDS + W_SEEN]!) | 0;
  return timeouts[state]! - Math.min(client, backend);
}

/** Removes expired flows among the next `slice` flow slots; returns their number. */
export function sweep(t: FlowTable, now: number, timeouts: Timeouts, slice: number): number {
  const high = t.header[H_FLOW_HIGH]!;
  if (high === 0) return 0;
  let flow = t.header[H_SWEEP]!;
  let gone = 0;
  const steps = Math.min(slice, high);
  for (let n = 0; n < steps; n++) {
    if (flow >= high) flow = 0;
    const used = t.lines[(flow << (LINE_SHIFT + 1)) + W_META] !== 0;
    if (used && remainingMs(t, flow, now, timeouts) <= 0) {
      t.remove(flow);
      gone++;
    } else if (used) {
      keepAgesInReach(t, flow, now);
    }
    flow++;
  }
  t.header[H_SWEEP] = flow;
  return gone;
}

/** A side that has been silent for days takes over the other side's time, or its own would wrap. */
function keepAgesInReach(t: FlowTable, flow: number, now: number): void {
  const client = (flow << (LINE_SHIFT + 1)) | W_SEEN;
  const backend = client + LINE_WORDS;
  const { lines } = t;
  const clientAge = (now - lines[client]!) | 0;
  const backendAge = (now - lines[backend]!) | 0;
  if (Math.max(clientAge, backendAge) <= SILENCE_MAX_MS) return;
  if (clientAge > backendAge) lines[client] = lines[backend]!;
  else lines[backend] = lines[client]!;
}

/**
 * Removes one unreplied, closing or expired flow, searching from H_HAND on. False if it finds none.
 */
export function evict(t: FlowTable, now: number, timeouts: Timeouts): boolean {
  const high = t.header[H_FLOW_HIGH]!;
  let flow = t.header[H_HAND]!;
  for (let n = 0; n < EVICT_LOOK_MAX && n < high; n++) {
    if (flow >= high) flow = 0;
    const meta = t.lines[(flow << (LINE_SHIFT + 1)) + W_META]!;
    if (meta !== 0 && (isEvictable(meta) || remainingMs(t, flow, now, timeouts) <= 0)) {
      t.remove(flow);
      t.header[H_HAND] = flow + 1;
      return true;
    }
    flow++;
  }
  t.header[H_HAND] = flow;
  return false;
}

function isEvictable(meta: number): boolean {
  if ((meta & FLAG_ASSURED) === 0) return true;
  const state = (meta & META_STATE_MASK) >> META_STATE_SHIFT;
  return state === STATE_TIME_WAIT || state === STATE_CLOSE || state === STATE_LAST_ACK;
}
