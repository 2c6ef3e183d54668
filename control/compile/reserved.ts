// Addresses that no Service takes away from a node, whatever its objects say: a node always reaches its API server, other
// nodes and itself. Pure.
import { FRONTEND_EXTERNAL, FRONTEND_LOADBALANCER } from '../../datapath/nat/image.ts';
import { formatAddress, parseRange } from '../../datapath/wire/address.ts';
import type { Tables } from '../model/tables.ts';

/** The Service that stands for the API server in every cluster. */
export const API_SERVICE = 'default/kubernetes';

const SPECIAL = [
  ['0.0.0.0/8', 'an unspecified address'],
  ['127.0.0.0/8', 'a loopback address'],
  ['169.254.0.0/16', 'a link-local address'],
  ['224.0.0.0/4', 'a multicast address'],
  ['255.255.255.255/32', 'the broadcast address'],
].map(([range, what]) => ({ ...parseRange(range!)!, what: what! }));

export interface Reserved {
  api: Set<number>;
  nodes: Set<number>;
}

/** @param given addresses at which the agent itself reaches the API server. */
export function reservedOf(tables: Tables, given: readonly number[]): Reserved {
  const api = new Set(given);
  for (const { endpoints } of tables.slicesOf(API_SERVICE).values()) {
    for (const { address } of endpoints) api.add(address);
  }
  const nodes = new Set([...tables.nodes.values()].flatMap(({ addresses }) => addresses));
  return { api, nodes };
}

export function sameReserved(a: Reserved, b: Reserved): boolean {
  return sameSet(a.api, b.api) && sameSet(a.nodes, b.nodes);
}

function sameSet(a: Set<number>, b: Set<number>): boolean {
  return a.size === b.size && [...a].every((address) => b.has(address));
}

/**
 * Why a frontend of a kind is left out, or null. Only what an author writes is held against it: ClusterIPs and NodePorts
 * are allocated, and load balancers may well use the addresses of nodes.
 */
export function reasonAgainst(address: number, kind: number, reserved: Reserved): string | null {
  const { api, nodes } = reserved;
  if (kind !== FRONTEND_EXTERNAL && kind !== FRONTEND_LOADBALANCER) return null;
  const refuse = (what: string) => `${formatAddress(address)} is not captured: it is ${what}`;
  const special = SPECIAL.find((range) => (address & range.mask) === range.address);
  if (special) return refuse(special.what);
  if (api.has(address)) return refuse('an address of the API server');
  return kind === FRONTEND_EXTERNAL && nodes.has(address) ? refuse('an address of a node') : null;
}
