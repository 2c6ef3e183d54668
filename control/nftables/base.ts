// The part of the table that does not depend on Services: sets of addresses, base chains, and the
// chains that the rules of every Service lead to. Pure.
import type { NodeEntry } from '../../datapath/image/image.ts';
import { formatAddress, formatRange } from '../../datapath/wire/address.ts';
import { MASQUERADE } from './service.ts';

/**
 * Name -> definition. `known` holds the addresses that Services capture. `hairpins` holds the pair
 * (address, same address) of each endpoint.
 */
export const BASE_SETS: Record<string, string> = {
  pods: 'set type ipv4_addr; flags interval',
  nodes: 'set type ipv4_addr',
  own: 'set type ipv4_addr',
  known: 'set type ipv4_addr',
  hairpins: 'set type ipv4_addr . ipv4_addr',
  frontends: 'map type ipv4_addr . inet_proto . inet_service : verdict',
  denials: 'map type ipv4_addr . inet_proto . inet_service : verdict',
};

/**
 * Name -> hook. The filter chains run after translation, so that they see which packets got no
 * endpoint.
 */
export const BASE_HOOKS: Record<string, string> = {
  'nat-prerouting': 'type nat hook prerouting priority dstnat; policy accept;',
  'nat-output': 'type nat hook output priority -100; policy accept;',
  'nat-postrouting': 'type nat hook postrouting priority srcnat; policy accept;',
  'filter-prerouting': 'type filter hook prerouting priority -90; policy accept;',
  'filter-output': 'type filter hook output priority -90; policy accept;',
};

const NO_SYN = 'tcp flags & (fin | syn | rst | ack) != syn';
const FRONTEND = 'ip daddr . meta l4proto . th dport';

/** Name -> rules: the base chains, and the chains that they lead to. */
export function baseChains(node: NodeEntry): Record<string, string[]> {
  const address = formatAddress(node.nodeAddress);
  const egress = 'ip saddr @pods ip daddr != @pods ip daddr != @nodes';
  // Of TCP only a SYN gets an endpoint: other segments belong to an unknown connection.
  const translate = [`${NO_SYN} accept`, `${FRONTEND} vmap @frontends`];
  const guard = ['ct state established,related accept', 'ct status dnat accept', 'goto guard'];
  const ports = `${node.snatPortMin}-${node.snatPortMax}`;
  return {
    'nat-prerouting': translate,
    'nat-output': translate,
    'nat-postrouting': [
      `meta mark & ${MASQUERADE} == ${MASQUERADE} goto own-source`,
      'ct status dnat ip saddr . ip daddr @hairpins goto own-source',
      `${egress} goto own-source`,
    ],
    'filter-prerouting': guard,
    'filter-output': guard,
    guard: [
      `${FRONTEND} vmap @denials`,
      'ip daddr @known goto refuse',
      `ip daddr ${formatRange(node.serviceRange)} drop`,
      `ip daddr ${address} accept`,
      `ip saddr ${address} accept`,
      'icmp type != echo-request drop',
      `${egress} ${NO_SYN} drop`,
    ],
    deny: [`${NO_SYN} goto refuse`, 'drop'],
    refuse: ['meta l4proto tcp reject with tcp reset', 'reject with icmp port-unreachable'],
    'own-source': [
      `meta l4proto { tcp, udp, sctp } snat ip to ${address}:${ports} fully-random`,
      `snat ip to ${address}`,
    ],
  };
}

/** `SET ELEMENT` of the sets of node and pod addresses. */
export function baseElements(node: NodeEntry): string[] {
  return [
    ...node.podRanges.map((range) => `pods ${formatRange(range)}`),
    ...node.nodeAddresses.map((address) => `nodes ${formatAddress(address)}`),
    `own ${formatAddress(node.nodeAddress)}`,
  ];
}
