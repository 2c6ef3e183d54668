import { H_TRACE_WRITTEN, TRACE_RECORDS, TRACE_WORDS } from '../arena/layout.ts';
import { LINE_SHIFT, NO_SIDE, W_PACKETS, W_SERVICE } from '../flow/line.ts';
import { ICMP_OFF_ID } from '../wire/icmp.ts';
import { IP4_OFF_DST, IP4_OFF_SRC, PROTO_ICMP } from '../wire/ipv4.ts';
import { VNET_HEADER_BYTES } from '../wire/vnet.ts';
// biome-ignore format: a list.
import {
  type Batch, KIND_FLOW, P_DST, P_FLAGS, P_IP, P_KIND, P_L4, P_LENGTH, P_PORTS, P_PROTO, P_SIDE,
  P_SRC,
} from './batch.ts';
import type { Datapath } from './datapath.ts';
import {
  DROP_ICMP_CHECKSUM,
  DROP_IP_CHECKSUM,
  DROP_POLICY_EGRESS,
  DROP_POLICY_INGRESS,
  DROP_PROTOCOL,
  DROP_SPOOFED,
  VERDICT_FORWARD,
} from './verdict.ts';

/**
 * Words of a record. The number is written last: a reader that finds another number was too slow.
 */
export const T_NUMBER = 0;
export const T_NOW = 1;
export const T_VERDICT = 2;
export const T_PROTO = 3;
export const T_SRC = 4;
export const T_DST = 5;
export const T_PORTS = 6;
/** The tuple after translation, of a forwarded packet. */
export const T_NEW_SRC = 7;
export const T_NEW_DST = 8;
export const T_NEW_PORTS = 9;
/** IP bytes. */
export const T_BYTES = 10;
export const T_SERVICE = 11;
/** Low byte TCP flags; TRACE_* above. */
export const T_FLAGS = 12;
/** COUNT_REJECT_* or COUNT_PASSED_* of a packet that made no flow, 0 for none. */
export const T_CAUSE = 13;
/** MASQUERADE_* of a packet that made a flow. */
export const T_MASQUERADE = 14;

/** Subject and rule of the policy check in each direction, 0 without a check. */
export const T_EGRESS = 15;
export const T_EGRESS_RULE = 16;
export const T_INGRESS = 17;
export const T_INGRESS_RULE = 18;

/** The packet made its flow. */
export const TRACE_NEW = 0x100;
/** The packet belongs to a flow. */
export const TRACE_FLOW = 0x200;
/** The packet has ports. ICMP errors, later fragments and unreadable packets have none. */
export const TRACE_TUPLE = 0x400;

/** Records what became of packet `r`. */
export function trace(d: Datapath, b: Batch, r: number, verdict: number): void {
  const { p, view } = b;
  const { header, traceRing: t } = d;
  const number = header[H_TRACE_WRITTEN]!;
  const at = (number & (TRACE_RECORDS - 1)) * TRACE_WORDS;
  // Reasons are numbered in stage order: before the first of these, parse has filled in nothing.
  const readable = -verdict <= 0 || -verdict > DROP_IP_CHECKSUM;
  const tuple = readable && p[r | P_KIND] === KIND_FLOW;
  const side = p[r | P_SIDE]!;
  const found = side !== NO_SIDE && verdict === VERDICT_FORWARD;
  // The last decision is about this packet only if it came this far and hit no flow.
  const isEntryDrop = verdict === -DROP_SPOOFED || verdict === -DROP_PROTOCOL;
  const asked = verdict >= 0 || (-verdict > DROP_ICMP_CHECKSUM && !isEntryDrop);
  const decided = tuple && !found && asked;
  // Fragments and ICMP errors are not the flow's one packet.
  const isNew =
    tuple && found && (side & 1) === 0 && d.lines[(side << LINE_SHIFT) | W_PACKETS] === 1;
  const denied = verdict === -DROP_POLICY_INGRESS || verdict === -DROP_POLICY_EGRESS;
  t[at + T_NUMBER] = -1;
  t[at + T_NOW] = d.now;
  t[at + T_VERDICT] = verdict;
  t[at + T_PROTO] = readable ? p[r | P_PROTO]! : 0;
  t[at + T_SRC] = readable ? p[r | P_SRC]! : 0;
  t[at + T_DST] = readable ? p[r | P_DST]! : 0;
  t[at + T_PORTS] = readable ? p[r | P_PORTS]! : 0;
  t[at + T_BYTES] = p[r | P_LENGTH]! - VNET_HEADER_BYTES;
  t[at + T_SERVICE] = found ? d.lines[(side << LINE_SHIFT) | W_SERVICE]! : 0;
  if (decided && side === NO_SIDE) t[at + T_SERVICE] = d.decision.service;
  else if (denied) t[at + T_SERVICE] = d.lines[(side << LINE_SHIFT) | W_SERVICE]!;
  const checked = isNew || denied;
  t[at + T_EGRESS] = checked ? d.policyVerdict.egress : 0;
  t[at + T_EGRESS_RULE] = checked ? d.policyVerdict.egressRule : 0;
  t[at + T_INGRESS] = checked ? d.policyVerdict.ingress : 0;
  t[at + T_INGRESS_RULE] = checked ? d.policyVerdict.ingressRule : 0;
  t[at + T_FLAGS] =
    (p[r | P_FLAGS]! & 0xff) |
    (isNew ? TRACE_NEW : 0) |
    (found ? TRACE_FLOW : 0) |
    (tuple ? TRACE_TUPLE : 0);
  t[at + T_CAUSE] = decided && verdict >= 0 ? d.decision.cause : 0;
  t[at + T_MASQUERADE] = isNew ? d.decision.masquerade : 0;
  if (verdict === VERDICT_FORWARD) {
    const ip = p[r | P_IP]!;
    const l4 = p[r | P_L4]!;
    t[at + T_NEW_SRC] = view.getInt32(ip + IP4_OFF_SRC);
    t[at + T_NEW_DST] = view.getInt32(ip + IP4_OFF_DST);
    if (!tuple) t[at + T_NEW_PORTS] = 0;
    else if (p[r | P_PROTO] === PROTO_ICMP)
      t[at + T_NEW_PORTS] = view.getUint16(l4 + ICMP_OFF_ID) << 16;
    else t[at + T_NEW_PORTS] = view.getInt32(l4);
  }
  Atomics.store(t, at + T_NUMBER, number);
  Atomics.store(header, H_TRACE_WRITTEN, (number + 1) | 0);
}
