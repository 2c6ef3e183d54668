// The agent's probe: a packet to itself through the node's steering and the device. It shows
// whether packets reach the loop. The loop answers in a word of the arena.

import { H_PROBE_KEY, H_PROBE_SEEN, PROBE_BYTES } from '../arena/layout.ts';
import { PROTO_UDP } from '../wire/ipv4.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import { type Batch, P_L4, P_LENGTH, P_PROTO, P_START } from './batch.ts';
import type { Datapath } from './datapath.ts';
import { COUNT_PACKETS } from './verdict.ts';

/**
 * Answers a probe; false for any other packet. Only the agent knows the random key, so no other
 * sender can make a datapath look healthy.
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
  // A probe does not count as a packet.
  d.add(COUNT_PACKETS, -1);
  return true;
}
