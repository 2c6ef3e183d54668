// The network of a lab as a list of steps, computed from the topology alone.

import { spoofedLines } from '../../control/node/cables.ts';
import { CLOUD } from '../../control/places.ts';
import { fabricLink, namespaceOf } from '../places/names.ts';
import {
  apiAddress,
  cloudAddress,
  internetGateway,
  internetServer,
  POD_GATEWAY,
  prefixOf,
  SPOOFED_LINK,
  type Topology,
  type TopologyNode,
} from '../topology/topology.ts';
import type { Step } from './step.ts';

const BRIDGE = 'br0';
/** Ports of a node's own sockets. Masquerade uses the ports above. */
export const EPHEMERAL_PORTS = [32_768, 39_999] as const;

/** Values of every namespace: IPv4 only, and no filter against asymmetric routes. */
const SYSCTLS_COMMON: [string, string][] = [
  ['ipv6/conf/all/disable_ipv6', '1'],
  ['ipv6/conf/default/disable_ipv6', '1'],
  ['ipv4/conf/all/rp_filter', '0'],
  ['ipv4/conf/default/rp_filter', '0'],
  // A new namespace inherits these from the machine.
  ['ipv4/conf/all/arp_ignore', '0'],
  ['ipv4/conf/default/arp_ignore', '0'],
];

/** Values of nodes and of the cloud, whose datapath needs the same. */
const SYSCTLS_NODE: [string, string][] = [
  // First, because it resets others.
  ['ipv4/ip_forward', '1'],
  ...SYSCTLS_COMMON,
  ['ipv4/conf/all/send_redirects', '0'],
  ['ipv4/conf/default/send_redirects', '0'],
  ['ipv4/conf/all/accept_redirects', '0'],
  ['ipv4/conf/default/accept_redirects', '0'],
  // With rules by protocol, early demux drops packets of connected local sockets before the TUN.
  ['ipv4/ip_early_demux', '0'],
  ['ipv4/ip_local_port_range', EPHEMERAL_PORTS.join(' ')],
  // With 1, packets would pass untranslated while the agent is away.
  ['ipv4/conf/all/ignore_routes_with_linkdown', '0'],
  ['ipv4/conf/default/ignore_routes_with_linkdown', '0'],
];

/** With nftables. Conntrack drops nothing because of its TCP window alone. */
const SYSCTLS_NFTABLES: [string, string][] = [
  ...SYSCTLS_NODE,
  ['netfilter/nf_conntrack_tcp_be_liberal', '1'],
];

/** Filters of the machine must not see packets of the bridge. Absent without the module. */
const SYSCTLS_BRIDGE: [string, string][] = [
  ['bridge/bridge-nf-call-iptables', '0'],
  ['bridge/bridge-nf-call-ip6tables', '0'],
  ['bridge/bridge-nf-call-arptables', '0'],
];

/** All steps that build the network of a lab. The agents start later. */
export function planLab(lab: string, topology: Topology): Step[] {
  const places = ['fabric', CLOUD, 'internet', ...topology.nodes.map((node) => node.name)];
  return [
    ...places.map((place): Step => ({ kind: 'namespace', namespace: namespaceOf(lab, place) })),
    ...sysctlSteps(lab, topology),
    fabricStep(lab, topology),
    cloudStep(lab, topology),
    internetStep(lab, topology),
    ...topology.nodes.map((node) => nodeStep(lab, node, topology)),
  ];
}

function sysctlSteps(lab: string, topology: Topology): Step[] {
  const step = (place: string, values: [string, string][]): Step => ({
    kind: 'sysctl',
    namespace: namespaceOf(lab, place),
    values,
  });
  return [
    step('fabric', [...SYSCTLS_COMMON, ...SYSCTLS_BRIDGE]),
    step(CLOUD, SYSCTLS_NODE),
    step('internet', SYSCTLS_COMMON),
    ...topology.nodes.map((node) =>
      step(node.name, node.proxy === 'nftables' ? SYSCTLS_NFTABLES : SYSCTLS_NODE),
    ),
  ];
}

/**
 * A bridge, and a cable from it to every node and to the cloud. The API server listens on its
 * address.
 */
function fabricStep(lab: string, { nodes, mtu, ranges }: Topology): Step {
  const own = `${apiAddress(ranges)}/${prefixOf(ranges.fabric)}`;
  const ends = [
    { place: CLOUD, mtu },
    ...nodes.map((node) => ({ place: node.name, mtu: node.mtu })),
  ];
  const links = ends.map((end) => ({ ...end, link: fabricLink(end.place) }));
  return {
    kind: 'network',
    namespace: namespaceOf(lab, 'fabric'),
    title: 'fabric: a bridge, and a cable to every node and to the cloud',
    lines: [
      'link set lo up',
      `link add ${BRIDGE} type bridge`,
      ...links.flatMap(({ link, place, mtu }) => [
        `link add ${link} mtu ${mtu} type veth peer name eth0 mtu ${mtu} ` +
          `netns ${namespaceOf(lab, place)}`,
        `link set ${link} master ${BRIDGE} up`,
      ]),
      `addr add ${own} dev ${BRIDGE}`,
      `link set ${BRIDGE} up`,
      // Pods reach the API server with their own addresses, so answers need routes to the pods.
      ...nodes.flatMap((node) => waysTo(node, mtu, BRIDGE)),
    ],
    again: [connectedRoute(ranges.fabric, BRIDGE, apiAddress(ranges))],
    undo: [...links.map(({ link }) => `link del ${link}`), `link del ${BRIDGE}`],
    expect: [
      { link: BRIDGE, address: own },
      { route: ranges.fabric },
      ...links.map(({ link, mtu }) => ({ link, mtu })),
      ...nodes.map((node) => ({ route: node.podCIDR, via: node.address })),
    ],
  };
}

