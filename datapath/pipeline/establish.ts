// The first packet of a flow: which Service port it is for, which endpoint serves it, what it becomes. Deciding
// changes nothing, so that explain can ask; commit makes the flow.

import { findSourcePort, isReplyFree, NO_PORT, type Tuple, withSourcePort } from '../flow/ports.ts';
import * as S from '../flow/state.ts';
import {
  FRONTEND_CLUSTER,
  FRONTEND_LOADBALANCER,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
} from '../nat/image.ts';
import * as L from '../nat/image-layout.ts';
import { NO_SLOT } from '../nat/service-map.ts';
import * as W from '../wire/layout.ts';
import type { Batch } from './batch.ts';
import type { Datapath } from './datapath.ts';
import * as D from './decision.ts';
import * as V from './verdict.ts';

/** Make the flow that the decision describes. */
export const ESTABLISH_FLOW = 0;
/** Let the packet by as it is; it is not tracked. */
export const ESTABLISH_PASS = 1;
/** Refuse it to its sender. */
export const ESTABLISH_REFUSE = 2;

const TCP_KIND = W.TCP_FLAG_SYN | W.TCP_FLAG_ACK | W.TCP_FLAG_FIN | W.TCP_FLAG_RST;

/** Decides about packet `i`, which no flow knows, into `d.decision`: ESTABLISH_*, or minus a DROP_*. */
export function establish(d: Datapath, b: Batch, i: number): number {
  const src = b.src[i]!;
  const dst = b.dst[i]!;
  const ports = b.ports[i]!;
  const proto = b.proto[i]!;
  const { decision, services } = d;
  decision.reset(src, dst, ports);
  if (!services.ready) return passHost(d);
  decision.state = firstState(proto);
  const slot = services.findFrontend(dst, ((ports & 0xffff) << 8) | proto);
  if (slot !== NO_SLOT && proto !== W.PROTO_ICMP) return toFrontend(d, b, i, slot);
  const mark = services.markOf(dst);
  if ((mark & L.MARK_ALLOCATED) !== 0) {
    d.count(V.COUNT_REJECT_WRONG_PORT);
    return ESTABLISH_REFUSE;
  }
  if (services.inServiceRange(dst)) return -V.DROP_UNALLOCATED;
  const node = services.nodeAddress;
  if (dst === node || src === node) return passHost(d);
  return toAddress(d, b, i, mark);
}

/** What the node's own sockets send and receive is left alone: half of it never crosses the datapath. */
function passHost(d: Datapath): number {
  d.count(V.COUNT_PASSED_HOST);
  return ESTABLISH_PASS;
}

function firstState(proto: number): number {
  if (proto === W.PROTO_TCP) return S.STATE_SYN_SENT;
  if (proto === W.PROTO_UDP) return S.STATE_UDP_UNREPLIED;
  if (proto === W.PROTO_ICMP) return S.STATE_ICMP;
  return proto === W.PROTO_SCTP ? S.STATE_SCTP_NEW : S.STATE_NONE;
}

/** To an address that no Service captures: from pod to pod as it is, from a pod to the outside masqueraded. */
function toAddress(d: Datapath, b: Batch, i: number, mark: number): number {
  const { decision, services } = d;
  const proto = b.proto[i]!;
  if (proto === W.PROTO_ICMP && (b.ports[i]! & 0xffff) !== W.ICMP_ECHO_REQUEST) {
    return -V.DROP_ICMP_WITHOUT_FLOW;
  }
  const inside = services.inPodRange(b.dst[i]!) || (mark & L.MARK_NODE) !== 0;
  const egress = !inside && services.inPodRange(b.src[i]!);
  if (egress) decision.masquerade = D.MASQUERADE_EGRESS;
  if (proto === W.PROTO_TCP && (b.flags[i]! & TCP_KIND) !== W.TCP_FLAG_SYN) {
    if (egress) return -V.DROP_MIDSTREAM_NAT;
    if ((b.flags[i]! & TCP_KIND) !== W.TCP_FLAG_ACK) {
      d.count(V.COUNT_PASSED_UNTRACKED);
      return ESTABLISH_PASS;
    }
    // Loose pick-up: the flow was there before this datapath, and it needs no translation.
    decision.state = S.STATE_ESTABLISHED;
  }
  return chooseSource(d, b, i);
}

