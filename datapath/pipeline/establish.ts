// The first packet of a flow: its Service port, its endpoint and its translation. A decision
// changes nothing, so that explain can use it; commit makes the flow.

import { H_HELD_COUNT, H_HELD_RANGES } from '../arena/layout.ts';
import { findSourcePort, isReplyFree, NO_PORT, type Tuple, withSourcePort } from '../flow/ports.ts';
import {
  STATE_ESTABLISHED,
  STATE_ICMP,
  STATE_NONE,
  STATE_SCTP_NEW,
  STATE_SYN_SENT,
  STATE_UDP_UNREPLIED,
} from '../flow/state.ts';
import {
  FRONTEND_CLUSTER,
  FRONTEND_LOADBALANCER,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
} from '../image/image.ts';
// biome-ignore format: a list.
import {
  MARK_ALLOCATED, MARK_LOCAL, MARK_NODE, SERVICE_AFFINITY_S, SERVICE_CLUSTER_COUNT, SERVICE_FLAGS,
  SERVICE_HEADER_WORDS, SERVICE_LOCAL_COUNT, SERVICE_RANGE_COUNT, SERVICE_SERVING_COUNT, SLOT_KIND,
  SLOT_SERVICE,
} from '../image/layout.ts';
import { isInRanges } from '../image/pairs.ts';
import { NO_ENTRY } from '../services/affinity.ts';
import { NO_SLOT } from '../services/service-map.ts';
import {
  ICMP_ADDRESS_MASK,
  ICMP_ECHO_REQUEST,
  ICMP_INFORMATION,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  ICMP_TIMESTAMP,
} from '../wire/icmp.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { TCP_FLAG_ACK, TCP_FLAG_FIN, TCP_FLAG_RST, TCP_FLAG_SYN } from '../wire/tcp.ts';
import { type Batch, P_DST, P_FLAGS, P_PORTS, P_PROTO, P_SRC } from './batch.ts';
import type { Datapath } from './datapath.ts';
// biome-ignore format: a list.
import {
  MASQUERADE_EGRESS, MASQUERADE_EXTERNAL, MASQUERADE_HAIRPIN, MASQUERADE_NO, MASQUERADE_OUTSIDE,
  SELECTED_AFFINITY, SELECTED_ONLY, SELECTED_RANDOM,
} from './decision.ts';
import { isForeign, publicSource, toPublic } from './gateway.ts';
// biome-ignore format: a list.
import {
  COUNT_PASSED_HOST, COUNT_PASSED_UNTRACKED, COUNT_PORT_MOVED, COUNT_REJECT_MIDSTREAM,
  COUNT_REJECT_NO_ENDPOINT, COUNT_REJECT_WRONG_PORT, DROP_FOREIGN_SOURCE, DROP_ICMP_WITHOUT_FLOW,
  DROP_MIDSTREAM_NAT, DROP_NO_IMAGE, DROP_NO_LOCAL_ENDPOINT, DROP_SNAT_PORTS, DROP_SOURCE_RANGE,
  DROP_UNALLOCATED,
} from './verdict.ts';

/** Make the flow in the decision. */
export const ESTABLISH_FLOW = 0;
/** Pass the packet unchanged and untracked. */
export const ESTABLISH_PASS = 1;
/** Refuse the packet. */
export const ESTABLISH_REFUSE = 2;
/** At a gateway: translate to the addresses in the decision, untracked. */
export const ESTABLISH_PUBLIC = 3;

const TCP_KIND = TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_FIN | TCP_FLAG_RST;

/**
 * Decides about packet `r`, which has no flow, and fills in `d.decision`. Returns ESTABLISH_*, or
 * minus a DROP_*.
 */
