// Entry: runs the pipeline over established connections, and merges packets, until both are
// optimised. Then marks start and end of the steady part in V8's trace. With the argument `tun` the
// packets go from ports of pods to ports of pods.
import assert from 'node:assert/strict';
import { MERGE_TCP, MERGE_UDP, Merger } from '../../datapath/merge/merge.ts';
import { createBatch, P_VERDICT, P_WORDS } from '../../datapath/pipeline/batch.ts';
import {
  COUNT_FORWARDED,
  COUNT_MERGED_PACKETS,
  VERDICT_FORWARD,
} from '../../datapath/pipeline/verdict.ts';
import { BATCH, World } from '../bench/core/world.ts';
import { ACK, tcp4, udp4 } from '../support/packets.ts';

const WARM_UP_BATCHES = 40_000;
const STEADY_BATCHES = 40_000;

const world = new World(4096, 1 << 14);
if (process.argv[2] === 'tun') world.attachPods();
const merger = new Merger(MERGE_TCP | MERGE_UDP);
const output = createBatch();
const mergeable = Array.from({ length: BATCH }, (_, n) => {
  const options = { id: n, seq: n * 8, partial: true };
  const data = [1, 2, 3, 4, 5, 6, 7, n & 255];
  // Runs of eight datagrams and of eight segments.
  return (n & 8) === 0
    ? udp4('10.244.1.5:4000', '10.244.2.30:53', data, options)
    : tcp4('10.244.1.5:4000', '10.244.2.30:80', ACK, data, options);
});
let from = 0;

/** Fills a batch with output that merges, and merges it. */
function merge(): void {
  output.count = 0;
  for (let n = 0; n < BATCH; n++) {
    const packet = mergeable[n]!;
    const at = output.end();
    for (let i = 0; i < packet.length; i++) output.bytes[at + i] = packet[i]!;
    output.p[(n * P_WORDS) | P_VERDICT] = VERDICT_FORWARD;
    output.push(packet.length, 0);
  }
  merger.run(world.d, output);
}

function spin(batches: number): void {
  for (let n = 0; n < batches; n++) {
    world.fill(from);
    world.run();
    merge();
    from += BATCH;
  }
}

spin(WARM_UP_BATCHES);
const forwarded = world.d.counters[COUNT_FORWARDED]!;
console.log('STEADY BEGINS');
const before = world.d.counters[COUNT_MERGED_PACKETS]!;
spin(STEADY_BATCHES);
const merged = world.d.counters[COUNT_MERGED_PACKETS]! - before;
assert.equal(merged, STEADY_BATCHES * BATCH, 'every packet is merged');
const passed = world.d.counters[COUNT_FORWARDED]! - forwarded;
assert.equal(passed, STEADY_BATCHES * BATCH, 'every packet is forwarded');
console.log('STEADY ENDS');
