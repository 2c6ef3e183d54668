// NetworkPolicy by its reference, on the objects themselves. Simple, slow, and independent of the
// tested code.
// https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
import { BlockList } from 'node:net';

interface Selector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export interface OraclePod {
  namespace: string;
  name: string;
  labels: Record<string, string>;
  address: string;
  /** Address of its node. */
  node: string;
  ports: { name: string; protocol: string; containerPort: number }[];
}

export interface OraclePolicy {
  metadata: { namespace: string; name: string; annotations?: Record<string, string> };
  spec: {
    podSelector?: Selector;
    policyTypes?: string[];
    ingress?: OracleRule[];
    egress?: OracleRule[];
  };
}

export interface OracleRule {
  from?: OraclePeer[];
  to?: OraclePeer[];
  ports?: { protocol?: string; port?: number | string; endPort?: number }[];
}

export interface OraclePeer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string; except?: string[] };
}

export interface OracleCluster {
  pods: OraclePod[];
  /** Labels of each namespace. */
  namespaces: Record<string, Record<string, string>>;
  policies: OraclePolicy[];
}

/** `TCP`, `UDP`, `SCTP` or `ICMP`. */
export type OracleProtocol = string;

/** True if the cluster's policies let a new connection pass between two addresses. */
export function mayTalk(
  cluster: OracleCluster,
  from: string,
  to: string,
  protocol: OracleProtocol,
  port: number,
): boolean {
  if (from === to) return true;
  const source = cluster.pods.find((pod) => pod.address === from);
  const destination = cluster.pods.find((pod) => pod.address === to);
  const inForce = cluster.policies.filter(
    ({ metadata }) => metadata.annotations?.['kubetun.dev/audit'] !== 'true',
  );
  if (source) {
    const policies = inForce.filter((p) => typesOf(p).includes('Egress') && isFor(p, source));
    const allowed = policies.some((policy) =>
      (policy.spec.egress ?? []).some((rule) =>
        peersOf(rule.to).some(
          (peer) =>
            meansPeer(cluster, policy, peer, to, destination) &&
            // A named port belongs to a pod; an address block has none.
            meansPort(rule, protocol, port, peer?.ipBlock ? undefined : destination),
        ),
      ),
    );
    if (policies.length > 0 && !allowed) return false;
  }
  if (destination && from !== destination.node) {
    const policies = inForce.filter((p) => typesOf(p).includes('Ingress') && isFor(p, destination));
    const allowed = policies.some((policy) =>
      (policy.spec.ingress ?? []).some(
        (rule) =>
          peersOf(rule.from).some((peer) => meansPeer(cluster, policy, peer, from, source)) &&
          meansPort(rule, protocol, port, destination),
      ),
    );
    if (policies.length > 0 && !allowed) return false;
  }
  return true;
}

/** The peers; a missing or empty list means any peer. */
function peersOf(peers: OraclePeer[] | undefined): (OraclePeer | null)[] {
  return peers && peers.length > 0 ? peers : [null];
}

function typesOf({ spec }: OraclePolicy): string[] {
  if (spec.policyTypes && spec.policyTypes.length > 0) return spec.policyTypes;
  return spec.egress && spec.egress.length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
}

function isFor({ metadata, spec }: OraclePolicy, pod: OraclePod): boolean {
  return metadata.namespace === pod.namespace && fits(spec.podSelector ?? {}, pod.labels);
}

function meansPeer(
  { namespaces }: OracleCluster,
  { metadata }: OraclePolicy,
  peer: OraclePeer | null,
  address: string,
  pod: OraclePod | undefined,
): boolean {
  if (peer === null) return true;
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (ipBlock) {
    return isInside(ipBlock.cidr, address) && !ipBlock.except?.some((e) => isInside(e, address));
  }
  if (!pod) return false;
  const rightNamespace = namespaceSelector
    ? fits(namespaceSelector, namespaces[pod.namespace] ?? {})
    : pod.namespace === metadata.namespace;
  return rightNamespace && (!podSelector || fits(podSelector, pod.labels));
}

function meansPort(
  { ports }: OracleRule,
  protocol: OracleProtocol,
  number: number,
  destination: OraclePod | undefined,
): boolean {
  if (!ports || ports.length === 0) return true;
  return ports.some(({ protocol: wanted = 'TCP', port, endPort }) => {
    if (wanted !== protocol) return false;
    if (port === undefined) return true;
    if (typeof port === 'number') return number >= port && number <= (endPort ?? port);
    return (destination?.ports ?? []).some(
      (p) => p.name === port && p.protocol === protocol && p.containerPort === number,
    );
  });
}

function fits(
  { matchLabels = {}, matchExpressions = [] }: Selector,
  labels: Record<string, string>,
) {
  const equal = Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
  return (
    equal &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      const listed = value !== undefined && values.includes(value);
      return operator === 'In' ? listed : !listed;
    })
  );
}

function isInside(cidr: string, address: string): boolean {
  const [base, bits] = cidr.split('/');
  const list = new BlockList();
  list.addSubnet(base!, Number(bits));
  return list.check(address);
}
