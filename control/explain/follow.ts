// Follows a packet from its source to its destination, node by node.

import { type Tuple, tupleRow } from '../../datapath/observe/packet.ts';
import type { Passage, Prober } from '../../datapath/observe/probe.ts';
import { formatAddress, formatEnds } from '../../datapath/wire/address.ts';
import type { Excluded, Explanation, Lookup, Step } from './explanation.ts';
import { flagOf } from './missing.ts';
import { endText, type Question } from './question.ts';
import type { ClusterView } from './view.ts';
import { tellPassage } from './words.ts';

/**
 * Longer paths are loops: source's node, gateway, NodePort's node, endpoint's node, and one more.
 */
const HOPS_MAX = 5;
/** First octets of addresses that Linux does not route: 0/8, 127/8, 224/4. */
const NET_THIS = 0;
const NET_LOOPBACK = 127;
const MULTICAST = 224;
/** 255.255.255.255. */
const BROADCAST = -1;

/** A packet's way, and the packet at its end; null if that is not known. */
export interface Followed {
  explanation: Explanation;
  arrived: { node: string; tuple: Tuple } | null;
}

/**
 * Follows a packet.
 *
 * @param probers the datapath of a node; null without one.
 * @param later the packet is not the first of its connection.
 */
export function follow(
  question: Question,
  view: ClusterView,
  probers: (node: string) => Prober | null,
  later = false,
): Followed {
  const unseen = later ? null : unseenBy(question, view);
  if (unseen !== null) return { explanation: unseen, arrived: null };
  const { only } = question;
  let { node, tuple } = question;
  let first: Explanation | null = null;
  let isThere = false;
  const steps: Step[] = [];
  for (let hop = 0; hop < HOPS_MAX; hop++) {
    const prober = probers(node);
    if (!prober) {
      steps.push({ node, stage: 'unknown', text: noDatapathText(node, view) });
      break;
    }
    const passage = prober.ask(tuple, later);
    const excluded = excludedOf(passage, node, view);
    steps.push(...tellPassage(passage, tuple, node, excluded, view));
    if (first) addPolicies(first, passage);
    // The node that has a public address knows the Service behind it.
    const isNews = first?.service === null && first.reason === 'one-to-one';
    if (first && isNews) Object.assign(first, serviceOf(passage, excluded));
    first ??= summarize(passage, tuple, excluded, steps);
    Object.assign(first, { verdict: passage.verdict });
    if (passage.verdict !== 'forward') first.reason = passage.reason;
    if (!passage.left) break;
    tuple = passage.left;
    const next = nextNode(tuple, node, view, steps);
    isThere = next === null;
    if (next === null || only) break;
    node = next;
  }
  const explanation = first ?? unknown(question, steps);
  return { explanation, arrived: isThere ? { node, tuple } : null };
}

function noDatapathText(node: string, { objects }: ClusterView): string {
  if (objects.lab === null) return `Node ${node} has no address in the objects, so no datapath`;
  const status = `lab status${flagOf(objects)} shows the proxy`;
  return `this node has no datapath: its kernel decides (${status})`;
}

/** Adds policies that the source's node has not reported already. */
function addPolicies({ policies }: Explanation, passage: Passage): void {
  const text = (note: object) => JSON.stringify(note);
  const known = new Set(policies.map(text));
  policies.push(...passage.policies.filter((note) => !known.has(text(note))));
}

const BEFORE_ENDPOINTS: ReadonlySet<string> = new Set(['source-range', 'reject-midstream']);

function excludedOf(passage: Passage, node: string, view: ClusterView): Excluded[] {
  if (passage.service === null || passage.frontend === null) return [];
  // Refused before endpoints were considered, so none was excluded.
  if (BEFORE_ENDPOINTS.has(passage.reason)) return [];
  const eligible = new Set(formatEnds(passage.eligible));
  if (node === view.gateway?.name) return view.gateway.excluded(passage.service, eligible);
  return view.excluded(passage.service, node, eligible, passage.local);
}

function summarize(
  passage: Passage,
  tuple: Tuple,
  excluded: Excluded[],
  steps: Step[],
): Explanation {
  const { verdict, reason, left } = passage;
  return {
    ...{ verdict, reason },
    ...serviceOf(passage, excluded),
    ...{ lookup: null, ingress: null },
    original: tupleRow(tuple),
    translated: left && tupleRow(left),
    policies: [...passage.policies],
    steps,
  };
}