export function establish(d: Datapath, b: Batch, r: number): number {
  const src = b.p[r | P_SRC]!;
  const dst = b.p[r | P_DST]!;
  const ports = b.p[r | P_PORTS]!;
  const proto = b.p[r | P_PROTO]!;
  const { decision, services } = d;
  decision.reset(src, dst, ports);
  if (!services.ready) return isHeld(d, src) || isHeld(d, dst) ? -DROP_NO_IMAGE : passHost(d);
  decision.state = firstState(proto);
  if (services.gateway && isForeign(d, src)) return -DROP_FOREIGN_SOURCE;
  const slot = services.findFrontend(dst, ((ports & 0xffff) << 8) | proto);
  if (slot !== NO_SLOT && hasFrontends(proto)) return toFrontend(d, b, r, slot);
  const mark = services.markOf(dst);
  if ((mark & MARK_ALLOCATED) !== 0) {
    // An ICMP error or redirect must not be answered by an error (RFC 1122 3.2.2); an ICMP answer
    // needs no error.
    if (proto === PROTO_ICMP && !isQuery(ports & 0xffff)) return -DROP_ICMP_WITHOUT_FLOW;
    return refuseFor(d, COUNT_REJECT_WRONG_PORT);
  }
  if (services.gateway) {
    if (isMisleading(proto, ports)) return -DROP_ICMP_WITHOUT_FLOW;
    return toPublic(d, src, dst) || ESTABLISH_PUBLIC;
  }
  if (services.inServiceRange(dst)) return -DROP_UNALLOCATED;
  const node = services.nodeAddress;
  if (dst === node || src === node || services.isPodGateway(dst)) return passHost(d);
  if ((mark & MARK_LOCAL) !== 0 || services.isOwn(src)) return passHost(d);
  return toAddress(d, b, r, mark);
}

/** True for an address of the ranges whose traffic is held until the first image. */
export function isHeld(d: Datapath, address: number): boolean {
  const { header } = d;
  let low = 0;
  let high = header[H_HELD_COUNT]! - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const at = H_HELD_RANGES + middle * 2;
    if ((address & header[at + 1]!) === header[at]!) return true;
    if (address >>> 0 < header[at]! >>> 0) high = middle - 1;
    else low = middle + 1;
  }
  return false;
}

/** Passes traffic of the node's own sockets unchanged: half of it never crosses the datapath. */
function passHost(d: Datapath): number {
  return passFor(d, COUNT_PASSED_HOST);
}

function passFor(d: Datapath, cause: number): number {
  d.count(cause);
  d.decision.cause = cause;
  return ESTABLISH_PASS;
}

function refuseFor(d: Datapath, cause: number): number {
  d.count(cause);
  d.decision.cause = cause;
  return ESTABLISH_REFUSE;
}

/**
 * False for protocols without ports: their key in the frontend map may equal the mark of an
 * address.
 */
function hasFrontends(proto: number): boolean {
  return proto === PROTO_TCP || proto === PROTO_UDP || proto === PROTO_SCTP;
}

/** Any ICMP but an echo request: it opens no flow. */
function isUnaskedIcmp(proto: number, ports: number): boolean {
  return proto === PROTO_ICMP && (ports & 0xffff) !== ICMP_ECHO_REQUEST;
}

/** True for ICMP that asks for an answer. */
function isQuery(type: number): boolean {
  return (
    type === ICMP_ECHO_REQUEST ||
    type === ICMP_TIMESTAMP ||
    type === ICMP_INFORMATION ||
    type === ICMP_ADDRESS_MASK
  );
}

/** ICMP that changes a route or a rate: a gateway drops both from outside. */
function isMisleading(proto: number, ports: number): boolean {
  const type = ports & 0xffff;
  return proto === PROTO_ICMP && (type === ICMP_REDIRECT || type === ICMP_SOURCE_QUENCH);
}

function firstState(proto: number): number {
  if (proto === PROTO_TCP) return STATE_SYN_SENT;
  if (proto === PROTO_UDP) return STATE_UDP_UNREPLIED;
  if (proto === PROTO_ICMP) return STATE_ICMP;
  return proto === PROTO_SCTP ? STATE_SCTP_NEW : STATE_NONE;
}

