// Checks NetworkPolicies: once for a new flow, on the source before masquerade and the chosen
// endpoint, and again at the first packet after a policy change. The node that makes a flow checks
// both directions, because later nodes do not see the address of a masqueraded client.

// biome-ignore format: a list.
import {
  EPOCH_SHIFT, EPOCHS, FLAG_DENIED, LINE_SHIFT, LINE_WORDS, META_PROTO_MASK, W_META, W_NEW_DST,
  W_NEW_PORTS, W_PORTS, W_SRC,
} from '../flow/line.ts';
import { MARK_NODE } from '../image/layout.ts';
// biome-ignore format: a list.
import {
  POD_BORN, POD_EGRESS, POD_INGRESS, POD_NODE, POLICY_ALLOWED, POLICY_AUDITED, POLICY_COUNTERS,
  POLICY_DROPPED, POLICY_EGRESS, RULE_AUDITED, RULE_POLICY_MASK, RULE_POLICY_SHIFT,
} from '../policy/layout.ts';
import { NO_POD } from '../policy/policy-map.ts';
import { ICMP_ECHO_REQUEST } from '../wire/icmp.ts';
import { PROTO_ICMP, PROTO_TCP } from '../wire/ipv4.ts';
import { TCP_FLAG_ACK, TCP_FLAG_RST, TCP_FLAG_SYN } from '../wire/tcp.ts';
import { type Batch, P_DST, P_FLAGS, P_PORTS, P_PROTO, P_SRC } from './batch.ts';
import type { Datapath } from './datapath.ts';
import {
  COUNT_FLOWS_REVALIDATED,
  COUNT_POLICY_AUDITED,
  DROP_POLICY_EGRESS,
  DROP_POLICY_INGRESS,
  DROP_POLICY_UNKNOWN,
} from './verdict.ts';

/** The flow's pod is gone: forget the flow. */
export const CHECK_GONE = 1;
/** The node's ephemeral ports start here: a datagram to one of them is an answer. */
const EPHEMERAL_MIN = 32_768;
const CHECKED_MASK = -1 << (EPOCH_SHIFT - 1);

/** Checks the flow that `d.decision` describes for packet `r`: 0, or minus a DROP_POLICY_*. */
export function checkNew(d: Datapath, b: Batch, r: number): number {
  d.policyVerdict.reset();
  if (!d.policy.active) return 0;
  const ports = b.p[r | P_PORTS]!;
  const proto = b.p[r | P_PROTO]!;
  const { newDst, newPorts } = d.decision;
  const checked = checkTuple(d, proto, b.p[r | P_SRC]!, ports >>> 16, newDst, newPorts & 0xffff);
  tally(d, checked);
  return checked;
}

/**
 * Checks a packet without a flow: to the node's own sockets, where an answer needs no rule, or a
 * TCP segment of an unknown connection.
 */
export function checkPassing(d: Datapath, b: Batch, r: number): number {
  const { services } = d;
  if (!d.policy.active || !services.ready) return 0;
  const src = b.p[r | P_SRC]!;
  const dst = b.p[r | P_DST]!;
  if (services.isOwn(src)) return 0;
  const toHost = services.isOwn(dst) || services.isPodGateway(dst);
  if (toHost && !isOpening(b, r)) return 0;
  const ports = b.p[r | P_PORTS]!;
  const checked = checkTuple(d, b.p[r | P_PROTO]!, src, ports >>> 16, dst, ports & 0xffff);
  if (checked < 0) tally(d, checked);
  return checked;
}

/** False for an answer to the node's own sockets, which needs no rule. */
function isOpening(b: Batch, r: number): boolean {
  const proto = b.p[r | P_PROTO]!;
  const port = b.p[r | P_PORTS]! & 0xffff;
  if (proto === PROTO_TCP) {
    const flags = b.p[r | P_FLAGS]!;
    return (flags & (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST)) === TCP_FLAG_SYN;
  }
  if (proto === PROTO_ICMP) return port === ICMP_ECHO_REQUEST;
  return port < EPHEMERAL_MIN; // 0 for protocols without ports.
}

