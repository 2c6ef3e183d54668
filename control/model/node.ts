import { formatAddress, parseRange } from '../../datapath/wire/address.ts';
import type { Node } from '../kube/kinds.ts';
import { parseAddresses } from './parse.ts';
import type { NodeRow } from './rows.ts';

/** The cluster autoscaler is about to take the node away. */
const TAINT_LEAVING = 'ToBeDeletedByClusterAutoscaler';
/** The address that the node's agent steers, where that is not the first InternalIP. */
export const ANNOTATION_STEERED = 'kubetun.dev/steered-address';
const LABEL_ZONE = 'topology.kubernetes.io/zone';

/** What a Node says of its own address: the first IPv4 InternalIP, and the annotation; null for none. */
export interface NamedAddress {
  internal: string | null;
  steered: string | null;
}

export function readNamedAddress(object: Node): NamedAddress {
  const first = ([address]: number[]) => (address === undefined ? null : formatAddress(address));
  return { internal: first(addressesOf(object, 'InternalIP')), steered: first(steeredOf(object)) };
}

/** The row of a Node: its IPv4 addresses, the primary one of each type first, and its pod ranges. */
export function readNode(object: Node): NodeRow {
  const cidrs = new Set([object.spec?.podCIDR, ...(object.spec?.podCIDRs ?? [])]);
  return {
    name: object.metadata?.name ?? '',
    addresses: [...new Set([...steeredOf(object), ...addressesOf(object, 'InternalIP')])],
    publicAddresses: addressesOf(object, 'ExternalIP'),
    podRanges: [...cidrs].map((text) => parseRange(text ?? '')).filter((range) => range !== null),
    zone: object.metadata?.labels?.[LABEL_ZONE] ?? '',
    leaving: isLeaving(object),
  };
}

function addressesOf({ status }: Node, type: string): number[] {
  const found = (status?.addresses ?? []).filter((a) => a.type === type);
  return parseAddresses(found.map((a) => a.address));
}

function steeredOf({ metadata }: Node): number[] {
  return parseAddresses([metadata?.annotations?.[ANNOTATION_STEERED]]);
}

function isLeaving({ metadata, spec }: Node): boolean {
  if (metadata?.deletionTimestamp) return true;
  return (spec?.taints ?? []).some((taint) => taint.key === TAINT_LEAVING);
}
