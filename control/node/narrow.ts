// Steering of a node that is not the datapath's alone: a real one, where kubelet, CNI and people
// have their own business. Only what a Service may have translated crosses the TUN; the node's own
// connections never do, so that the node is reached, and reaches, whether the agent runs or not.
import {
  CAPTURED,
  JUMP_NARROW,
  PLAINLY_NARROW as PLAINLY,
  PREF_LOCAL_NARROW,
  PREF_PODS_NARROW,
  type Rule,
  STEER,
  STEER_TO_PODS,
  TABLE,
} from './rule.ts';
import {
  apiRules,
  PROTOCOLS,
  QUEUE_PACKETS,
  rangeRoutes,
  type SteeringInput,
  type SteeringPlan,
  tunSysctls,
} from './steering.ts';

const WITH_PORTS = ['tcp', 'udp', 'sctp'] as const;
/**
 * ICMP errors: destination unreachable; time exceeded and parameter problem. The kernel keeps type
 * and code where other protocols have the destination port, so a rule's port range is a range of
 * types.
 */
const ICMP_ERRORS: [number, number][] = [
  [3 << 8, (3 << 8) | 0xff],
  [11 << 8, (12 << 8) | 0xff],
];

/**
 * The dummy address of RFC 7600: a loose rp_filter accepts the node's own address as a source only
 * on devices that have any address.
 */
const DUMMY = '192.0.0.8/32';

/**
 * Steers what goes to Service, external, NodePort and masquerade destinations, and what pods send
 * or get. What goes to pods of any node is steered by routes, and what comes from pods by rules for
 * this node's ranges alone: what others send to this node's pods, Services and masquerade ports is
 * steered by where it goes.
 */
export function planNarrowSteering(input: SteeringInput): SteeringPlan {
  const { tun, mtu, nodeAddress } = input;
  return {
    setup: [
      `link set dev ${tun} mtu ${mtu} txqueuelen ${QUEUE_PACKETS} up`,
      `addr replace ${DUMMY} dev ${tun} scope host`,
      `route replace default dev ${tun} src ${nodeAddress} table ${TABLE}`,
      ...rangeRoutes(input),
    ],
    rules: [
      ...guardRules(input),
      ...ownRules(input),
      ...nodeRules(input),
      ...serviceRules(input),
      ...podRules(input),
    ],
    localPref: PREF_LOCAL_NARROW,
    sysctls: [['ip_forward', '1'], ...tunSysctls(tun)],
  };
}

function guardRules({ tun, serviceRange }: SteeringInput): Rule[] {
  return [
    // A Service address that comes back untranslated would circle for ever.
    { pref: 1, iif: tun, to: serviceRange, action: 'prohibit' },
    { pref: 2, iif: tun, action: PLAINLY },
  ];
}

/** What the node's own sockets send, before all that Services may capture. */
function ownRules({ api }: SteeringInput): Rule[] {
  return [
    { pref: 3, iif: 'lo', to: '127.0.0.0/8', action: PLAINLY },
    ...apiRules(3, PLAINLY, api),
    // The node's ICMP errors quote translated packets.
    ...ICMP_ERRORS.map(
      (dports): Rule => ({ pref: 4, iif: 'lo', protocol: 'icmp', dports, action: STEER }),
    ),
  ];
}

/** What is for the node's address, from anywhere. */
function nodeRules(input: SteeringInput): Rule[] {
  const { nodeAddress, nodePorts, snatPorts, ownPorts = [] } = input;
  return [
    ...WITH_PORTS.flatMap((protocol) =>
      [nodePorts, snatPorts].map(
        (dports): Rule => ({ pref: 6, to: nodeAddress, protocol, dports, action: STEER }),
      ),
    ),
    ...ownPorts.map((ports): Rule => ({ pref: 6, to: nodeAddress, ...ports, action: STEER })),
    { pref: 7, to: nodeAddress, iif: 'lo', action: PLAINLY },
    // Errors about masqueraded packets, and answers to masqueraded pings.
    { pref: 8, to: nodeAddress, protocol: 'icmp', action: STEER },
    // The rest, from pods too: no Service has translated it.
    { pref: 9, to: nodeAddress, action: PLAINLY },
  ];
}

function serviceRules({ serviceRange }: SteeringInput): Rule[] {
  return [
    { pref: 10, to: serviceRange, action: STEER },
    { pref: 11, action: CAPTURED },
  ];
}

/** Pods, whose packets may be replies of Services. */
function podRules({ ownPodRanges, ephemeralPorts: sports }: SteeringInput): Rule[] {
  return [
    // The node's connections, a kubelet's probes among them. What it answers to pods has other
    // source ports.
    { pref: 12, iif: 'lo', sports, action: PLAINLY },
    // By protocol, or ARP's look-up is caught too.
    ...PROTOCOLS.map((protocol): Rule => ({ pref: 13, protocol, action: JUMP_NARROW })),
    { pref: 14, action: PLAINLY },
    ...ownPodRanges.map((from): Rule => ({ pref: PREF_PODS_NARROW, from, action: STEER })),
    { pref: PREF_PODS_NARROW, action: STEER_TO_PODS },
  ];
}
