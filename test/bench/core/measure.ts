// The cost of the pipeline for a world's packets: ns a packet, without the cost of filling the
// batch.

import { strict as assert } from 'node:assert';
import { COUNT_FORWARDED } from '../../../datapath/pipeline/verdict.ts';
import { flowCount } from '../../support/flow-count.ts';
import { SLICES } from './slices.ts';
import { BATCH, type World } from './world.ts';

/**
 * Packets in a timed slice: long compared with the clock, short compared with disturbances of a
 * shared machine.
 */
const SLICE_PACKETS = 640_000;
const NEW_FLOWS = 200_000;

/**
 * The minimum of the whole minus the minimum of the filling, in ns a packet. The minimum of the
 * difference would select a slice with a disturbed filling, and be too low.
 */
class Least {
  #both = Number.POSITIVE_INFINITY;
  #filling = Number.POSITIVE_INFINITY;

  add(bothMs: number, fillingMs: number): void {
    this.#both = Math.min(this.#both, bothMs);
    this.#filling = Math.min(this.#filling, fillingMs);
  }

  perPacket(packets: number): number {
    return ((this.#both - this.#filling) * 1e6) / packets;
  }
}

/** ns a packet of established connections, without filling the batch. */
export function measureHit(world: World): number {
  const { counters } = world.d;
  const least = new Least();
  let from = 0;
  for (let slice = 0; slice < SLICES; slice++) {
    const before = counters[COUNT_FORWARDED]!;
    const begun = performance.now();
    for (let n = 0; n < SLICE_PACKETS; n += BATCH) {
      world.fill(from + n);
      world.run();
    }
    const both = performance.now() - begun;
    assert.equal(counters[COUNT_FORWARDED]! - before, SLICE_PACKETS, 'every packet is forwarded');
    const again = performance.now();
    for (let n = 0; n < SLICE_PACKETS; n += BATCH) world.fill(from + n);
    const filling = performance.now() - again;
    least.add(both, filling);
    from += SLICE_PACKETS;
  }
  return least.perPacket(SLICE_PACKETS);
}

/** ns for the first packet of a connection, with this many connections in the table. */
export function measureNew(world: World): number {
  const least = new Least();
  let next = world.flows;
  for (let slice = 0; slice < 4; slice++) {
    const begun = performance.now();
    for (let n = 0; n < NEW_FLOWS; n += BATCH) world.runNew(next + n);
    const both = performance.now() - begun;
    const again = performance.now();
    for (let n = 0; n < NEW_FLOWS; n += BATCH) world.fillNew(next + n);
    least.add(both, performance.now() - again);
    next += NEW_FLOWS;
  }
  assert.equal(flowCount(world.d.table), next, 'every packet made a flow');
  return least.perPacket(NEW_FLOWS);
}
