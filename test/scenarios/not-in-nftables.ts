/**
 * Rules of rows.ts that a node with --proxy nftables does not keep, or keeps by the kernel's own
 * measure; docs/adr/0014.
 */
export const NOT_IN_NFTABLES: readonly string[] = [
  // These would need entries of conntrack deleted.
  'clean-up.udp',
  'clean-up.udp-no-endpoint',
  'clean-up.before-dnat',
  'clean-up.syn',
  // A full set remembers nobody new, and counts nothing.
  'affinity.full',
  // The kernel's table of connections, its size and its timeouts.
  'tcp.blind-rst',
  'timeout.states',
  'table.full',
  'table.expiry',
  // The kernel puts fragments together before it translates, within limits of its own, and counts
  // elsewhere.
  'fragments.limits',
  'fragments.sctp',
  'packet.bad',
];
