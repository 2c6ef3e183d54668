// Where a gateway is, in the terms in which a node's place is told to the compiler.
import { parseRange } from '../../datapath/wire/address.ts';
import { type NodeRanges, PORT_RANGES } from '../compile/node-entry.ts';
import type { NodeRow } from '../model/rows.ts';

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
