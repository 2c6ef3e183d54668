// What becomes of a packet, and why. A verdict is VERDICT_* or minus a DROP_*. Every drop reason
// has a name, a counter of that name and a scenario.

export const VERDICT_FORWARD = 0;
/** The packet was turned into an answer to its sender (RST, ICMP unreachable). */
export const VERDICT_REPLY = 1;
/** Held until the first fragment decides its verdict. */
export const VERDICT_HELD = 2;
/** The agent's own probe, which ends here. */
export const VERDICT_PROBE = 3;
/** Forwarded as a part of the packet before it in the batch. */
export const VERDICT_MERGED = 4;

export const DROP_SHORT = 1;
export const DROP_NOT_IPV4 = 2;
export const DROP_IP_LENGTH = 3;
export const DROP_IP_CHECKSUM = 4;
export const DROP_VNET_HEADER = 5;
export const DROP_L4_LENGTH = 6;
export const DROP_TCP_FLAGS = 7;
export const DROP_ICMP_CHECKSUM = 8;
export const DROP_ICMP_WITHOUT_FLOW = 9;
export const DROP_UNALLOCATED = 10;
export const DROP_NO_LOCAL_ENDPOINT = 11;
export const DROP_SOURCE_RANGE = 12;
export const DROP_MIDSTREAM_NAT = 13;
export const DROP_TABLE_FULL = 14;
export const DROP_SNAT_PORTS = 15;
export const DROP_FRAGMENT_ORPHAN = 16;
export const DROP_FRAGMENT_LIMIT = 17;
export const DROP_FRAGMENT_RANGE = 18;
export const DROP_UNANSWERABLE = 19;
export const DROP_FRAGMENT_SCTP = 20;
export const DROP_POLICY_INGRESS = 21;
export const DROP_POLICY_EGRESS = 22;
export const DROP_POLICY_UNKNOWN = 23;
export const DROP_NO_IMAGE = 24;
export const DROP_SPOOFED = 25;
export const DROP_FOREIGN_SOURCE = 26;
export const DROP_L4_CHECKSUM = 27;
export const DROP_REFUSAL_LIMITED = 28;
export const DROP_PROTOCOL = 29;

/** Name and meaning of each drop reason; index is the DROP_* code. */
export const DROP_REASONS: readonly (readonly [string, string])[] = [
  ['none', ''],
  ['short', 'less than an IPv4 header was read'],
  ['not-ipv4', 'the version field is not 4'],
  ['ip-length', 'header length or total length disagree with what was read'],
  ['ip-checksum', 'the IPv4 header checksum is wrong'],
  ['vnet-header', 'the partial checksum lies outside the packet'],
  ['l4-length', 'the transport header is cut short or its length field is impossible'],
  ['tcp-flags', 'a combination of TCP flags that no TCP sends'],
  ['icmp-checksum', 'the checksum of an ICMP error is wrong'],
  ['icmp-without-flow', 'an ICMP answer that nothing asked for, or an error about nothing known'],
  ['unallocated', 'an address of the Service range that no Service has'],
  ['no-local-endpoint', 'traffic policy Local, and the endpoints are on other nodes only'],
  ['source-range', 'outside loadBalancerSourceRanges'],
  ['midstream-nat', 'the middle of a connection that would need translation but has no flow'],
  ['table-full', 'no room for a new flow, and none may be evicted'],
  ['snat-ports', 'every SNAT port is taken towards this destination'],
  ['fragment-orphan', 'the first fragment did not come in time'],
  ['fragment-limit', 'too many fragments wait for their first one'],
  ['fragment-range', 'a fragment that ends beyond 65,535 bytes'],
  ['unanswerable', 'refused, but a reply to it is forbidden (RST, ICMP error, multicast)'],
  ['fragment-sctp', 'SCTP in pieces whose ports change: its CRC lies over all of them'],
  ['policy-ingress', 'NetworkPolicies isolate the destination, and no rule allows this'],
  ['policy-egress', 'NetworkPolicies isolate the source, and no rule allows this'],
  [
    'policy-unknown',
    'an address of the pod ranges whose pod, and so its policies, are not known yet',
  ],
  ['no-image', 'traffic of a pod before the first image, when its policies are not known yet'],
  ['spoofed', "a pod sent it with an address that is not the pod's"],
  ['foreign-source', 'at a gateway: neither from a node nor to the public address of one'],
  ['l4-checksum', 'refused, but its transport checksum is wrong: it gets no answer'],
  ['refusal-limited', 'refused, but too many refusals were sent just before'],
  ['protocol', 'a pod sent neither TCP, UDP, ICMP nor SCTP: no policy covers it'],
];

