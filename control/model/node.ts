import { parseRange } from '../../datapath/wire/address.ts';
import type { Node } from '../kube/kinds.ts';
import { parseAddresses } from './parse.ts';
import type { NodeRow } from './rows.ts';

/** The cluster autoscaler is about to take the node away. */
const TAINT_LEAVING = 'ToBeDeletedByClusterAutoscaler';
const LABEL_ZONE = 'topology.kubernetes.io/zone';

/** The row of a Node: its IPv4 InternalIPs, the primary one first, and its pod ranges. */
export function readNode(object: Node): NodeRow {
  const internal = (object.status?.addresses ?? []).filter((a) => a.type === 'InternalIP');
  const cidrs = new Set([object.spec?.podCIDR, ...(object.spec?.podCIDRs ?? [])]);
  return {
    name: object.metadata?.name ?? '',
    addresses: parseAddresses(internal.map((a) => a.address)),
    podRanges: [...cidrs].map((text) => parseRange(text ?? '')).filter((range) => range !== null),
    zone: object.metadata?.labels?.[LABEL_ZONE] ?? '',
    leaving: isLeaving(object),
  };
}

function isLeaving({ metadata, spec }: Node): boolean {
  if (metadata?.deletionTimestamp) return true;
  return (spec?.taints ?? []).some((taint) => taint.key === TAINT_LEAVING);
}
