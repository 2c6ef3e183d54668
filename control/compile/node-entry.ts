import type { NodeEntry } from '../../datapath/image/image.ts';
import type { Range4 } from '../../datapath/wire/address.ts';
import { outerRanges } from '../../datapath/wire/ranges.ts';
import type { NodeRow } from '../model/rows.ts';

/** The cluster's ranges, from the command line. */
export interface NodeRanges {
  serviceRange: Range4;
  /** The podCIDRs of Nodes are added to these, unless `podRangesFixed` is set. */
  podRanges: Range4[];
  /** Ignores the podCIDRs of Nodes: a wrong one would make a gateway capture outside addresses. */
  podRangesFixed?: boolean;
  /** Inclusive. */
  snatPortMin: number;
  snatPortMax: number;
  /** Role gateway: it translates between the internal and public addresses of Nodes. */
  gateway?: boolean;
}

/**
 * Masquerade ports. The node's own sockets use lower ones. The last port is left out because the
 * kernel refuses rules with a range up to 65535.
 */
export const SNAT_PORT_MIN = 40_000;
export const SNAT_PORT_MAX = 65_534;
export const NODE_PORT_MIN = 30_000;
export const NODE_PORT_MAX = 32_767;
export const PORT_RANGES = { snatPortMin: SNAT_PORT_MIN, snatPortMax: SNAT_PORT_MAX } as const;

/** The node's part of the image. Null until the node's own address is known. */
export function buildNodeEntry(
  nodeName: string,
  nodes: Iterable<NodeRow>,
  ranges: NodeRanges,
  localAddresses: readonly number[] = [],
): NodeEntry | null {
  const rows = [...nodes];
  const nodeAddress = rows.find((row) => row.name === nodeName)?.addresses[0];
  if (nodeAddress === undefined) return null;
  const ofNodes = ranges.podRangesFixed ? [] : rows.flatMap((row) => row.podRanges);
  const entry: NodeEntry = {
    nodeAddress,
    nodeAddresses: [...new Set(rows.flatMap((row) => row.addresses))].sort((a, b) => a - b),
    podRanges: outerRanges([...ranges.podRanges, ...ofNodes]).sort((a, b) => a.address - b.address),
    serviceRange: ranges.serviceRange,
    snatPortMin: ranges.snatPortMin,
    snatPortMax: ranges.snatPortMax,
  };
  if (!ranges.gateway) {
    const known = new Set(entry.nodeAddresses);
    return { ...entry, localAddresses: localAddresses.filter((address) => !known.has(address)) };
  }
  const gateway = publicPairs(rows, nodeName, ranges.serviceRange);
  // Without a public address, the gateway's own address is not a node address.
  const isKnown = gateway.some((address, i) => i % 2 === 0 && address === nodeAddress);
  const others = entry.nodeAddresses.filter((address) => isKnown || address !== nodeAddress);
  return { ...entry, nodeAddresses: others, gateway };
}

/**
 * Pairs (node address, public address) of the Nodes and the gateway, sorted by address. Leaves out
 * addresses outside of the gateway's public range: they belong to others.
 */
function publicPairs(rows: NodeRow[], gateway: string, { address, mask }: Range4): Int32Array {
  const pairs: [number, number][] = [];
  for (const { name, addresses, publicAddresses } of rows) {
    const own = addresses[0];
    // The gateway's own public address may be outside of the range.
    const outside = publicAddresses.find((each) => name === gateway || (each & mask) === address);
    if (own !== undefined && outside !== undefined) pairs.push([own, outside]);
  }
  return Int32Array.from(pairs.sort((a, b) => a[0] - b[0]).flat());
}
