// Narrow steering, for nodes with a kubelet and a CNI. Only packets that a Service may translate
// pass the TUN device. The node's own connections do not, so they work without the agent.
import { PROTO_NAMES } from '../../datapath/wire/ipv4.ts';
import {
  CAPTURED,
  JUMP_NARROW,
  PLAINLY_NARROW as PLAINLY,
  PREF_LOCAL_NARROW,
  PREF_PODS_NARROW,
  type Rule,
  STEER,
  STEER_TO_PODS,
} from './rule.ts';
import {
  apiRules,
  deviceLines,
  rangeRoutes,
  type SteeringInput,
  type SteeringPlan,
  tunSysctls,
  WITH_PORTS,
} from './steering.ts';

/**
 * ICMP errors: destination unreachable; time exceeded and parameter problem. The kernel compares
 * type and code as a destination port, so a port range is a range of types.
 */
const ICMP_ERRORS: [number, number][] = [
  [3 << 8, (3 << 8) | 0xff],
  [11 << 8, (12 << 8) | 0xff],
];

/**
 * The dummy address of RFC 7600. A loose rp_filter accepts the node's address as a source only on
 * devices with an address.
 */
const DUMMY = '192.0.0.8/32';

/**
 * Steers packets to Service, external, NodePort and masquerade destinations, and packets from and
 * to pods. Routes steer packets to pods of any node. Rules steer packets from pods, for this node's
 * ranges only: packets from other pods match by destination.
 */
export function planNarrowSteering(input: SteeringInput): SteeringPlan {
  const { tun, mtu, nodeAddress } = input;
  return {
    setup: [
      ...deviceLines(tun, mtu, nodeAddress, [`addr replace ${DUMMY} dev ${tun} scope host`]),
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

/** Packets of the node's own sockets. These rules precede all that Services may capture. */
function ownRules({ api }: SteeringInput): Rule[] {
  return [
    { pref: 3, iif: 'lo', to: '127.0.0.0/8', action: PLAINLY },
    ...apiRules(3, PLAINLY, api),
    // The node's ICMP errors quote translated packets.
    ...ICMP_ERRORS.map((dports) => ({
      pref: 4,
      iif: 'lo',
      protocol: 'icmp',
      dports,
      action: STEER,
    })),
  ];
}

/** Packets to the node's address, from anywhere. */
function nodeRules(input: SteeringInput): Rule[] {
  const { nodeAddress: to, nodePorts, snatPorts, ownPorts = [] } = input;
  const steered = { pref: 6, to, action: STEER };
  return [
    ...WITH_PORTS.flatMap((protocol) =>
      [nodePorts, snatPorts].map((dports) => ({ ...steered, protocol, dports })),
    ),
    ...ownPorts.map((ports) => ({ ...steered, ...ports })),
    { pref: 7, to, iif: 'lo', action: PLAINLY },
    // Errors about masqueraded packets, and replies to masqueraded pings.
    { pref: 8, to, protocol: 'icmp', action: STEER },
    // All other packets, from pods too: no Service translates them.
    { pref: 9, to, action: PLAINLY },
  ];
}

function serviceRules({ serviceRange }: SteeringInput): Rule[] {
  return [
    { pref: 10, to: serviceRange, action: STEER },
    { pref: 11, action: CAPTURED },
  ];
}

/** Packets of pods, which may be replies of Services. */
function podRules({ ownPodRanges, ephemeralPorts: sports }: SteeringInput): Rule[] {
  return [
    // The node's connections, such as a kubelet's probes. Its replies to pods have other source
    // ports.
    { pref: 12, iif: 'lo', sports, action: PLAINLY },
    // By protocol: a rule for all would also match ARP's look-up.
    ...PROTO_NAMES.map((protocol): Rule => ({ pref: 13, protocol, action: JUMP_NARROW })),
    { pref: 14, action: PLAINLY },
    ...ownPodRanges.map((from): Rule => ({ pref: PREF_PODS_NARROW, from, action: STEER })),
    { pref: PREF_PODS_NARROW, action: STEER_TO_PODS },
  ];
}
