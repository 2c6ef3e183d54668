// What a gateway keeps of the cluster: Nodes as backends of load balancers, and Services that are
// load balancers.
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
