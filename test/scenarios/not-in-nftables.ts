/**
 * Rules of rows.ts that do not hold on a node with --proxy nftables, or hold with the kernel's
 * values; docs/adr/0014.
 */
export const NOT_IN_NFTABLES: readonly string[] = [
  // These would require to delete entries of conntrack.
  'clean-up.udp',
  'clean-up.udp-no-endpoint',
  'clean-up.before-dnat',
  'clean-up.syn',
  // A full set accepts no new client and counts nothing.
  'affinity.full',
  // The kernel's table of connections, its size and its timeouts.
  'tcp.blind-rst',
  'timeout.states',
  'table.full',
  'table.expiry',
  // The kernel reassembles fragments before translation, with its own limits and counters.
  'fragments.limits',
  'fragments.sctp',
  'packet.bad',
];
