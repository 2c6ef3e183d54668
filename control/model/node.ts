import { formatAddress, parseRange, type Range4 } from '../../datapath/wire/address.ts';
import type { Node } from '../kube/kinds.ts';
import { parseAddresses } from './parse.ts';
import type { NodeRow } from './rows.ts';

/** The cluster autoscaler is about to remove the node. */
const TAINT_LEAVING = 'ToBeDeletedByClusterAutoscaler';
/** The address that the node's agent uses, if it is not the first InternalIP. */
export const ANNOTATION_STEERED = 'kubetun.dev/steered-address';
/** The mask of /8, unsigned. */
const POD_MASK_MIN = 0xff00_0000;
const LABEL_ZONE = 'topology.kubernetes.io/zone';

/** The addresses in a Node: the first IPv4 InternalIP and the annotation. Null for none. */
export interface NamedAddress {
  internal: string | null;
  steered: string | null;
}

export function readNamedAddress(object: Node): NamedAddress {
  const first = ([address]: number[]) => (address === undefined ? null : formatAddress(address));
  return { internal: first(addressesOf(object, 'InternalIP')), steered: first(steeredOf(object)) };
}

/** The row of a Node: IPv4 addresses with the primary one of each type first, and pod ranges. */
export function readNode(object: Node): NodeRow {
  return {
    name: object.metadata?.name ?? '',
    addresses: [...new Set([...steeredOf(object), ...addressesOf(object, 'InternalIP')])],
    publicAddresses: addressesOf(object, 'ExternalIP'),
    podRanges: readPodRanges(object.spec),
    zone: object.metadata?.labels?.[LABEL_ZONE] ?? '',
    leaving: isLeaving(object),
  };
}

/**
 * Throws RangeError for a pod range that is too wide: it would capture other traffic. `readNode`
 * leaves such a range out.
 */
export function requirePodRanges({ spec }: Node): void {
  const text = podCidrsOf(spec).find((each) => isTooWide(parseRange(each)));
  if (text === undefined) return;
  const expected = 'a range of a node has at most 2^24 addresses, such as 10.244.1.0/24';
  throw new RangeError(`spec.podCIDR: ${text} is too wide: ${expected}`);
}

function readPodRanges(spec: Node['spec']): Range4[] {
  const ranges = podCidrsOf(spec).map(parseRange);
  return ranges.filter((range) => range !== null).filter((range) => !isTooWide(range));
}

function podCidrsOf(spec: Node['spec']): string[] {
  const cidrs = [spec?.podCIDR, ...(spec?.podCIDRs ?? [])];
  return [...new Set(cidrs.filter((text) => text !== undefined))];
}

function isTooWide(range: Range4 | null): boolean {
  return range !== null && range.mask >>> 0 < POD_MASK_MIN;
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
