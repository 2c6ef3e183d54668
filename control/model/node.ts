import { parseRange } from '../../datapath/wire/address.ts';
import type { Node } from '../kube/kinds.ts';
import { parseAddresses } from './parse.ts';
import type { NodeRow } from './rows.ts';

/** The cluster autoscaler is about to take the node away. */
const TAINT_LEAVING = 'ToBeDeletedByClusterAutoscaler';
const LABEL_ZONE = 'topology.kubernetes.io/zone';

/** The row of a Node: its IPv4 addresses, the primary one of each type first, and its pod ranges. */
export function readNode(object: Node): NodeRow {
  const addressesOf = (type: string) => {
    const found = (object.status?.addresses ?? []).filter((a) => a.type === type);
    return parseAddresses(found.map((a) => a.address));
  };
  const cidrs = new Set([object.spec?.podCIDR, ...(object.spec?.podCIDRs ?? [])]);
  return {
    name: object.metadata?.name ?? '',
    addresses: addressesOf('InternalIP'),
    publicAddresses: addressesOf('ExternalIP'),
    podRanges: [...cidrs].map((text) => parseRange(text ?? '')).filter((range) => range !== null),
    zone: object.metadata?.labels?.[LABEL_ZONE] ?? '',
    leaving: isLeaving(object),
  };
}

function isLeaving({ metadata, spec }: Node): boolean {
  if (metadata?.deletionTimestamp) return true;
  return (spec?.taints ?? []).some((taint) => taint.key === TAINT_LEAVING);
}
