// Addresses that no Service captures: special ranges, and those of the API server, which a node
// must always reach. Pure.
import { FRONTEND_EXTERNAL, FRONTEND_LOADBALANCER } from '../../datapath/image/image.ts';
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

/** @param given addresses at which the agent itself reaches the API server. */
export function apiAddressesIn(tables: Tables, given: readonly number[]): Set<number> {
  const api = new Set(given);
  for (const { endpoints } of tables.slicesOf(API_SERVICE).values()) {
    for (const { address } of endpoints) api.add(address);
  }
  return api;
}

export function sameAddresses(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  return a.size === b.size && [...a].every((address) => b.has(address));
}

/**
 * Why a frontend is not captured; null if it is. Applies to external and load-balancer addresses,
 * which users and controllers write, not to allocated ClusterIPs and NodePorts. A node's address is
 * captured at the Service's ports, as in kube-proxy.
 */
export function reasonAgainst(
  address: number,
  kind: number,
  api: ReadonlySet<number>,
): string | null {
  if (kind !== FRONTEND_EXTERNAL && kind !== FRONTEND_LOADBALANCER) return null;
  const refuse = (what: string) => `${formatAddress(address)} is not captured: it is ${what}`;
  const special = SPECIAL.find((range) => (address & range.mask) === range.address);
  if (special) return refuse(special.what);
  return api.has(address) ? refuse('an address of the API server') : null;
}
