// Which packets of a node pass its TUN device: rules and routes as a pure plan. The number of rules
// does not depend on the number of pods or nodes. Every rule was probed on Linux 6.18.
import { PROTO_NAMES } from '../../datapath/wire/ipv4.ts';
import type { PortRange } from './captured.ts';
import {
  bare,
  CAPTURED,
  formatRule,
  PLAINLY,
  PODS_RULE,
  PREF_LOCAL,
  type Rule,
  STEER,
  STEER_TO_PODS,
  TABLE,
  TABLE_RANGES,
} from './rule.ts';

/** Every pod's gateway: an address that each node has on lo. */
export const POD_GATEWAY = '169.254.1.1';
/** Queue of the TUN device. The default of 500 overflows with 16 streams; 1000 did not. */
const QUEUE_PACKETS = 2000;

export interface SteeringInput {
  /** The TUN device. */
  tun: string;
  /** The device that leads to the other nodes. */
  uplink: string;
  /** MTU of the uplink, bytes. */
  mtu: number;
  /** The node's primary address. */
  nodeAddress: string;
  serviceRange: string;
  /** Pod ranges of all nodes. */
  podRanges: string[];
  /** Pod ranges of this node. */
  ownPodRanges: string[];
  /** Ports, inclusive: NodePorts, masquerade, and the node's own sockets. */
  nodePorts: [number, number];
  snatPorts: [number, number];
  ephemeralPorts: [number, number];
  /** Other ports of the node's address that Services capture. */
  ownPorts?: readonly PortRange[];
  /** The API server; absent if it is reached through a Service. */
  api?: ApiEndpoint;
}

export interface ApiEndpoint {
  address: string;
  port: number;
}

export interface SteeringPlan {
  /** Repeatable `ip -batch` lines: the device, then the routes. */
  setup: string[];
  rules: Rule[];
  /** Preference of the rule for the local table. */
  localPref: number;
  /** Value by path below /proc/sys/net/ipv4. */
  sysctls: [string, string][];
}

/** Whole steering: every packet of the node passes the datapath, as in a lab. */
export function planSteering(input: SteeringInput): SteeringPlan {
  const { tun, mtu, nodeAddress, serviceRange } = input;
  return {
    setup: [
      ...deviceLines(tun, mtu, nodeAddress),
      `route replace ${serviceRange} dev ${tun} src ${nodeAddress}`,
      ...rangeRoutes(input),
    ],
    rules: [
      ...guardRules(input),
      ...nodeRules(input),
      ...forwardRules(input),
      ...strayRules(input),
      PODS_RULE,
    ],
    localPref: PREF_LOCAL,
    sysctls: [
      // First, because a change of it resets others.
      ['ip_forward', '1'],
      // With rules by protocol, packets of connected local sockets would be dropped on the way to
      // the TUN device.
      ['ip_early_demux', '0'],
      ...tunSysctls(tun),
    ],
  };
}

/** The device, with the one route into the datapath. */
export function deviceLines(
  tun: string,
  mtu: number,
  address: string,
  more: string[] = [],
): string[] {
  return [
    `link set dev ${tun} mtu ${mtu} txqueuelen ${QUEUE_PACKETS} up`,
    ...more,
    // Without src the kernel takes the pods' gateway as the source of the node's packets.
    `route replace default dev ${tun} src ${address} table ${TABLE}`,
  ];
}

/** A route for each pod range. One rule that looks them up replaces a rule for each. */
export function rangeRoutes({ tun, nodeAddress, podRanges }: SteeringInput): string[] {
  const to = `dev ${tun} src ${nodeAddress} table ${TABLE_RANGES}`;
  return podRanges.map((range) => `route replace ${bare(range)} ${to}`);
}

/** Packets from the TUN device may have the node's own address as source. */
export function tunSysctls(tun: string): [string, string][] {
  return [
    [`conf/${tun}/accept_local`, '1'],
    [`conf/${tun}/rp_filter`, '0'],
  ];
}

function guardRules({ tun, uplink, nodeAddress: to, serviceRange, ephemeralPorts }: SteeringInput) {
  const own = { pref: 1, iif: uplink, to, protocol: 'tcp', dports: ephemeralPorts };
  return [
    // A Service address that comes back untranslated would loop.
    { pref: 1, iif: tun, to: serviceRange, action: 'prohibit' },
    // The node's own connections work without the datapath, the agent's to the API server too.
    { ...own, action: PLAINLY },
  ];
}