/**
 * To an address of no Service: unchanged from pod to pod, masqueraded from a pod to the outside.
 */
function toAddress(d: Datapath, b: Batch, r: number, mark: number): number {
  const { decision, services } = d;
  const proto = b.p[r | P_PROTO]!;
  if (isUnaskedIcmp(proto, b.p[r | P_PORTS]!)) return -DROP_ICMP_WITHOUT_FLOW;
  const inside = (mark & MARK_NODE) !== 0 || services.inPodRange(b.p[r | P_DST]!);
  const egress = !inside && services.inPodRange(b.p[r | P_SRC]!);
  if (egress) decision.masquerade = MASQUERADE_EGRESS;
  if (proto === PROTO_TCP && (b.p[r | P_FLAGS]! & TCP_KIND) !== TCP_FLAG_SYN) {
    if (egress) return -DROP_MIDSTREAM_NAT;
    if ((b.p[r | P_FLAGS]! & TCP_KIND) !== TCP_FLAG_ACK) {
      return passFor(d, COUNT_PASSED_UNTRACKED);
    }
    // Loose pick-up: the flow is older than this datapath, and it needs no translation.
    decision.state = STATE_ESTABLISHED;
  }
  return chooseSource(d, b, r);
}

function toFrontend(d: Datapath, b: Batch, r: number, slot: number): number {
  const { decision, services } = d;
  const { words } = services;
  const service = services.serviceAt(words[slot + SLOT_SERVICE]!);
  decision.frontend = words[slot + SLOT_KIND]!;
  decision.service = words[slot + SLOT_SERVICE]!;
  if (service === 0) return refuseFor(d, COUNT_REJECT_NO_ENDPOINT);
  if (b.p[r | P_PROTO] === PROTO_TCP && (b.p[r | P_FLAGS]! & TCP_KIND) !== TCP_FLAG_SYN) {
    return refuseFor(d, COUNT_REJECT_MIDSTREAM);
  }
  const kind = decision.frontend - 1;
  const src = b.p[r | P_SRC]!;
  const fromPod = services.inPodRange(src);
  if (kind === FRONTEND_LOADBALANCER && !isSourceAllowed(words, service, src)) {
    return -DROP_SOURCE_RANGE;
  }
  const flags = words[service + SERVICE_FLAGS]!;
  const clusterCount = words[service + SERVICE_CLUSTER_COUNT]!;
  let count = clusterCount;
  let pairs = service + SERVICE_HEADER_WORDS;
  if (isLocalOnly(d, kind, flags, src, fromPod)) {
    decision.local = 1;
    count = words[service + SERVICE_LOCAL_COUNT]!;
    pairs += clusterCount * 2;
  }
  decision.eligible = count;
  decision.pairs = pairs;
  if (count === 0) {
    return clusterCount > 0 ? -DROP_NO_LOCAL_ENDPOINT : refuseFor(d, COUNT_REJECT_NO_ENDPOINT);
  }
  const affinityMs = words[service + SERVICE_AFFINITY_S]! * 1000;
  const chosen = pairs + (affinityMs === 0 ? select(d, count) : selectSame(d, src, affinityMs)) * 2;
  decision.newDst = words[chosen]!;
  decision.newPorts = (b.p[r | P_PORTS]! & ~0xffff) | (words[chosen + 1]! & 0xffff);
  if (services.gateway) decision.newSrc = publicSource(d, src);
  else decision.masquerade = masqueradeOf(d, kind, flags, src, fromPod);
  return chooseSource(d, b, r);
}

/** Selects one of `count` endpoints. */
function select(d: Datapath, count: number): number {
  d.decision.selected = count === 1 ? SELECTED_ONLY : SELECTED_RANDOM;
  return count === 1 ? 0 : d.random(count);
}