function serviceOf(passage: Passage, excluded: Excluded[]) {
  const { service, left, chosenBy, masquerade } = passage;
  const endpoint = left && endText(left.dst, left.dport, left.proto);
  return {
    ...{ service, excluded, masquerade, eligible: formatEnds(passage.eligible) },
    chosen: endpoint && chosenBy ? { endpoint, by: chosenBy } : null,
  };
}

function unknown({ tuple }: Question, steps: Step[]): Explanation {
  return { ...empty('drop', 'no-datapath', steps), original: tupleRow(tuple) };
}

/** The explanation of a packet that its sender's kernel keeps; null for one that is routed. */
function unseenBy({ tuple, node, only }: Question, view: ClusterView): Explanation | null {
  const found = keptBy(tuple, view, only);
  if (found === null) return null;
  const { verdict, reason, text } = found;
  const steps = [{ node, stage: verdict, text: `${formatAddress(tuple.dst)} is ${text}` }];
  return { ...empty(verdict, reason, steps), original: tupleRow(tuple) };
}

function keptBy({ src, dst }: Tuple, view: ClusterView, only: boolean) {
  const first = dst >>> 24;
  const stays = `the packet never leaves ${view.nameOf(src) ?? formatAddress(src)}`;
  const local = (reason: string, text: string) => ({ verdict: 'local' as const, reason, text });
  if (first === NET_LOOPBACK) return local('loopback', `a loopback address: ${stays}`);
  if (dst === 0) return local('loopback', `the sender itself, as 127.0.0.1 is: ${stays}`);
  // With --node the packet has left its sender already.
  if (dst === src && !only && view.podAt(src)) {
    return local('own-address', `the sender's own address: ${stays}`);
  }
  const isBroadcast = dst === BROADCAST;
  if (!isBroadcast && first !== NET_THIS && (first < MULTICAST || first >= MULTICAST + 16)) {
    return null;
  }
  const kind = isBroadcast ? 'broadcast' : first === NET_THIS ? 'reserved' : 'multicast';
  const text = `a ${kind} address: it is not routed beyond the sender's link`;
  return { verdict: 'drop' as const, reason: 'not-routed', text };
}

/** The explanation of a packet that is never sent. */
export function unresolved(reason: string, lookup: Lookup, steps: Step[]): Explanation {
  return { ...empty('unresolved', reason, steps), lookup };
}

function empty(verdict: Explanation['verdict'], reason: string, steps: Step[]): Explanation {
  return {
    ...{ verdict, reason, service: null, eligible: [], excluded: [], chosen: null },
    ...{ masquerade: null, lookup: null, ingress: null, original: null, translated: null },
    ...{ policies: [], steps },
  };
}

/** The next node of a packet that leaves a datapath; null at the end of its path. */
function nextNode(tuple: Tuple, node: string, view: ClusterView, steps: Step[]): string | null {
  const at = view.nodeOf(tuple.dst);
  const name = view.nameOf(tuple.dst);
  const step = (stage: string, text: string) => steps.push({ node, stage, text });
  if (at === node) {
    if (name) step('deliver', `to ${name}`);
    else
      step('deliver', `no pod has ${formatAddress(tuple.dst)}: the node answers host unreachable`);
    return null;
  }
  if (at === null) return nextOutside(tuple.dst, node, view, step);
  const address = view.nodes.get(at)?.addresses[0];
  step('wire', `to node ${at}${address === undefined ? '' : ` (${formatAddress(address)})`}`);
  return at;
}

/** The same for an address outside the cluster. */
function nextOutside(
  dst: number,
  node: string,
  { gateway }: ClusterView,
  step: (stage: string, text: string) => void,
): string | null {
  const where = `to ${formatAddress(dst)}, which is outside`;
  if (gateway === null) {
    step('leave', `by the node's uplink, ${where}`);
    return null;
  }
  if (node !== gateway.name) {
    step('wire', `to the gateway ${gateway.name}`);
    return gateway.name;
  }
  const next = gateway.nodeFor(dst);
  if (next === null) step('leave', `by the gateway's uplink, ${where}`);
  else step('wire', `to a node such as ${next}: all nodes capture the balancer's address`);
  return next;
}