/**
 * The cloud drops all packets while its datapath does not run, so that no packet passes
 * untranslated.
 */
const CLOUD_GUARDS = ['eth0', 'eth1'].map((iif) => `pref 31000 iif ${iif} blackhole`);

/** The edge between the fabric and the internet. Its agent makes it a gateway. */
function cloudStep(lab: string, { nodes, mtu, ranges }: Topology): Step {
  const inner = `${cloudAddress(ranges)}/${prefixOf(ranges.fabric)}`;
  const outer = `${internetGateway(ranges)}/${prefixOf(ranges.internet)}`;
  const internet = namespaceOf(lab, 'internet');
  return {
    kind: 'network',
    namespace: namespaceOf(lab, CLOUD),
    title: 'cloud: the edge between the fabric and the internet, closed until its agent runs',
    lines: [
      'link set lo up',
      `link add eth1 mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${internet}`,
      `addr add ${inner} dev eth0`,
      `addr add ${outer} dev eth1`,
      ...CLOUD_GUARDS.map((rule) => `rule add ${rule}`),
      'link set eth0 up',
      'link set eth1 up',
      ...nodes.flatMap((node) => narrowWayTo(node, mtu, 'eth0')),
    ],
    again: [
      connectedRoute(ranges.fabric, 'eth0', cloudAddress(ranges)),
      connectedRoute(ranges.internet, 'eth1', internetGateway(ranges)),
    ],
    undo: ['link del eth1'],
    expect: [
      { link: 'eth0', address: inner, mtu },
      { link: 'eth1', address: outer, mtu },
      { route: ranges.fabric },
      { route: ranges.internet },
      ...CLOUD_GUARDS.map((rule) => ({ rule })),
    ],
  };
}

function internetStep(lab: string, { mtu, ranges }: Topology): Step {
  const own = `${internetServer(ranges)}/${prefixOf(ranges.internet)}`;
  const gateway = internetGateway(ranges);
  return {
    kind: 'network',
    namespace: namespaceOf(lab, 'internet'),
    title: 'internet: a server behind the cloud',
    lines: [
      'link set lo up',
      `addr add ${own} dev eth0`,
      'link set eth0 up',
      `route add default via ${gateway}`,
    ],
    again: [connectedRoute(ranges.internet, 'eth0', internetServer(ranges))],
    undo: [`addr del ${own} dev eth0`],
    expect: [
      { link: 'eth0', address: own, mtu },
      { route: ranges.internet },
      { route: 'default', via: gateway },
    ],
  };
}

/** A node: its uplink, the gateway of its pods, and routes to the pods of other nodes. */
function nodeStep(lab: string, node: TopologyNode, { nodes, ranges }: Topology): Step {
  const own = `${node.address}/${prefixOf(ranges.fabric)}`;
  const others = nodes.filter((other) => other !== node);
  const hasCables = node.attach !== 'tun';
  const cloud = cloudAddress(ranges);
  return {
    kind: 'network',
    namespace: namespaceOf(lab, node.name),
    title: `${node.name}: uplink, gateway of its pods, ways to the other nodes' pods`,
    lines: [
      'link set lo up',
      `addr add ${POD_GATEWAY}/32 dev lo scope host`,
      `addr add ${own} dev eth0`,
      'link set eth0 up',
      `route add default via ${cloud}`,
      ...others.flatMap((other) => waysTo(other, node.mtu, 'eth0')),
      // Packets to a missing pod must not go to the cloud.
      `route add unreachable ${node.podCIDR}`,
      // Packets of pods with a wrong source go to this device. The agent counts and traces them.
      ...(hasCables ? spoofedLines(SPOOFED_LINK) : []),
    ],
    again: [connectedRoute(ranges.fabric, 'eth0', node.address)],
    undo: [`addr del ${own} dev eth0`, ...(hasCables ? [`link del ${SPOOFED_LINK}`] : [])],
    expect: [
      { link: 'lo', address: `${POD_GATEWAY}/32` },
      ...(hasCables ? [{ link: SPOOFED_LINK }] : []),
      { link: 'eth0', address: own, mtu: node.mtu },
      { route: ranges.fabric },
      { route: 'default', via: cloud },
      ...others.map((other) => ({ route: other.podCIDR, via: other.address })),
    ],
  };
}

/**
 * The route that the kernel adds with an address. After a flush of routes it does not add it again.
 */
function connectedRoute(range: string, link: string, source: string): string {
  return `route add ${range} dev ${link} proto kernel scope link src ${source}`;
}

/** Routes to a node and its pods, from a place whose uplink has that MTU. */
function waysTo(node: TopologyNode, mtu: number, link: string): string[] {
  const narrow = node.mtu < mtu ? ` mtu ${node.mtu}` : '';
  return [
    ...narrowWayTo(node, mtu, link),
    `route add ${node.podCIDR} via ${node.address}${narrow}`,
  ];
}

/**
 * The bridge silently drops packets that are too long for a node's cable. The sender needs the MTU
 * in its route.
 */
function narrowWayTo(node: TopologyNode, mtu: number, link: string): string[] {
  return node.mtu < mtu ? [`route add ${node.address}/32 dev ${link} mtu ${node.mtu}`] : [];
}
