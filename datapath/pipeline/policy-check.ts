// NetworkPolicy: may this source talk to this destination? Asked once for a new flow, on the source
// before masquerade and the destination after the choice of an endpoint; asked again at a flow's
// next packet after the policies have changed. The node that makes a flow judges both directions,
// so that a client that is masqueraded is judged by its own address.

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
import {
  ICMP_ECHO_REQUEST,
  PROTO_ICMP,
  PROTO_TCP,
  TCP_FLAG_ACK,
  TCP_FLAG_RST,
  TCP_FLAG_SYN,
} from '../wire/layout.ts';
import { type Batch, P_DST, P_FLAGS, P_PORTS, P_PROTO, P_SRC } from './batch.ts';
import type { Datapath } from './datapath.ts';
import {
  COUNT_FLOWS_JUDGED,
  COUNT_POLICY_AUDITED,
  DROP_POLICY_EGRESS,
  DROP_POLICY_INGRESS,
  DROP_POLICY_UNKNOWN,
} from './verdict.ts';

/** The flow belongs to a pod that is gone: forget it. */
export const JUDGED_GONE = 1;
/** Ports of the node's own sockets begin here: a datagram to them is an answer. */
const EPHEMERAL_MIN = 32_768;
const JUDGED_MASK = -1 << (EPOCH_SHIFT - 1);

/** The bits of W_META that say: judged by these policies, and let pass. */
export function epochOf(generation: number): number {
  return ((generation % EPOCHS) + 1) << EPOCH_SHIFT;
}

/** Judges the flow that `d.decision` describes for packet `r`: 0, or minus a DROP_POLICY_*. */
export function judgeNew(d: Datapath, b: Batch, r: number): number {
  d.judgement.reset();
  if (!d.policy.active) return 0;
  const ports = b.p[r | P_PORTS]!;
  const proto = b.p[r | P_PROTO]!;
  const { newDst, newPorts } = d.decision;
  const judged = judge(d, proto, b.p[r | P_SRC]!, ports >>> 16, newDst, newPorts & 0xffff);
  tally(d, judged);
  return judged;
}

/**
 * Judges a packet that passes without a flow: those to the node's own sockets, of which answers
 * need no rule, and odd TCP segments between others.
 */
export function judgePassing(d: Datapath, b: Batch, r: number): number {
  const { services } = d;
  if (!d.policy.active || !services.ready) return 0;
  const src = b.p[r | P_SRC]!;
  const dst = b.p[r | P_DST]!;
  if (services.isOwn(src)) return 0;
  const toHost = services.isOwn(dst) || services.isPodGateway(dst);
  if (toHost && !isOpening(b, r)) return 0;
  const ports = b.p[r | P_PORTS]!;
  const judged = judge(d, b.p[r | P_PROTO]!, src, ports >>> 16, dst, ports & 0xffff);
  if (judged < 0) tally(d, judged);
  return judged;
}

/** True for what asks something of the node; what answers the node's own sockets needs no rule. */
function isOpening(b: Batch, r: number): boolean {
  const proto = b.p[r | P_PROTO]!;
  const port = b.p[r | P_PORTS]! & 0xffff;
  if (proto === PROTO_TCP) {
    const flags = b.p[r | P_FLAGS]!;
    return (flags & (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST)) === TCP_FLAG_SYN;
  }
  if (proto === PROTO_ICMP) return port === ICMP_ECHO_REQUEST;
  return port < EPHEMERAL_MIN; // What has no ports has 0 here.
}

/** True if the policies in force have not yet let this side's flow pass. */
export function isUnjudged(d: Datapath, side: number): boolean {
  return ((d.lines[(side << LINE_SHIFT) | W_META]! ^ d.epoch) & JUDGED_MASK) !== 0;
}

/**
 * What the policies in force say of this side's flow: 0, minus a DROP_POLICY_*, which is counted,
 * or JUDGED_GONE.
 */
export function judgeFlow(d: Datapath, side: number): number {
  if (!isUnjudged(d, side)) return 0;
  const judged = judgeAgain(d, side >> 1);
  if (judged < 0) tally(d, judged);
  return judged;
}

/** Judges a flow again by the policies in force: 0, minus a DROP_POLICY_*, or JUDGED_GONE. */
export function judgeAgain(d: Datapath, flow: number): number {
  const { lines, policy } = d;
  const client = flow << (LINE_SHIFT + 1);
  const meta = lines[client | W_META]!;
  if (ageOf(d, meta) !== 0) d.count(COUNT_FLOWS_JUDGED);
  if (!policy.active) return stamp(d, client, 0);
  const src = lines[client | W_SRC]!;
  const dst = lines[client | W_NEW_DST]!;
  const age = ageOf(d, meta);
  if (isYounger(d, src, age) || isYounger(d, dst, age)) return JUDGED_GONE;
  const sport = lines[client | W_PORTS]! >>> 16;
  const dport = lines[client | W_NEW_PORTS]! & 0xffff;
  const judged = judge(d, meta & META_PROTO_MASK, src, sport, dst, dport);
  if (judged === -DROP_POLICY_UNKNOWN) return JUDGED_GONE;
  return stamp(d, client, judged);
}