/** The node's route to its API server. It precedes everything that Services may capture. */
export function apiRules(pref: number, action: string, api?: ApiEndpoint): Rule[] {
  if (!api) return [];
  const { address: to, port } = api;
  return [{ pref, iif: 'lo', to, protocol: 'tcp', dports: [port, port], action }];
}

/** Packets that the node itself sends. */
function nodeRules(input: SteeringInput): Rule[] {
  const { nodeAddress: to, nodePorts, snatPorts, ownPorts = [] } = input;
  const own = { iif: 'lo', to, action: STEER };
  const ranges = [nodePorts, snatPorts];
  return [
    { pref: 2, iif: 'lo', to: '127.0.0.0/8', action: PLAINLY },
    ...apiRules(2, PLAINLY, input.api),
    // The node's ICMP errors quote translated packets.
    { pref: 3, iif: 'lo', protocol: 'icmp', action: STEER },
    // Packets to the node's own NodePorts, and replies of host endpoints to masqueraded clients.
    ...ranges.map((dports) => ({ pref: 4, ...own, protocol: 'tcp', dports })),
    ...ranges.map((dports) => ({ pref: 5, ...own, protocol: 'udp', dports })),
    ...ownPorts.map((ports) => ({ pref: 5, ...own, ...ports })),
    { pref: 6, iif: 'lo', to, action: PLAINLY },
    // Replies of local sockets to pods.
    { pref: 7, iif: 'lo', action: STEER_TO_PODS },
    { pref: 8, iif: 'lo', action: CAPTURED },
  ];
}

/** Packets that arrive, by protocol: a rule for all would also match ARP's look-up. */
function forwardRules({ tun }: SteeringInput): Rule[] {
  return [
    { pref: 10, iif: tun, action: PLAINLY },
    { pref: 11, iif: 'lo', action: PLAINLY },
    ...PROTO_NAMES.map((protocol, i) => ({ pref: 12 + i, protocol, action: STEER })),
  ];
}

/**
 * Other protocols from or to the node's pods are dropped: no policy covers them. ARP looks up
 * routes with the pod as source and the gateway as destination, so the gateway stays reachable.
 */
function strayRules({ ownPodRanges }: SteeringInput): Rule[] {
  return [
    { pref: 16, to: POD_GATEWAY, action: PLAINLY },
    ...ownPodRanges.map((from) => ({ pref: 17, from, action: 'blackhole' })),
    ...ownPodRanges.map((to) => ({ pref: 18, to, action: 'blackhole' })),
  ];
}

export const WITH_PORTS = ['tcp', 'udp', 'sctp'] as const;
const PORTS_FIRST = 1;

/**
 * `ip -batch` lines of rules that let the node's own traffic bypass an absent datapath. Packets of
 * pods and Services stay held, because they would pass untranslated. The next agent's steering
 * removes the rules. For nodes with the steering of `planSteering`.
 */
export function bypassLines(
  verb: 'add' | 'del',
  input: Pick<SteeringInput, 'uplink' | 'nodeAddress' | 'podRanges' | 'nodePorts' | 'snatPorts'>,
): string[] {
  const { uplink: iif, nodeAddress: to, podRanges, nodePorts, snatPorts } = input;
  const plainly = { pref: 9, to, iif, action: PLAINLY };
  const ports: [number, number][] = [
    [PORTS_FIRST, nodePorts[0] - 1],
    [nodePorts[1] + 1, snatPorts[0] - 1],
  ];
  const rules: Rule[] = [
    // Pings of the node and its replies. Its ICMP errors are about held packets only.
    { pref: 2, iif: 'lo', protocol: 'icmp', action: PLAINLY },
    ...podRanges.flatMap((from) =>
      PROTO_NAMES.map((protocol) => ({ pref: 8, iif, from, protocol, action: STEER })),
    ),
    { ...plainly, protocol: 'icmp' },
    ...ports.flatMap((dports) => WITH_PORTS.map((protocol) => ({ ...plainly, protocol, dports }))),
  ];
  return rules.map((rule) => `rule ${verb} ${formatRule(rule)}`);
}
