// The path MTU of a pod's port. The kernel takes any packet for a TUN device, so the datapath tells
// senders of larger ones, as a node's kernel does for a pod's cable. The answer is about the packet
// as it leaves here. The stage of ICMP errors then gives it the addresses that the sender used.

import { NO_SIDE } from '../flow/line.ts';
import { ICMP_CODE_FRAGMENTATION_NEEDED, ICMP_UNREACHABLE } from '../wire/icmp.ts';
import { IP4_OFF_DST } from '../wire/ipv4.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';
// biome-ignore format: a list.
import {
  type Batch, KIND_FLOW, P_DST, P_KIND, P_OUT, P_PORTS, P_PROTO, P_SIDE, P_SRC, P_START,
} from './batch.ts';
import type { Datapath } from './datapath.ts';
import { translateIcmpError } from './icmp-error.ts';
import { parse } from './parse.ts';
import { answerByIcmp } from './refuse.ts';
import { giveHopBack } from './translate.ts';
import { COUNT_TOO_LARGE, DROP_NO_IMAGE, VERDICT_FORWARD, VERDICT_REPLY } from './verdict.ts';

const FRAGMENTATION_NEEDED = (ICMP_UNREACHABLE << 24) | (ICMP_CODE_FRAGMENTATION_NEEDED << 16);

/**
 * Turns packet `r`, translated and too large for its port, into the node's ICMP error for its
 * sender (RFC 1191). VERDICT_REPLY, or minus a DROP_*. The record then describes the packet for
 * traces, and P_OUT is not set.
 */
export function answerTooLarge(d: Datapath, b: Batch, r: number): number {
  if (!d.services.ready) return -DROP_NO_IMAGE;
  const { p, view } = b;
  const { seed } = d.table;
  // The fast path fills in nothing, and translation has changed what parse had read.
  parse(b, r, seed);
  const src = p[r | P_SRC]!;
  const dst = p[r | P_DST]!;
  const ports = p[r | P_PORTS]!;
  const proto = p[r | P_PROTO]!;
  d.count(COUNT_TOO_LARGE);
  answerByIcmp(b, r, FRAGMENTATION_NEEDED, d.ports.mtus[p[r | P_OUT]!]!, d.services.nodeAddress);
  parse(b, r, seed);
  const verdict = translateIcmpError(d, b, r);
  const ip = p[r | P_START]! + VNET_HEADER_BYTES;
  giveHopBack(d, b, r, p[r | P_SRC]!, view.getInt32(ip + IP4_OFF_DST));
  p[r | P_KIND] = KIND_FLOW;
  p[r | P_SIDE] = NO_SIDE;
  p[r | P_SRC] = src;
  p[r | P_DST] = dst;
  p[r | P_PORTS] = ports;
  p[r | P_PROTO] = proto;
  d.decision.reset(src, dst, ports);
  d.decision.cause = COUNT_TOO_LARGE;
  return verdict === VERDICT_FORWARD ? VERDICT_REPLY : verdict;
}