/** Counters other than drops, after the drop reasons in the counter section. */
export const COUNTER_BASE = 64;
export const COUNT_PACKETS = COUNTER_BASE + 0;
export const COUNT_FORWARDED = COUNTER_BASE + 1;
export const COUNT_FLOWS_MADE = COUNTER_BASE + 2;
export const COUNT_FLOWS_EXPIRED = COUNTER_BASE + 3;
export const COUNT_FLOWS_EVICTED = COUNTER_BASE + 4;
export const COUNT_FLOWS_REOPENED = COUNTER_BASE + 5;
export const COUNT_REJECT_NO_ENDPOINT = COUNTER_BASE + 6;
export const COUNT_REJECT_WRONG_PORT = COUNTER_BASE + 7;
export const COUNT_REJECT_MIDSTREAM = COUNTER_BASE + 8;
export const COUNT_RST_IMPLAUSIBLE = COUNTER_BASE + 9;
export const COUNT_ICMP_TRANSLATED = COUNTER_BASE + 10;
export const COUNT_PASSED_HOST = COUNTER_BASE + 11;
export const COUNT_PASSED_UNTRACKED = COUNTER_BASE + 12;
export const COUNT_PORT_MOVED = COUNTER_BASE + 13;
export const COUNT_FRAGMENTS = COUNTER_BASE + 14;
export const COUNT_BATCHES = COUNTER_BASE + 15;
export const COUNT_READ_ERRORS = COUNTER_BASE + 16;
export const COUNT_WRITE_ERRORS = COUNTER_BASE + 17;
export const COUNT_AFFINITY_FULL = COUNTER_BASE + 18;
export const COUNT_FLOWS_STALE = COUNTER_BASE + 19;
export const COUNT_FLOWS_REVALIDATED = COUNTER_BASE + 20;
export const COUNT_POLICY_AUDITED = COUNTER_BASE + 21;
export const COUNT_ONE_TO_ONE = COUNTER_BASE + 22;
export const COUNT_MERGED_TRAINS = COUNTER_BASE + 23;
export const COUNT_MERGED_PACKETS = COUNTER_BASE + 24;
export const COUNT_TTL_EXCEEDED = COUNTER_BASE + 25;
export const COUNT_TOO_LARGE = COUNTER_BASE + 26;

/** Names and meanings, index is the code less COUNTER_BASE. */
export const COUNTERS: readonly (readonly [string, string])[] = [
  ['packets', 'packets read; a 64 KiB segment is one'],
  ['forwarded', 'packets forwarded, as they were read; answers not counted'],
  ['flows-made', 'flows inserted'],
  ['flows-expired', 'flows whose time ran out'],
  ['flows-evicted', 'unreplied or closing flows that gave way when the table was full'],
  ['flows-reopened', 'closed flows replaced by a new connection of the same tuple'],
  ['reject-no-endpoint', 'new connections refused because the Service has no endpoint'],
  ['reject-wrong-port', 'packets refused because the Service has no such port'],
  ['reject-midstream', 'RSTs for TCP segments to a frontend without a flow'],
  ['rst-implausible', 'RSTs with a sequence number that closes nothing'],
  ['icmp-translated', 'ICMP errors about a tracked packet'],
  ['passed-host', "packets of the node's own sockets, which have no flow"],
  ['passed-untracked', 'TCP segments without a flow that need no translation'],
  ['port-moved', 'source ports changed because two connections would have collided'],
  ['fragments', 'fragments after the first'],
  ['batches', 'batches processed'],
  ['read-errors', 'reads from a device that failed'],
  ['write-errors', 'writes to a device that failed'],
  ['affinity-full', 'clients whose endpoint could not be remembered: the next one is random'],
  ['flows-stale', 'flows given up because their endpoint, their Service or their pod is gone'],
  ['flows-revalidated', 'flows revalidated after a change of policies'],
  ['policy-audited', 'new connections that a policy under audit would have stopped'],
  ['one-to-one', "packets at a gateway between a node's address and its public one"],
  ['merged-trains', 'writes of several datagrams or segments of one flow as one packet'],
  ['merged-packets', 'packets that such a write carried'],
  ['ttl-exceeded', "packets from a pod's port whose TTL ended here, answered"],
  ['too-large', "packets above the MTU of a pod's port, answered"],
];

/** Name of the counter that says why a packet was refused or passed; null if there is none. */
export function causeName(cause: number): string | null {
  return cause === 0 ? null : COUNTERS[cause - COUNTER_BASE]![0];
}
