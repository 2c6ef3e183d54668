// What a datapath did with a packet, in sentences with the names of the cluster.
import type { Tuple } from '../../datapath/observe/packet.ts';
import type { Passage } from '../../datapath/observe/probe.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { endText, protocolName } from './question.ts';
import type { ClusterView, Excluded } from './view.ts';

/** One thing that happens on the way. */
export interface Step {
  node: string;
  stage: string;
  text: string;
}

const FRONTENDS: Record<string, string> = {
  cluster: 'the ClusterIP',
  nodeport: 'the NodePort',
  loadbalancer: 'a load balancer address',
  external: 'an external IP',
};
const MASQUERADES: Record<string, string> = {
  hairpin:
    "the chosen endpoint is the sender itself: only the node's address brings the answer back here",
  outside: 'a source that is no pod, to a ClusterIP',
  external: 'externalTrafficPolicy Cluster: the answer must come back through this node',
  egress: "nobody outside the cluster knows a pod's address",
};
const REASONS: Record<string, string> = {
  'reject-no-endpoint': 'no endpoint: refused at once',
  'reject-wrong-port': 'the address belongs to a Service, which has no such port: refused',
  'reject-midstream': 'the middle of a connection that no flow knows: reset',
  'no-local-endpoint': 'traffic policy Local, and the endpoints are on other nodes only: dropped',
  'source-range': 'the source is outside loadBalancerSourceRanges: dropped',
  unallocated: 'an address of the Service range that no Service has: dropped',
  'midstream-nat':
    'the middle of a connection that would need translation, without a flow: dropped',
  'icmp-without-flow': 'an ICMP answer that nothing asked for: dropped',
  'table-full': 'no room for another flow: dropped',
  'snat-ports': 'every SNAT port is taken towards this destination: dropped',
  'passed-host': "of the node's own sockets: left alone",
  'passed-untracked': 'the middle of a connection that needs no translation: let by',
  'policy-ingress': 'dropped: no rule of those policies allows it to arrive',
  'policy-egress': 'dropped: no rule of those policies allows it to be sent',
  'policy-unknown':
    'dropped: an address of the pod ranges, and the datapath knows no pod that has it',
  'no-image': 'dropped: the datapath does not know the policies yet',
  'one-to-one': 'between a node and its public address: translated without a flow',
  'foreign-source': 'neither from a node nor for one: nobody outside could answer, dropped',
  unanswerable: 'refused, but such a source must not be answered: dropped',
  direct: 'needs no translation: tracked, and let by',
};

const REASONS_GATEWAY: Record<string, string> = {
  ...REASONS,
  unallocated: "a public address that is neither a node's nor a load balancer's: dropped",
};

/** The steps of a packet in one datapath, in the order of the pipeline. */
export function tellPassage(
  passage: Passage,
  sent: Tuple,
  node: string,
  excluded: Excluded[],
  view: ClusterView,
): Step[] {
  const steps: Step[] = [];
  const step = (stage: string, text: string) => steps.push({ node, stage, text });
  const { service, frontend, left, reason } = passage;
  if (passage.chosenBy === 'flow' || reason === 'flow') {
    step('find', `a flow that is known${service ? `, of ${service}` : ''}`);
  } else if (frontend) {
    const to = endText(sent.dst, sent.dport, sent.proto);
    step('service', `${to}/${protocolName(sent.proto)} is ${FRONTENDS[frontend]} of ${service}`);
    tellEndpoints(passage, excluded, view, step);
  }
  tellPolicies(passage, view, step);
  const said = (node === view.gateway?.name ? REASONS_GATEWAY : REASONS)[reason];
  if (said) step(left ? 'establish' : passage.verdict, said);
  if (reason === 'reject-wrong-port') {
    const services = view.servicesAt(sent.dst);
    if (services.length > 0) step('', `${formatAddress(sent.dst)} is ${services.join(', ')}`);
  }
  if (passage.masquerade) {
    step('masquerade', `to the node's address: ${MASQUERADES[passage.masquerade]}`);
  }
  if (passage.portMoved) step('source port', "moved: another connection's answers have its place");
  if (left && isChanged(sent, left))
    step('translate', `${tupleLine(sent)} becomes ${tupleLine(left)}`);
  return steps;
}

function tellPolicies(
  { policies, judged, ownNode }: Passage,
  view: ClusterView,
  step: (stage: string, text: string) => void,
): void {
  for (const { direction, policy, verdict, rule } of policies) {
    const pod = view.nameOf(direction === 'egress' ? judged.src : judged.dst) ?? 'the pod';
    if (verdict === 'allow') step('policy', `${direction} rule ${rule} of ${policy} allows it`);
    else if (verdict === 'drop') step('policy', `${pod} is selected by ${policy}, no rule matches`);
    else step('policy', `${policy} would drop it (${direction}), but is under audit`);
  }
  if (ownNode) step('policy', "the destination's own node always reaches it");
}

function tellEndpoints(
  { eligible, chosenBy, left, local }: Passage,
  excluded: Excluded[],
  view: ClusterView,
  step: (stage: string, text: string) => void,
): void {
  const named = (address: number, port: number) => {
    const name = view.nameOf(address);
    return `${formatAddress(address)}:${port}${name ? ` (${name})` : ''}`;
  };
  const texts: string[] = [];
  for (let i = 0; i < eligible.length; i += 2) texts.push(named(eligible[i]!, eligible[i + 1]!));
  const where = local ? ' on this node' : '';
  step('endpoints', texts.length > 0 ? `eligible${where}: ${texts.join(', ')}` : `none${where}`);
  for (const { endpoint, why } of excluded) step('endpoints', `not ${endpoint}: ${why}`);
  if (!left) return;
  const by: Partial<Record<NonNullable<typeof chosenBy>, string>> = {
    only: 'the only one',
    affinity: "session affinity: the client's last connection went there",
  };
  const how = by[chosenBy ?? 'random'] ?? `one of ${texts.length}, at random`;
  step('select', `${named(left.dst, left.dport)}, ${how}`);
}

function isChanged(a: Tuple, b: Tuple): boolean {
  return a.src !== b.src || a.sport !== b.sport || a.dst !== b.dst || a.dport !== b.dport;
}

function tupleLine({ src, sport, dst, dport, proto }: Tuple): string {
  return `${endText(src, sport, proto)} -> ${endText(dst, dport, proto)}`;
}
