import { parseRange } from '../../datapath/wire/address.ts';
import type { Namespace, NetworkPolicy } from '../kube/kinds.ts';
import { objectKey, parseProtocol } from './parse.ts';
import type {
  BlockPeerRow,
  NamespaceRow,
  NetworkPolicyRow,
  PodPeerRow,
  PolicyPortRow,
  PolicyRuleRow,
  PrefixRow,
} from './policy-rows.ts';

const ANNOTATION_AUDIT = 'kubetun.dev/audit';
const PORT_MAX = 65_535;

type Spec = NonNullable<NetworkPolicy['spec']>;
type IngressRule = NonNullable<Spec['ingress']>[number];
type EgressRule = NonNullable<Spec['egress']>[number];
type Peer = NonNullable<IngressRule['_from']>[number];
type Port = NonNullable<IngressRule['ports']>[number];
/** A rule in JSON. The client's types rename `from`. */
type Rule = Omit<IngressRule, '_from'> & { from?: Peer[] } & Pick<EgressRule, 'to'>;

export function readNamespace({ metadata }: Namespace): NamespaceRow {
  return { name: metadata?.name ?? '', labels: metadata?.labels ?? {} };
}

/**
 * The row of a NetworkPolicy. The default types are Ingress, and Egress if there are egress rules.
 * An unreadable part allows nothing. Source: k8s pkg/apis/networking/v1/defaults.go.
 */
export function readNetworkPolicy({ metadata, spec }: NetworkPolicy): NetworkPolicyRow {
  const ingress: Rule[] = spec?.ingress ?? [];
  const egress: Rule[] = spec?.egress ?? [];
  const types = spec?.policyTypes?.length
    ? spec.policyTypes
    : ['Ingress', ...(egress.length > 0 ? ['Egress'] : [])];
  const rules = (list: Rule[], type: string) => (types.includes(type) ? list.map(readRule) : null);
  return {
    key: objectKey(metadata),
    namespace: metadata?.namespace ?? 'default',
    createdMs: Date.parse(metadata?.creationTimestamp ?? '') || 0,
    selector: spec?.podSelector ?? {},
    audited: metadata?.annotations?.[ANNOTATION_AUDIT] === 'true',
    ingress: rules(ingress, 'Ingress'),
    egress: rules(egress, 'Egress'),
  };
}

function readRule({ from, to, ports }: Rule): PolicyRuleRow {
  const peers = from ?? to ?? [];
  const pods: PodPeerRow[] = [];
  const blocks: BlockPeerRow[] = [];
  for (const { ipBlock, podSelector, namespaceSelector } of peers) {
    if (ipBlock) {
      const block = readBlock(ipBlock);
      if (block) blocks.push(block);
    } else if (podSelector || namespaceSelector) {
      pods.push({ namespaces: namespaceSelector ?? null, pods: podSelector ?? {} });
    }
  }
  return {
    pods: peers.length === 0 ? null : pods,
    blocks,
    ports: ports?.length ? ports.flatMap(readPort) : null,
  };
}

/** Null for a block with an unreadable exception, which would allow too much. */
function readBlock({ cidr, except }: NonNullable<Peer['ipBlock']>): BlockPeerRow | null {
  const range = readPrefix(cidr);
  const exceptions: PrefixRow[] = [];
  for (const text of except ?? []) {
    const exception = readPrefix(text);
    if (!exception) return null;
    exceptions.push(exception);
  }
  return range && { cidr: range, except: exceptions };
}

function readPrefix(text: string): PrefixRow | null {
  const range = parseRange(text);
  return range && { address: range.address, length: Math.clz32(~range.mask) };
}

function readPort({ protocol, port, endPort }: Port): PolicyPortRow[] {
  const proto = parseProtocol(protocol);
  if (proto === null) return [];
  if (port === undefined) return [{ proto, name: null, first: 0, last: PORT_MAX }];
  if (typeof port === 'number' || /^\d+$/.test(port)) {
    const number = Number(port);
    return [{ proto, name: null, first: number, last: Math.min(endPort ?? number, PORT_MAX) }];
  }
  return [{ proto, name: port, first: 0, last: 0 }];
}
