// Objects as a gateway keeps them: Nodes as backends, Services as load balancers, its own place.
import { parseRange } from '../../datapath/wire/address.ts';
import { type NodeRanges, PORT_RANGES } from '../compile/node-entry.ts';
import type { Node, Service } from '../kube/kinds.ts';
import { readNode } from '../model/node.ts';
import { parseAddresses } from '../model/parse.ts';
import type { NodeRow, ServiceRow } from '../model/rows.ts';
import { readService } from '../model/service.ts';

const LABEL_EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';

/** A Node as a load balancer sees it. */
export interface BackendRow extends NodeRow {
  /** Why it must not be sent anything, whatever its health; null if it may. */
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
  if (leaving) return 'is about to be taken away';
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return ready?.status === 'True' ? null : 'is not ready';
}

/**
 * A Service as a load balancer: all addresses that its status names are the balancer's, whatever
 * their ipMode. Null if it is none, or has no address yet.
 */
export function readBalancer(object: Service): ServiceRow | null {
  const ingress = object.status?.loadBalancer?.ingress ?? [];
  const loadBalancerAddresses = parseAddresses(ingress.map(({ ip }) => ip));
  if (object.spec?.type !== 'LoadBalancer' || loadBalancerAddresses.length === 0) return null;
  return { ...readService(object), loadBalancerAddresses };
}

/**
 * What lies behind the gateway is inside; only Nodes of it have a public address.
 *
 * @param podRanges where all pods are; if empty the Nodes say it.
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
 * The gateway is no Node; this stands for the place that is compiled for. `outside` are its
 * addresses there.
 */
export function gatewayNode(name: string, address: number, outside: number[] = []): NodeRow {
  const nothing = { podRanges: [], zone: '', leaving: false };
  return { name, addresses: [address], publicAddresses: outside, ...nothing };
}
