// A packet from its source to its end, node by node.
import type { Tuple } from '../../datapath/observe/packet.ts';
import type { Passage, Prober } from '../../datapath/observe/probe.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { endText, type Question } from './question.ts';
import type { ClusterView, Excluded } from './view.ts';
import { type Step, tellPassage } from './words.ts';

/** For ICMP the ports are the identifier and 0. */
export interface TupleText {
  src: string;
  sport: number;
  dst: string;
  dport: number;
}

/** What `explain -o json` prints. */
export interface Explanation {
  verdict: 'forward' | 'reject' | 'drop';
  /**
   * A stable code: the counter's name of a drop or refusal; `flow`, `service`, `egress`, `direct`,
   * ...
   */
  reason: string;
  service: string | null;
  eligible: string[];
  excluded: Excluded[];
  chosen: { endpoint: string; by: NonNullable<Passage['chosenBy']> } | null;
  /** Why the source becomes the node's address; null if it does not. */
  masquerade: Passage['masquerade'];
  original: TupleText;
  /** As it leaves the first node; null if it does not. */
  translated: TupleText | null;
  /** NetworkPolicies that had a part in it, on the whole way. */
  policies: Passage['policies'];
  steps: Step[];
}

/**
 * Longer ways lead in circles: source's node, the gateway, a NodePort's node, the endpoint's, and
 * one more.
 */
const HOPS_MAX = 5;

/**
 * Follows a packet.
 *
 * @param probers the datapath of a node; null if it has none that could be asked.
 * @param later it comes from the middle of a connection.
 */
export function follow(
  question: Question,
  view: ClusterView,
  probers: (node: string) => Prober | null,
  later = false,
): Explanation {
  const { only } = question;
  let { node, tuple } = question;
  let first: Explanation | null = null;
  const steps: Step[] = [];
  for (let hop = 0; hop < HOPS_MAX; hop++) {
    const prober = probers(node);
    if (!prober) {
      steps.push({
        node,
        stage: 'unknown',
        text: 'this node has no datapath that could be asked: its kernel decides (lab status shows the proxy)',
      });
      break;
    }
    const passage = prober.ask(tuple, later);
    const excluded = excludedOf(passage, node, view);
    steps.push(...tellPassage(passage, tuple, node, excluded, view));
    if (first) addPolicies(first, passage);
    // To what a public address stands for the node says that has it.
    const isNews = first?.service === null && first.reason === 'one-to-one';
    if (first && isNews) Object.assign(first, serviceOf(passage, excluded));
    first ??= summarize(passage, tuple, excluded, steps);
    Object.assign(first, { verdict: passage.verdict });
    if (passage.verdict !== 'forward') first.reason = passage.reason;
    if (!passage.left) break;
    tuple = passage.left;
    const next = nextNode(tuple, node, view, steps);
    if (next === null || only) break;
    node = next;
  }
  return first ?? unknown(question, steps);
}

/** The destination's node says again what the source's node has said. */
function addPolicies({ policies }: Explanation, passage: Passage): void {
  const text = (note: object) => JSON.stringify(note);
  const known = new Set(policies.map(text));
  policies.push(...passage.policies.filter((note) => !known.has(text(note))));
}

const BEFORE_ENDPOINTS: ReadonlySet<string> = new Set(['source-range', 'reject-midstream']);

function excludedOf(passage: Passage, node: string, view: ClusterView): Excluded[] {
  if (passage.service === null || passage.frontend === null) return [];
  // Refused before any endpoint was looked at: none was left out.
  if (BEFORE_ENDPOINTS.has(passage.reason)) return [];
  const eligible = new Set(pairTexts(passage.eligible));
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
    original: tupleText(tuple),
    translated: left && tupleText(left),
    policies: [...passage.policies],
    steps,
  };
}

function serviceOf(passage: Passage, excluded: Excluded[]) {
  const { service, left, chosenBy, masquerade } = passage;
  const endpoint = left && endText(left.dst, left.dport, left.proto);
  return {
    ...{ service, excluded, masquerade, eligible: pairTexts(passage.eligible) },
    chosen: endpoint && chosenBy ? { endpoint, by: chosenBy } : null,
  };
}

function unknown({ tuple }: Question, steps: Step[]): Explanation {
  return {
    ...{ verdict: 'drop', reason: 'no-datapath', service: null, eligible: [], excluded: [] },
    ...{ chosen: null, masquerade: null, original: tupleText(tuple), translated: null },
    ...{ policies: [], steps },
  };
}

/**
 * Where a packet goes that leaves a datapath: another node, or null if this one has the end of the
 * way.
 */
function nextNode(tuple: Tuple, node: string, view: ClusterView, steps: Step[]): string | null {
  const at = view.nodeOf(tuple.dst);
  const name = view.nameOf(tuple.dst);
  const step = (stage: string, text: string) => steps.push({ node, stage, text });
  if (at === node) {
    if (name) step('deliver', `to ${name}`);
    else step('deliver', `no pod has ${formatAddress(tuple.dst)}: the node says host unreachable`);
    return null;
  }
  if (at === null) return nextOutside(tuple.dst, node, view, step);
  const address = view.nodes.get(at)?.addresses[0];
  step('wire', `to node ${at}${address === undefined ? '' : ` (${formatAddress(address)})`}`);
  return at;
}

/** The same for an address that is neither a node's nor a pod's. */
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
  else step('wire', `to a node such as ${next}: every one has the balancer's address`);
  return next;
}

function pairTexts(pairs: Int32Array): string[] {
  const texts: string[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    texts.push(`${formatAddress(pairs[i]!)}:${pairs[i + 1]}`);
  }
  return texts;
}

function tupleText({ src, sport, dst, dport }: Tuple): TupleText {
  return { src: formatAddress(src), sport, dst: formatAddress(dst), dport };
}
