import type { ProxyKind } from '../../control/agent-options.ts';
import { FLOWS_DEFAULT } from '../../datapath/arena/layout.ts';
import type { TimeoutSeconds } from '../../datapath/flow/timeouts.ts';
import { formatAddress, parseRange } from '../../datapath/wire/address.ts';

/** Address ranges of a lab, as `address/prefix`. */
export interface Ranges {
  /** What joins the nodes: the VPC. */
  fabric: string;
  /** Every node's podCIDR lies in here. */
  pods: string;
  services: string;
  /**
   * One address for each node, seen from the internet, and from the top downwards those of load
   * balancers.
   */
  public: string;
  internet: string;
}

export interface TopologyNode {
  name: string;
  /** `topology.kubernetes.io/zone`. */
  zone: string;
  /** MTU of its uplink and of its pods, bytes. */
  mtu: number;
  /** In the fabric range. */
  address: string;
  /** In the public range: who it is on the internet. */
  publicAddress: string;
  podCIDR: string;
  labels: Record<string, string>;
  /** What translates on it. */
  proxy: ProxyKind;
}

/** The whole shape of a lab: what `lab up` builds, and nothing of what it is called. */
export interface Topology {
  nodes: TopologyNode[];
  /** MTU of the fabric, bytes. */
  mtu: number;
  /** Connections that each node's datapath has room for: a power of two. */
  flows: number;
  /** Timeouts of each node's flows that are not the usual ones. */
  timeouts?: TimeoutSeconds;
  ranges: Ranges;
}

export const NODES_DEFAULT = 2;
export const NODES_MAX = 200;
export const MTU_DEFAULT = 1500;
/** Every IPv4 host takes 576 bytes; a veth carries no more than 65535. */
export const MTU_MIN = 576;
export const MTU_MAX = 65_535;
/** Every pod's gateway: an address that each node has on lo. */
export const POD_GATEWAY = '169.254.1.1';
/** The TUN device of a node to which packets of pods go whose source is not the pod's. */
export const SPOOFED_LINK = 'spoofed';
export const API_PORT = 6443;

export const RANGES_DEFAULT: Ranges = {
  fabric: '172.18.0.0/16',
  pods: '10.244.0.0/16',
  services: '10.96.0.0/16',
  public: '198.51.100.0/24',
  internet: '203.0.113.0/24',
};

/** Hosts of a range that have a fixed meaning; nodes follow from NODE_FIRST on. */
const API_HOST = 1;
const CLOUD_HOST = 2;
const NODE_FIRST = 11;
const INTERNET_GATEWAY_HOST = 1;
const INTERNET_SERVER_HOST = 10;
const DNS_HOST = 10;
const ZONES = ['zone-a', 'zone-b'] as const;

/** The n-th address of a range. */
export function hostOf(range: string, n: number): string {
  return formatAddress(parseRange(range)!.address + n);
}

/** 16 of `10.244.0.0/16`. */
export function prefixOf(range: string): number {
  return Number(range.split('/')[1]);
}

/** Addresses in a range, its network and broadcast address included. */
export function sizeOf(range: string): number {
  return 2 ** (32 - prefixOf(range));
}

/** The API server, as nodes and pods see it. */
export function apiAddress(ranges: Ranges): string {
  return hostOf(ranges.fabric, API_HOST);
}

/** Where nodes send what is for nobody in the cluster. */
export function cloudAddress(ranges: Ranges): string {
  return hostOf(ranges.fabric, CLOUD_HOST);
}

export function internetGateway(ranges: Ranges): string {
  return hostOf(ranges.internet, INTERNET_GATEWAY_HOST);
}

export function internetServer(ranges: Ranges): string {
  return hostOf(ranges.internet, INTERNET_SERVER_HOST);
}

/** The cluster's DNS Service. */
export function dnsAddress(ranges: Ranges): string {
  return hostOf(ranges.services, DNS_HOST);
}

/** What a node is unless the topology says otherwise; `number` counts from 1. */
export function defaultNode(
  number: number,
  ranges: Ranges,
  mtu: number,
  proxy: ProxyKind = 'kubetun',
): TopologyNode {
  return {
    name: `node${number}`,
    zone: ZONES[(number - 1) % ZONES.length]!,
    mtu,
    address: hostOf(ranges.fabric, NODE_FIRST + number - 1),
    publicAddress: hostOf(ranges.public, NODE_FIRST + number - 1),
    podCIDR: defaultPodRange(number, ranges.pods),
    labels: {},
    proxy,
  };
}

/** A lab of so many nodes, everything else by default. */
export function defaultTopology(nodes = NODES_DEFAULT, proxy: ProxyKind = 'kubetun'): Topology {
  const ranges = RANGES_DEFAULT;
  return {
    nodes: Array.from({ length: nodes }, (_, i) => defaultNode(i + 1, ranges, MTU_DEFAULT, proxy)),
    mtu: MTU_DEFAULT,
    flows: FLOWS_DEFAULT,
    ranges,
  };
}

/** 256 addresses a node: the third number of 10.244.N.0/24 is the node's. */
function defaultPodRange(number: number, pods: string): string {
  return `${hostOf(pods, number * 256)}/24`;
}
