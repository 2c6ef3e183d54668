// Entry of a measuring process: `process.ts hit|new FLOWS`. A process of its own for each point, so that what V8 learned
// at one does not colour the next. Prints ns a packet.
import { strict as assert } from 'node:assert';
import { H_FLOW_COUNT } from '../../../datapath/arena/layout.ts';
import { COUNT_FORWARDED } from '../../../datapath/pipeline/verdict.ts';
import { warmUp } from '../../../datapath/worker/warm-up.ts';
import { BATCH, World } from './world.ts';

/** Packets timed at once: long against the clock, short against the disturbances of a shared machine. */
const SLICE_PACKETS = 640_000;
const SLICES = 40;
const NEW_FLOWS = 200_000;

/** ns a packet of established connections, without what filling the batch costs; the best of some slices. */
function measureHit(flows: number): number {
  const world = new World(flows);
  const { counters } = world.d;
  let best = Number.POSITIVE_INFINITY;
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
    best = Math.min(best, ((both - filling) * 1e6) / SLICE_PACKETS);
    from += SLICE_PACKETS;
  }
  return best;
}

/** ns for the first packet of a connection, into a table that holds so many already. */
function measureNew(flows: number): number {
  const world = new World(flows, 1 << 21);
  let best = Number.POSITIVE_INFINITY;
  let next = flows;
  for (let slice = 0; slice < 4; slice++) {
    const begun = performance.now();
    for (let n = 0; n < NEW_FLOWS; n += BATCH) world.runNew(next + n);
    const both = performance.now() - begun;
    const again = performance.now();
    for (let n = 0; n < NEW_FLOWS; n += BATCH) world.fillNew(next + n);
    best = Math.min(best, ((both - (performance.now() - again)) * 1e6) / NEW_FLOWS);
    next += NEW_FLOWS;
  }
  assert.equal(world.d.header[H_FLOW_COUNT], next, 'every packet made a flow');
  return best;
}

// As the worker does.
warmUp();
const [what, flows] = process.argv.slice(2) as [string, string];
const ns = what === 'hit' ? measureHit(Number(flows)) : measureNew(Number(flows));
console.log(ns.toFixed(2));