/** The client's last endpoint, or any if that one is no longer eligible. */
function selectSame(d: Datapath, src: number, affinityMs: number): number {
  const { affinity, decision, services } = d;
  decision.affinityMs = affinityMs;
  const { eligible } = decision;
  const entry = affinity.find(src, decision.service, d.now);
  const same =
    entry === NO_ENTRY ? -1 : affinity.choice(entry, services.words, decision.pairs, eligible);
  if (same < 0) return select(d, eligible);
  decision.selected = SELECTED_AFFINITY;
  return same;
}

/** Internal policy for cluster addresses, external policy Local for traffic from outside. */
function isLocalOnly(
  d: Datapath,
  kind: number,
  flags: number,
  src: number,
  fromPod: boolean,
): boolean {
  if (kind === FRONTEND_CLUSTER) return (flags & SERVICE_FLAG_INTERNAL_LOCAL) !== 0;
  if ((flags & SERVICE_FLAG_EXTERNAL_LOCAL) === 0) return false;
  return !fromPod && src !== d.services.nodeAddress;
}

function masqueradeOf(
  d: Datapath,
  kind: number,
  flags: number,
  src: number,
  fromPod: boolean,
): number {
  const { newDst } = d.decision;
  if (newDst === src) return MASQUERADE_HAIRPIN;
  // The outside does not know pod addresses, with or without a Service.
  const ofPod = fromPod && leavesCluster(d, newDst) ? MASQUERADE_EGRESS : MASQUERADE_NO;
  if (kind === FRONTEND_CLUSTER) return fromPod ? ofPod : MASQUERADE_OUTSIDE;
  if ((flags & SERVICE_FLAG_EXTERNAL_LOCAL) === 0) return MASQUERADE_EXTERNAL;
  return src === d.services.nodeAddress ? MASQUERADE_OUTSIDE : ofPod;
}

/** True for an address of no pod, node or Service. */
function leavesCluster(d: Datapath, address: number): boolean {
  const { services } = d;
  if (services.inPodRange(address) || services.inServiceRange(address)) return false;
  return (services.markOf(address) & (MARK_NODE | MARK_LOCAL)) === 0;
}

/** loadBalancerSourceRanges; an empty list allows every source. */
function isSourceAllowed(words: Int32Array, service: number, src: number): boolean {
  const count = words[service + SERVICE_RANGE_COUNT]!;
  if (count === 0) return true;
  const endpoints =
    words[service + SERVICE_CLUSTER_COUNT]! +
    words[service + SERVICE_LOCAL_COUNT]! +
    words[service + SERVICE_SERVING_COUNT]!;
  return isInRanges(words, service + SERVICE_HEADER_WORDS + endpoints * 2, count, src);
}

const tuple: Tuple = { src: 0, dst: 0, ports: 0, proto: 0 };

/**
 * Chooses the source address and port. A masqueraded packet gets the node's address and a random
 * free port of the SNAT range. Others keep theirs, unless two connections of one client meet at a
 * common backend: their replies would have the same tuple.
 */
function chooseSource(d: Datapath, b: Batch, r: number): number {
  const { decision, services, table } = d;
  const masquerade = decision.masquerade !== MASQUERADE_NO;
  if (masquerade) decision.newSrc = services.nodeAddress;
  tuple.src = decision.newSrc;
  tuple.dst = decision.newDst;
  tuple.ports = decision.newPorts;
  tuple.proto = b.p[r | P_PROTO]!;
  const free = !masquerade && isReplyFree(table, tuple, decision.newPorts);
  if (free) return ESTABLISH_FLOW;
  if (!hasPorts(tuple.proto)) return isReplyFree(table, tuple, 0) ? 0 : -DROP_SNAT_PORTS;
  const count = services.snatPortCount;
  const port = findSourcePort(table, tuple, services.snatPortMin, count, d.random(count));
  if (port === NO_PORT) return -DROP_SNAT_PORTS;
  decision.newPorts = withSourcePort(decision.newPorts, port);
  if (!masquerade) d.count(COUNT_PORT_MOVED);
  return ESTABLISH_FLOW;
}

function hasPorts(proto: number): boolean {
  return hasFrontends(proto) || proto === PROTO_ICMP;
}
