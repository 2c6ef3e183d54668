/**
 * What translates on a node: the userspace datapath, or the kernel by nftables rules compiled from
 * the same tables.
 */
export const PROXIES = ['kubetun', 'nftables'] as const;
export type ProxyKind = (typeof PROXIES)[number];
