import { hashTuple } from '../flow/hash.ts';
import { LINE_BYTES_SHIFT, LINE_MASK, NO_SIDE } from '../flow/line.ts';
import { PROBES_MAX, SLOT_EMPTY } from '../flow/table.ts';
import { IP4_HEADER_BYTES_MIN, IP4_OFF_DST, IP4_OFF_PROTO, IP4_OFF_SRC } from '../wire/ipv4.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';
// biome-ignore format: a list.
import {
  type Batch, COUNT_MASK, OFFSET_MASK, P_HASH, P_SIDE, P_START, P_SUM_AT, RECORD_BYTES,
} from './batch.ts';
import type { Datapath } from './datapath.ts';

/**
 * Finds each packet's likely side by its hash and reads that side's line, pass by pass, so that the
 * cache misses of a batch overlap. That halves the cost of a look-up at a million flows. Nothing is
 * checked yet: the side of a packet that is no plain segment will not match.
 *
 * The index is searched in this function because V8 does not always inline a method of the table:
 * 60 or 117 ns a packet at 100,000 flows, by chance from start to start.
 */
export function prefetch(d: Datapath, b: Batch): void {
  const { lineView: lines } = d;
  const { index, indexMask, tagMask, sideMask, seed } = d.table;
  const { records, view } = b;
  const end = (b.count & COUNT_MASK) * RECORD_BYTES;
  for (let at = 0; at < end; at += RECORD_BYTES) {
    const ip = (records.getInt32(at + P_START * 4, true) & OFFSET_MASK) + VNET_HEADER_BYTES;
    const src = view.getInt32(ip + IP4_OFF_SRC);
    const dst = view.getInt32(ip + IP4_OFF_DST);
    const ports = view.getInt32(ip + IP4_HEADER_BYTES_MIN);
    const proto = view.getUint8(ip + IP4_OFF_PROTO);
    records.setInt32(at + P_HASH * 4, hashTuple(src, dst, ports, proto, seed), true);
  }
  // Read each slot once, for its cache line.
  let touched = 0;
  for (let at = 0; at < end; at += RECORD_BYTES) {
    touched ^= index[records.getInt32(at + P_HASH * 4, true) & indexMask]!;
  }
  // The first side whose tag agrees, nearly always the right one. No line is read.
  for (let at = 0; at < end; at += RECORD_BYTES) {
    const hash = records.getInt32(at + P_HASH * 4, true);
    let slot = hash & indexMask;
    let side = NO_SIDE;
    for (let probes = 0; probes < PROBES_MAX; probes++) {
      const entry = index[slot]!;
      if (entry === SLOT_EMPTY) break;
      if (((entry ^ hash) & tagMask) === 0) {
        side = ((entry & sideMask) - 1) | 0;
        break;
      }
      slot = (slot + 1) & indexMask;
    }
    records.setInt32(at + P_SIDE * 4, side, true);
  }
  // Without a side this reads the first line, which is in the cache. A branch could be
  // mispredicted.
  for (let at = 0; at < end; at += RECORD_BYTES) {
    const side = Math.max(records.getInt32(at + P_SIDE * 4, true), 0);
    touched ^= lines.getInt32((side << LINE_BYTES_SHIFT) & LINE_MASK, true);
  }
  // What was read must be used, or V8 leaves the reads out.
  records.setInt32(P_SUM_AT * 4, touched, true);
}