/** How many generations ago the flow was judged; what nobody knows any more was long ago. */
function ageOf(d: Datapath, meta: number): number {
  const then = meta >>> EPOCH_SHIFT;
  return then === 0 ? EPOCHS : ((d.epoch >>> EPOCH_SHIFT) - then + EPOCHS) % EPOCHS;
}

/** True if the address went to another pod after the flow was judged. */
function isYounger(d: Datapath, address: number, age: number): boolean {
  const { policy } = d;
  const pod = policy.findPod(address);
  const born = pod === NO_POD ? 0 : policy.words[pod + POD_BORN]!;
  return born !== 0 && age > ((policy.generation - born) | 0);
}

/** Marks both sides as judged. */
function stamp(d: Datapath, client: number, judged: number): number {
  const { lines } = d;
  const bits = d.epoch | (judged < 0 ? FLAG_DENIED : 0);
  const backend = client + LINE_WORDS;
  lines[client | W_META] = (lines[client | W_META]! & ~JUDGED_MASK) | bits;
  lines[backend | W_META] = (lines[backend | W_META]! & ~JUDGED_MASK) | bits;
  return judged;
}

/**
 * The judgement itself, into `d.judgement`: 0, or minus a DROP_POLICY_*. For ICMP `dport` does not
 * matter.
 */
function judge(
  d: Datapath,
  proto: number,
  src: number,
  sport: number,
  dst: number,
  dport: number,
): number {
  const { judgement, policy } = d;
  judgement.reset();
  judgement.src = src;
  judgement.dst = dst;
  if (src === dst) return 0;
  const from = policy.findPod(src);
  const to = policy.findPod(dst);
  if (from === NO_POD && to === NO_POD) {
    return isHeldBack(d, src) || isHeldBack(d, dst) ? -DROP_POLICY_UNKNOWN : 0;
  }
  // A node that masqueraded a client has judged it; the client's own address is not known here.
  if (from === NO_POD && isMasqueraded(d, proto, src, sport)) return 0;
  if (from === NO_POD && isHeldBack(d, src)) return -DROP_POLICY_UNKNOWN;
  if (to === NO_POD && isHeldBack(d, dst)) return -DROP_POLICY_UNKNOWN;
  const { words } = policy;
  if (from !== NO_POD && words[from + POD_EGRESS] !== 0) {
    judgement.egress = words[from + POD_EGRESS]!;
    judgement.egressRule = policy.allows(judgement.egress, to, dst, proto, dport);
    if (!isAllowed(d, judgement.egress, judgement.egressRule)) return -DROP_POLICY_EGRESS;
  }
  if (to !== NO_POD && words[to + POD_INGRESS] !== 0) {
    const node = words[to + POD_NODE]!;
    judgement.ownNode = src === node ? 1 : 0;
    if (src === node) return 0;
    judgement.ingress = words[to + POD_INGRESS]!;
    judgement.ingressRule = policy.allows(judgement.ingress, from, src, proto, dport);
    if (!isAllowed(d, judgement.ingress, judgement.ingressRule)) return -DROP_POLICY_INGRESS;
  }
  return 0;
}

/** A rule in force allows it, or no policy in force selects the pod. */
function isAllowed(d: Datapath, subject: number, rule: number): boolean {
  if (rule !== 0 && (rule & RULE_AUDITED) === 0) return true;
  return d.policy.words[d.policy.subjectAt(subject)] === 0;
}

/** The identifier of an echo is anybody's choice and proves nothing. */
function isMasqueraded(d: Datapath, proto: number, src: number, sport: number): boolean {
  const { services } = d;
  if (proto === PROTO_ICMP) return false;
  const inRange = (sport - services.snatPortMin) >>> 0 < services.snatPortCount;
  return inRange && (services.markOf(src) & MARK_NODE) !== 0;
}

/** An address where a pod may be whose policies are not known. */
function isHeldBack(d: Datapath, address: number): boolean {
  return d.services.inPodRange(address) && !d.services.isPodGateway(address);
}

/** Counts what was judged last: new flows that were allowed, packets that were dropped. */
export function tally(d: Datapath, judged: number): void {
  const { egress, egressRule, ingress, ingressRule } = d.judgement;
  if (judged === -DROP_POLICY_EGRESS) countPolicies(d, egress, POLICY_DROPPED + POLICY_EGRESS);
  else if (judged === -DROP_POLICY_INGRESS) countPolicies(d, ingress, POLICY_DROPPED);
  else if (judged === 0) {
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

/**
 * Adds one for each policy of a subject: what is dropped has policies in force, what is only noted
 * has others alone.
 */
function countPolicies(d: Datapath, subject: number, counter: number): void {
  const { words } = d.policy;
  const at = d.policy.subjectAt(subject);
  const count = words[at]! || words[at + 1]!;
  for (let n = 0; n < count; n++) {
    const row = words[at + 2 + n]! * POLICY_COUNTERS + counter;
    d.policyCounters[row] = d.policyCounters[row]! + 1;
  }
}