/** True if this side's flow has not passed the check of the policies in force. */
export function needsCheck(d: Datapath, side: number): boolean {
  return ((d.lines[(side << LINE_SHIFT) | W_META]! ^ d.epoch) & CHECKED_MASK) !== 0;
}

/** Checks this side's flow if needed: 0, CHECK_GONE, or minus a DROP_POLICY_*, which is counted. */
export function checkFlow(d: Datapath, side: number): number {
  if (!needsCheck(d, side)) return 0;
  const checked = revalidateFlow(d, side >> 1);
  if (checked < 0) tally(d, checked);
  return checked;
}

/** Checks a flow against the policies in force: 0, minus a DROP_POLICY_*, or CHECK_GONE. */
export function revalidateFlow(d: Datapath, flow: number): number {
  const { lines, policy } = d;
  const client = flow << (LINE_SHIFT + 1);
  const meta = lines[client | W_META]!;
  if (ageOf(d, meta) !== 0) d.count(COUNT_FLOWS_REVALIDATED);
  if (!policy.active) return stamp(d, client, 0);
  const src = lines[client | W_SRC]!;
  const dst = lines[client | W_NEW_DST]!;
  const age = ageOf(d, meta);
  if (isYounger(d, src, age) || isYounger(d, dst, age)) return CHECK_GONE;
  const sport = lines[client | W_PORTS]! >>> 16;
  const dport = lines[client | W_NEW_PORTS]! & 0xffff;
  const checked = checkTuple(d, meta & META_PROTO_MASK, src, sport, dst, dport);
  if (checked === -DROP_POLICY_UNKNOWN) return CHECK_GONE;
  return stamp(d, client, checked);
}

/** How many generations ago the flow was checked. An unknown age counts as the highest. */
function ageOf(d: Datapath, meta: number): number {
  const then = meta >>> EPOCH_SHIFT;
  return then === 0 ? EPOCHS : ((d.epoch >>> EPOCH_SHIFT) - then + EPOCHS) % EPOCHS;
}

/** True if another pod got the address after the flow was checked. */
function isYounger(d: Datapath, address: number, age: number): boolean {
  const { policy } = d;
  const pod = policy.findPod(address);
  const born = pod === NO_POD ? 0 : policy.words[pod + POD_BORN]!;
  return born !== 0 && age > ((policy.generation - born) | 0);
}

/** Marks both sides as checked. */
function stamp(d: Datapath, client: number, checked: number): number {
  const { lines } = d;
  const bits = d.epoch | (checked < 0 ? FLAG_DENIED : 0);
  const backend = client + LINE_WORDS;
  lines[client | W_META] = (lines[client | W_META]! & ~CHECKED_MASK) | bits;
  lines[backend | W_META] = (lines[backend | W_META]! & ~CHECKED_MASK) | bits;
  return checked;
}

/**
 * Checks a tuple and fills in `d.policyVerdict`. Returns 0, or minus a DROP_POLICY_*. ICMP does not
 * use `dport`.
 */
