// Describes in words what a datapath did with a packet.

import type { Tuple } from '../../datapath/observe/packet.ts';
import type { Passage } from '../../datapath/observe/probe.ts';
import { formatAddress, formatEnd } from '../../datapath/wire/address.ts';
import { protoName } from '../../datapath/wire/ipv4.ts';
import { serviceKeyOf } from '../model/parse.ts';
import type { Excluded, Step } from './explanation.ts';
import { noSlices } from './missing.ts';
import { endText } from './question.ts';
import type { ClusterView } from './view.ts';

const FRONTENDS: Record<string, string> = {
  cluster: 'the ClusterIP',
  nodeport: 'the NodePort',
  loadbalancer: 'a load balancer address',
  external: 'an external IP',
};
const MASQUERADES: Record<string, string> = {
  hairpin: 'the chosen endpoint is the sender, so the reply must come back to this node',
  outside: 'the source is not a pod, the destination a ClusterIP',
  external: 'externalTrafficPolicy Cluster: the reply must come back through this node',
  egress: 'pod addresses are not routed outside the cluster',
};
const REASONS: Record<string, string> = {
  'reject-no-endpoint': 'no endpoint: refused at once',
  'reject-wrong-port': 'the Service with this address has no such port: refused',
  'reject-midstream': 'not the first packet of a connection, and no flow: reset',
  'no-local-endpoint': 'traffic policy Local, and all endpoints are on other nodes: dropped',
  'source-range': 'the source is outside loadBalancerSourceRanges: dropped',
  unallocated: 'no Service has this address of the Service range: dropped',
  'midstream-nat': 'not the first packet of a connection, needs translation, and no flow: dropped',
  'icmp-without-flow': 'an ICMP reply or error without a flow: dropped',
  'table-full': 'the flow table is full: dropped',
  'snat-ports': 'all SNAT ports towards this destination are in use: dropped',
  'passed-host': "a packet of the node's own sockets: passed unchanged",
  'passed-untracked': 'not the first packet of a connection, needs no translation: passed',
  'policy-ingress': 'dropped: no ingress rule of these policies allows it',
  'policy-egress': 'dropped: no egress rule of these policies allows it',
  'policy-unknown': 'dropped: an address of the pod ranges that no known pod has',
  'no-image': 'dropped: the datapath has no policies yet',
  unanswerable: 'would be refused, but this source must not get a reply: dropped',
  'one-to-one': 'between a node and its public address: translated without a flow',
  'foreign-source':
    'neither the source nor the destination is a node, so no reply could return: dropped',
  direct: 'needs no translation: tracked and passed',
};

const REASONS_GATEWAY: Record<string, string> = {
  ...REASONS,
  unallocated: 'no node and no load balancer has this public address: dropped',
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
    step('find', `an existing flow${service ? `, of ${service}` : ''}`);
  } else if (frontend) {
    const to = endText(sent.dst, sent.dport, sent.proto);
    step('service', `${to}/${protoName(sent.proto)} is ${FRONTENDS[frontend]} of ${service}`);
    tellEndpoints(passage, excluded, view, step);
  }
  tellPolicies(passage, view, step);
  const said = (node === view.gateway?.name ? REASONS_GATEWAY : REASONS)[reason];
  if (said) step(left ? 'establish' : passage.verdict, said);
  if (service !== null && frontend && passage.eligible.length === 0) {
    for (const line of noSlices(serviceKeyOf(service), view.objects) ?? []) step('objects', line);
  }
  if (reason === 'reject-wrong-port') {
    const services = view.servicesAt(sent.dst);
    if (services.length > 0) step('', `${formatAddress(sent.dst)} is ${services.join(', ')}`);
  }
  if (left && passage.masquerade) {
    step('masquerade', `to the node's address: ${MASQUERADES[passage.masquerade]}`);
  }
  if (passage.portMoved)
    step('source port', 'changed: another flow uses the original one for its replies');
  if (left && isChanged(sent, left))
    step('translate', `${tupleLine(sent)} becomes ${tupleLine(left)}`);
  return steps;
}

function tellPolicies(
  { policies, checked, ownNode }: Passage,
  view: ClusterView,
  step: (stage: string, text: string) => void,
): void {
  for (const { direction, policy, verdict, rule } of policies) {
    const pod = view.nameOf(direction === 'egress' ? checked.src : checked.dst) ?? 'the pod';
    if (verdict === 'allow') step('policy', `${direction} rule ${rule} of ${policy} allows it`);
    else if (verdict === 'drop') step('policy', `${pod} is selected by ${policy}, no rule matches`);
    else step('policy', `${policy} would drop it (${direction}), but is under audit`);
  }
  if (ownNode) step('policy', "the destination's own node may always reach it");
}

function tellEndpoints(
  { eligible, chosenBy, left, local, policies, checked }: Passage,
  excluded: Excluded[],
  view: ClusterView,
  step: (stage: string, text: string) => void,
): void {
  const named = (address: number, port: number) => {
    const name = view.nameOf(address);
    return `${formatEnd(address, port)}${name ? ` (${name})` : ''}`;
  };
  const texts: string[] = [];
  for (let i = 0; i < eligible.length; i += 2) texts.push(named(eligible[i]!, eligible[i + 1]!));
  const where = local ? ' on this node' : '';
  step('endpoints', texts.length > 0 ? `eligible${where}: ${texts.join(', ')}` : `none${where}`);
  for (const { endpoint, why } of excluded) step('endpoints', `not ${endpoint}: ${why}`);
  // The policy check names the endpoint of a packet that is dropped there.
  const denied =
    policies.length > 0 ? eligible.findIndex((n, i) => i % 2 === 0 && n === checked.dst) : -1;
  const chosen = left ? [left.dst, left.dport] : eligible.slice(denied, denied + 2);
  if (!left && denied < 0) return;
  const by: Partial<Record<NonNullable<typeof chosenBy>, string>> = {
    only: 'the only one',
    affinity: "session affinity: the client's last connection went there",
  };
  const how = by[chosenBy ?? 'random'] ?? `one of ${texts.length}, at random`;
  step('select', `${named(chosen[0]!, chosen[1]!)}, ${how}`);
}

function isChanged(a: Tuple, b: Tuple): boolean {
  return a.src !== b.src || a.sport !== b.sport || a.dst !== b.dst || a.dport !== b.dport;
}

function tupleLine({ src, sport, dst, dport, proto }: Tuple): string {
  return `${endText(src, sport, proto)} -> ${endText(dst, dport, proto)}`;
}
