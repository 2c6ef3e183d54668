// Objects in a gateway: Nodes as backends, Services as load balancers, and the gateway itself.
import { parseRange } from '../../datapath/wire/address.ts';
import { type NodeRanges, PORT_RANGES } from '../compile/node-entry.ts';
import type { Node, Service } from '../kube/kinds.ts';
import { readNode } from '../model/node.ts';
import { parseAddresses } from '../model/parse.ts';
import type { NodeRow, ServiceRow } from '../model/rows.ts';
import { readService } from '../model/service.ts';

const LABEL_EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';

/** A Node as a backend of load balancers. */
export interface BackendRow extends NodeRow {
  /** Why the node gets no traffic, even if it is healthy. Null if it may get some. */
  out: string | null;
}

/**
 * Source: k8s staging/src/k8s.io/cloud-provider/controllers/service, stableNodeSetPredicates and
 * the Ready condition.
 */
export function readBackend(object: Node): BackendRow {
  const row = readNode(object);
  return { ...row, out: whyOut(object, row) };
}

function whyOut({ metadata, status }: Node, { addresses, leaving }: NodeRow): string | null {
  if (addresses.length === 0) return 'has no address';
  if (metadata?.labels && LABEL_EXCLUDED in metadata.labels)
    return `has the label ${LABEL_EXCLUDED}`;
  if (leaving) return 'is about to be removed';
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return ready?.status === 'True' ? null : 'is not ready';
}

/**
 * A Service as a load balancer. It has all addresses of the status, with any ipMode. Null for
 * another type, or without an address.
 */
export function readBalancer(object: Service): ServiceRow | null {
  const ingress = object.status?.loadBalancer?.ingress ?? [];
  const loadBalancerAddresses = parseAddresses(ingress.map(({ ip }) => ip));
  if (object.spec?.type !== 'LoadBalancer' || loadBalancerAddresses.length === 0) return null;
  return { ...readService(object), loadBalancerAddresses };
}

/**
 * The nodes are in `inside`; only these have public addresses.
 * @param podRanges ranges of all pods. If empty, the Nodes give them.
 */
export function gatewayRanges(
  publicRange: string,
  inside: string[],
  podRanges: string[] = [],
): NodeRanges {
  return {
    ...PORT_RANGES,
    gateway: true,
    serviceRange: parseRange(publicRange)!,
    podRanges: [...inside, ...podRanges].map((text) => parseRange(text)!),
    podRangesFixed: podRanges.length > 0,
  };
}

/**
 * Stands for the gateway, which is no Node, as the compile target. `outside` are its public
 * addresses.
 */
export function gatewayNode(name: string, address: number, outside: number[] = []): NodeRow {
  const nothing = { podRanges: [], zone: '', leaving: false };
  return { name, addresses: [address], publicAddresses: outside, ...nothing };
}