function toFrontend(d: Datapath, b: Batch, i: number, slot: number): number {
  const { decision, services } = d;
  const { words } = services;
  const service = services.serviceAt(words[slot + L.SLOT_SERVICE]!);
  decision.frontend = words[slot + L.SLOT_KIND]!;
  decision.service = words[slot + L.SLOT_SERVICE]!;
  if (service === 0) return refuseNoEndpoint(d);
  if (b.proto[i] === W.PROTO_TCP && (b.flags[i]! & TCP_KIND) !== W.TCP_FLAG_SYN) {
    d.count(V.COUNT_REJECT_MIDSTREAM);
    return ESTABLISH_REFUSE;
  }
  const kind = decision.frontend - 1;
  const src = b.src[i]!;
  const fromPod = services.inPodRange(src);
  if (kind === FRONTEND_LOADBALANCER && !isSourceAllowed(words, service, src)) {
    return -V.DROP_SOURCE_RANGE;
  }
  const flags = words[service + L.SERVICE_FLAGS]!;
  const clusterCount = words[service + L.SERVICE_CLUSTER_COUNT]!;
  let count = clusterCount;
  let pairs = service + L.SERVICE_HEADER_WORDS;
  if (isLocalOnly(d, kind, flags, src, fromPod)) {
    count = words[service + L.SERVICE_LOCAL_COUNT]!;
    pairs += clusterCount * 2;
  }
  if (count === 0) {
    return clusterCount > 0 ? -V.DROP_NO_LOCAL_ENDPOINT : refuseNoEndpoint(d);
  }
  const chosen = pairs + (count === 1 ? 0 : d.random(count)) * 2;
  decision.selected = count === 1 ? D.SELECTED_ONLY : D.SELECTED_RANDOM;
  decision.eligible = count;
  decision.newDst = words[chosen]!;
  decision.newPorts = (b.ports[i]! & ~0xffff) | (words[chosen + 1]! & 0xffff);
  decision.masquerade = masqueradeOf(d, kind, flags, src, fromPod);
  return chooseSource(d, b, i);
}

function refuseNoEndpoint(d: Datapath): number {
  d.count(V.COUNT_REJECT_NO_ENDPOINT);
  return ESTABLISH_REFUSE;
}

/** SPEC 1: internal policy for cluster addresses; external policy Local for what comes from outside the cluster. */
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
  if (d.decision.newDst === src) return D.MASQUERADE_HAIRPIN;
  if (kind === FRONTEND_CLUSTER) return fromPod ? D.MASQUERADE_NO : D.MASQUERADE_OUTSIDE;
  if ((flags & SERVICE_FLAG_EXTERNAL_LOCAL) === 0) return D.MASQUERADE_EXTERNAL;
  return src === d.services.nodeAddress ? D.MASQUERADE_OUTSIDE : D.MASQUERADE_NO;
}

/** loadBalancerSourceRanges; none allow everyone. */
function isSourceAllowed(words: Int32Array, service: number, src: number): boolean {
  const count = words[service + L.SERVICE_RANGE_COUNT]!;
  if (count === 0) return true;
  const endpoints =
    words[service + L.SERVICE_CLUSTER_COUNT]! + words[service + L.SERVICE_LOCAL_COUNT]!;
  let at = service + L.SERVICE_HEADER_WORDS + endpoints * 2;
  for (let n = 0; n < count; n++) {
    if ((src & words[at + 1]!) === words[at]!) return true;
    at += 2;
  }
  return false;
}

const tuple: Tuple = { src: 0, dst: 0, ports: 0, proto: 0 };

/**
 * The source that the packet leaves with. Masqueraded packets get the node's address and a random free port of
 * the SNAT range; others keep theirs, unless the reply could then not be told from another flow's: two
 * connections of one client that meet at a common backend.
 */
function chooseSource(d: Datapath, b: Batch, i: number): number {
  const { decision, services, table } = d;
  const masquerade = decision.masquerade !== D.MASQUERADE_NO;
  if (masquerade) decision.newSrc = services.nodeAddress;
  tuple.src = decision.newSrc;
  tuple.dst = decision.newDst;
  tuple.ports = decision.newPorts;
  tuple.proto = b.proto[i]!;
  const free = !masquerade && isReplyFree(table, tuple, decision.newPorts);
  if (free) return ESTABLISH_FLOW;
  if (!hasPorts(tuple.proto)) return isReplyFree(table, tuple, 0) ? 0 : -V.DROP_SNAT_PORTS;
  const count = services.snatPortCount;
  const port = findSourcePort(table, tuple, services.snatPortMin, count, d.random(count));
  if (port === NO_PORT) return -V.DROP_SNAT_PORTS;
  decision.newPorts = withSourcePort(decision.newPorts, port);
  if (!masquerade) d.count(V.COUNT_PORT_MOVED);
  return ESTABLISH_FLOW;
}

function hasPorts(proto: number): boolean {
  return (
    proto === W.PROTO_TCP ||
    proto === W.PROTO_UDP ||
    proto === W.PROTO_ICMP ||
    proto === W.PROTO_SCTP
  );
}
