// A packet that the agent sends to itself through the node's steering and the device, so that
// health knows whether packets come as far as this loop. It is answered by a word of the arena, and
// leaves no other trace.

import { H_PROBE_KEY, H_PROBE_SEEN, PROBE_BYTES } from '../arena/layout.ts';
import { PROTO_UDP, UDP_HEADER_BYTES } from '../wire/layout.ts';
import { type Batch, P_L4, P_LENGTH, P_PROTO, P_START } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { COUNT_PACKETS } from './verdict.ts';

/**
 * True for a probe, which is answered hereby. The key is random and known to this agent alone, so
 * that no other sender can make a datapath look well. A packet to the same address without it takes
 * the ordinary way.
 */
export function answerProbe(d: Datapath, b: Batch, r: number): boolean {
  const { p, view } = b;
  const { header } = d;
  const at = p[r | P_L4]! + UDP_HEADER_BYTES;
  const end = p[r | P_START]! + p[r | P_LENGTH]!;
  const key = header[H_PROBE_KEY]!;
  if (key === 0 || p[r | P_PROTO] !== PROTO_UDP || end - at !== PROBE_BYTES) return false;
  if (view.getInt32(at) !== key) return false;
  header[H_PROBE_SEEN] = view.getInt32(at + 4);
  // It was counted when it was read.
  d.add(COUNT_PACKETS, -1);
  return true;
}