function checkTuple(
  d: Datapath,
  proto: number,
  src: number,
  sport: number,
  dst: number,
  dport: number,
): number {
  const { policyVerdict, policy } = d;
  policyVerdict.reset();
  policyVerdict.src = src;
  policyVerdict.dst = dst;
  if (src === dst) return 0;
  const from = policy.findPod(src);
  const to = policy.findPod(dst);
  if (from === NO_POD && to === NO_POD) {
    return isHeldBack(d, src) || isHeldBack(d, dst) ? -DROP_POLICY_UNKNOWN : 0;
  }
  // The node that masqueraded the client has checked it. Its address is not known here.
  if (from === NO_POD && isMasqueraded(d, proto, src, sport)) return 0;
  if (from === NO_POD && isHeldBack(d, src)) return -DROP_POLICY_UNKNOWN;
  if (to === NO_POD && isHeldBack(d, dst)) return -DROP_POLICY_UNKNOWN;
  const { words } = policy;
  if (from !== NO_POD && words[from + POD_EGRESS] !== 0) {
    policyVerdict.egress = words[from + POD_EGRESS]!;
    policyVerdict.egressRule = policy.allows(policyVerdict.egress, to, dst, proto, dport);
    if (!isAllowed(d, policyVerdict.egress, policyVerdict.egressRule)) return -DROP_POLICY_EGRESS;
  }
  if (to !== NO_POD && words[to + POD_INGRESS] !== 0) {
    const node = words[to + POD_NODE]!;
    policyVerdict.ownNode = src === node ? 1 : 0;
    if (src === node) return 0;
    policyVerdict.ingress = words[to + POD_INGRESS]!;
    policyVerdict.ingressRule = policy.allows(policyVerdict.ingress, from, src, proto, dport);
    if (!isAllowed(d, policyVerdict.ingress, policyVerdict.ingressRule))
      return -DROP_POLICY_INGRESS;
  }
  return 0;
}

/** True if a rule in force allows the flow, or no policy in force selects the pod. */
function isAllowed(d: Datapath, subject: number, rule: number): boolean {
  if (rule !== 0 && (rule & RULE_AUDITED) === 0) return true;
  return d.policy.words[d.policy.subjectAt(subject)] === 0;
}

/**
 * True for a source that a node has masqueraded. An echo's identifier is no port and proves
 * nothing.
 */
function isMasqueraded(d: Datapath, proto: number, src: number, sport: number): boolean {
  const { services } = d;
  if (proto === PROTO_ICMP) return false;
  const inRange = (sport - services.snatPortMin) >>> 0 < services.snatPortCount;
  return inRange && (services.markOf(src) & MARK_NODE) !== 0;
}

/** True for an address of the pod ranges: its pod's policies may not be known yet. */
function isHeldBack(d: Datapath, address: number): boolean {
  return d.services.inPodRange(address) && !d.services.isPodGateway(address);
}

/** Counts the last check per policy: an allowed flow or a dropped packet. */
export function tally(d: Datapath, checked: number): void {
  const { egress, egressRule, ingress, ingressRule } = d.policyVerdict;
  if (checked === -DROP_POLICY_EGRESS) countPolicies(d, egress, POLICY_DROPPED + POLICY_EGRESS);
  else if (checked === -DROP_POLICY_INGRESS) countPolicies(d, ingress, POLICY_DROPPED);
  else if (checked === 0) {
    countAllowed(d, egress, egressRule, POLICY_EGRESS);
    countAllowed(d, ingress, ingressRule, 0);
  }
}

function countAllowed(d: Datapath, subject: number, rule: number, direction: number): void {
  if (subject === 0) return;
  if (rule === 0) {
    d.count(COUNT_POLICY_AUDITED);
    countPolicies(d, subject, POLICY_AUDITED + direction);
    return;
  }
  const id = (rule >>> RULE_POLICY_SHIFT) & RULE_POLICY_MASK;
  const row = id * POLICY_COUNTERS + POLICY_ALLOWED + direction;
  d.policyCounters[row] = d.policyCounters[row]! + 1;
}

/** Adds one for each policy in force of a subject, or for each audited one if none is in force. */
function countPolicies(d: Datapath, subject: number, counter: number): void {
  const { words } = d.policy;
  const at = d.policy.subjectAt(subject);
  const count = words[at]! || words[at + 1]!;
  for (let n = 0; n < count; n++) {
    const row = words[at + 2 + n]! * POLICY_COUNTERS + counter;
    d.policyCounters[row] = d.policyCounters[row]! + 1;
  }
}
