import type { Merge, ProxyKind } from '../../control/agent-options.ts';
import { FLOWS_DEFAULT } from '../../datapath/arena/layout.ts';
import { KubetunError } from '../../datapath/error.ts';
import type { TimeoutSeconds } from '../../datapath/flow/timeouts.ts';
import { formatAddress, parseRange } from '../../datapath/wire/address.ts';

/** Address ranges of a lab, as `address/prefix`. */
export interface Ranges {
  /** The network of the nodes, a VPC. */
  fabric: string;
  /** Contains every node's podCIDR. */
  pods: string;
  services: string;
  /** Public addresses: of nodes from the bottom, of load balancers from the top. */
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
  /** Its address on the internet, in the public range. */
  publicAddress: string;
  podCIDR: string;
  labels: Record<string, string>;
  /** Its kind of proxy. */
  proxy: ProxyKind;
  /** How its pods are attached. Records of older labs have none: veth. */
  attach?: Attach;
}

/** A cable to the node's kernel, or a TUN device that the node's agent serves. */
export const ATTACHMENTS = ['tun', 'veth'] as const;
const ATTACH_DEFAULT: Attach = 'tun';
export type Attach = (typeof ATTACHMENTS)[number];

/** How names are resolved. Absent fields have the defaults. */
export interface DnsSettings {
  /**
   * Server for names outside the cluster, `ADDRESS`; by default the name server of the internet.
   */
  upstream?: string;
  /** Which names of pods exist: those of any address (insecure), of pods, or none. */
  pods?: (typeof POD_NAMES)[number];
}

export const POD_NAMES = ['insecure', 'verified', 'disabled'] as const;

/** The shape of a lab, without its name: what `lab up` builds. */
export interface Topology {
  nodes: TopologyNode[];
  /** MTU of the fabric, bytes. */
  mtu: number;
  /** Size of each node's flow table, a power of two. */
  flows: number;
  /** Timeouts of each node's flows that differ from the defaults. */
  timeouts?: TimeoutSeconds;
  /** `--merge` of every agent, if it differs from the default. */
  merge?: Merge;
  /** `--busy-poll` of every agent, if it differs from the default. */
  busyPoll?: string;
  /** False: the lab has no DNS of its own. */
  dns?: DnsSettings | false;
  /**
   * True: the Ingress controller starts with the lab. False: there is none. By default it starts
   * with the first Ingress.
   */
  ingress?: boolean;
  ranges: Ranges;
}

export const NODES_DEFAULT = 2;
export const NODES_MAX = 200;
export const MTU_DEFAULT = 1500;
/** Every IPv4 host accepts 576 bytes. A veth carries at most 65535. */
export const MTU_MIN = 576;
export const MTU_MAX = 65_535;
/** Gateway of every pod. Each node has this address on lo. */
export const POD_GATEWAY = '169.254.1.1';
/** The TUN device of a node for packets of pods with a wrong source. */
export const SPOOFED_LINK = 'spoofed';
export const API_PORT = 6443;

export const RANGES_DEFAULT: Ranges = {
  fabric: '172.18.0.0/16',
  pods: '10.244.0.0/16',
  services: '10.96.0.0/16',
  public: '198.51.100.0/24',
  internet: '203.0.113.0/24',
};

/** Fixed hosts of a range. Nodes start at NODE_FIRST. */
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

/** Address of the API server for nodes and pods. */
export function apiAddress(ranges: Ranges): string {
  return hostOf(ranges.fabric, API_HOST);
}

/** Default gateway of the nodes. */
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

/** What nodes have unless their entry says otherwise. */
export interface NodeDefaults {
  proxy: ProxyKind;
  attach: Attach;
}

/** The defaults; KUBETUN_ATTACH sets another attachment. Throws KubetunError KT_ATTACH. */
export function nodeDefaults(): NodeDefaults {
  const attach = process.env.KUBETUN_ATTACH || ATTACH_DEFAULT;
  if (isAttach(attach)) return { proxy: 'kubetun', attach };
  throw new KubetunError(
    'KT_ATTACH',
    `KUBETUN_ATTACH is ${JSON.stringify(attach)}, expected one of ${ATTACHMENTS.join(', ')}`,
    'unset it, or set it to one of them',
    { usage: true },
  );
}

function isAttach(text: string): text is Attach {
  return (ATTACHMENTS as readonly string[]).includes(text);
}

/** A node with default values. `number` counts from 1. */
export function defaultNode(
  number: number,
  ranges: Ranges,
  mtu: number,
  { proxy, attach }: NodeDefaults = nodeDefaults(),
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
    attach: attachOf(proxy, attach),
  };
}

/** A node of the kernel's nftables has no datapath that could serve its pods' devices. */
export function attachOf(proxy: ProxyKind, attach: Attach): Attach {
  return proxy === 'nftables' ? 'veth' : attach;
}

/** A lab with this number of nodes and defaults otherwise. */
export function defaultTopology(
  nodes = NODES_DEFAULT,
  of: NodeDefaults = nodeDefaults(),
): Topology {
  const ranges = RANGES_DEFAULT;
  return {
    nodes: Array.from({ length: nodes }, (_, i) => defaultNode(i + 1, ranges, MTU_DEFAULT, of)),
    mtu: MTU_DEFAULT,
    flows: FLOWS_DEFAULT,
    ranges,
  };
}

/** 256 addresses per node: 10.244.N.0/24 for node N. */
function defaultPodRange(number: number, pods: string): string {
  return `${hostOf(pods, number * 256)}/24`;
}
