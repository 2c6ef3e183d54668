import { maskOf, parseAddress, parseRange } from '../../datapath/wire/address.ts';
import {
  apiAddress,
  cloudAddress,
  prefixOf,
  type Ranges,
  sizeOf,
  type Topology,
  type TopologyNode,
} from './topology.ts';

/** A fault of a topology: the path of its key, and a message. */
export interface Problem {
  path: (string | number)[];
  message: string;
}

/** A DNS label, short enough for a network namespace's name. */
const NODE_NAME = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/;
/** Names of other namespaces of a lab. Names of pods' namespaces begin with `pod-`. */
const NAMES_TAKEN = new Set(['fabric', 'cloud', 'internet']);

/** Shortest and longest prefix of each range. */
const PREFIXES: Record<keyof Ranges, [number, number]> = {
  fabric: [8, 24],
  pods: [8, 23],
  services: [12, 24],
  public: [8, 24],
  internet: [8, 28],
};

/**
 * "This network", loopback, link-local (it contains the pods' gateway), and all from multicast up.
 * Source: RFC 6890.
 */
const RANGES_SPECIAL = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'];

/**
 * The first fault that keeps a topology from working as one network, or null. Types are not
 * checked.
 */
export function checkTopology(topology: Topology): Problem | null {
  return checkRanges(topology.ranges) ?? checkFlows(topology) ?? checkNodes(topology);
}

function checkRanges(ranges: Ranges): Problem | null {
  const names = Object.keys(PREFIXES) as (keyof Ranges)[];
  for (const name of names) {
    const [min, max] = PREFIXES[name];
    const prefix = prefixOf(ranges[name]);
    if (prefix < min || prefix > max) {
      const message = `${name} range ${ranges[name]} must have a prefix of ${min} to ${max}`;
      return { path: ['ranges', name], message };
    }
    const special = RANGES_SPECIAL.find((range) => overlaps(range, ranges[name]));
    if (special) {
      const message = `${name} range ${ranges[name]} overlaps ${special}, which no host may have`;
      return { path: ['ranges', name], message };
    }
  }
  for (const [i, name] of names.entries()) {
    const other = names.slice(0, i).find((o) => overlaps(ranges[o], ranges[name]));
    if (other) {
      const message = `${name} range ${ranges[name]} overlaps the ${other} range ${ranges[other]}`;
      return { path: ['ranges', name], message };
    }
  }
  return null;
}

function checkFlows({ flows }: Topology): Problem | null {
  if (Number.isInteger(Math.log2(flows))) return null;
  return { path: ['flows'], message: `flows ${flows} is no power of two` };
}

function checkNodes(topology: Topology): Problem | null {
  for (const [i, node] of topology.nodes.entries()) {
    const before = topology.nodes.slice(0, i);
    const wrong =
      checkName(node, before) ??
      checkAttach(node) ??
      checkMtu(node, topology.mtu) ??
      checkAddress(node, topology.ranges, before) ??
      checkPublicAddress(node, topology.ranges, before) ??
      checkPodRange(node, topology.ranges, before);
    if (wrong) return { path: ['nodes', i, wrong.key], message: wrong.message };
  }
  return null;
}

interface NodeProblem {
  key: keyof TopologyNode;
  message: string;
}

function checkName(node: TopologyNode, before: TopologyNode[]): NodeProblem | null {
  const { name } = node;
  const refuse = (why: string): NodeProblem => ({ key: 'name', message: `node ${name} ${why}` });
  if (!NODE_NAME.test(name)) return refuse('must have a name of a-z, 0-9 and -, at most 32 long');
  if (NAMES_TAKEN.has(name) || name.startsWith('pod-'))
    return refuse('has a name that the lab itself uses');
  if (before.some((n) => n.name === name)) return refuse('is defined twice');
  return null;
}

function checkAttach({ name, proxy, attach }: TopologyNode): NodeProblem | null {
  if (proxy !== 'nftables' || attach !== 'tun') return null;
  const message =
    `attach tun of node ${name} needs proxy kubetun: with nftables no datapath serves ` +
    'the devices of its pods';
  return { key: 'attach', message };
}

/** A bridge cannot report that a packet is too long. */
function checkMtu(node: TopologyNode, fabric: number): NodeProblem | null {
  if (node.mtu <= fabric) return null;
  const message = `mtu ${node.mtu} of node ${node.name} is above the fabric's ${fabric}`;
  return { key: 'mtu', message };
}

function checkAddress(
  node: TopologyNode,
  ranges: Ranges,
  before: TopologyNode[],
): NodeProblem | null {
  const refuse = (why: string): NodeProblem => ({
    key: 'address',
    message: `address ${node.address} of node ${node.name} ${why}`,
  });
  const { fabric } = ranges;
  if (!overlaps(`${node.address}/32`, fabric))
    return refuse(`is not in the fabric range ${fabric}`);
  const host = parseAddress(node.address)! - parseRange(fabric)!.address;
  if (host === 0 || host === sizeOf(fabric) - 1) return refuse('is no host address');
  if (node.address === apiAddress(ranges)) return refuse("is the API server's");
  if (node.address === cloudAddress(ranges)) return refuse("is the cloud gateway's");
  const twin = before.find((n) => n.address === node.address);
  return twin ? refuse(`is also that of ${twin.name}`) : null;
}

function checkPublicAddress(
  node: TopologyNode,
  { public: range }: Ranges,
  before: TopologyNode[],
): NodeProblem | null {
  const refuse = (why: string): NodeProblem => ({
    key: 'publicAddress',
    message: `public address ${node.publicAddress} of node ${node.name} ${why}`,
  });
  if (!overlaps(`${node.publicAddress}/32`, range)) {
    return refuse(`is not in the public range ${range}: give that more room, or the node another`);
  }
  const host = parseAddress(node.publicAddress)! - parseRange(range)!.address;
  if (host === 0 || host === sizeOf(range) - 1) return refuse('is no host address');
  const twin = before.find((n) => n.publicAddress === node.publicAddress);
  return twin ? refuse(`is also that of ${twin.name}`) : null;
}

function checkPodRange(
  node: TopologyNode,
  ranges: Ranges,
  before: TopologyNode[],
): NodeProblem | null {
  const refuse = (why: string): NodeProblem => ({
    key: 'podCIDR',
    message: `podCIDR ${node.podCIDR} of node ${node.name} ${why}`,
  });
  const { pods } = ranges;
  if (prefixOf(node.podCIDR) < prefixOf(pods) || !overlaps(node.podCIDR, pods)) {
    return refuse(`is not in the pod range ${pods}`);
  }
  if (prefixOf(node.podCIDR) > 29) return refuse('must have a prefix of at most 29');
  const twin = before.find((n) => overlaps(n.podCIDR, node.podCIDR));
  return twin ? refuse(`overlaps that of ${twin.name}`) : null;
}

/** True if two ranges overlap. */
export function overlaps(one: string, other: string): boolean {
  const [a, b] = [parseRange(one)!, parseRange(other)!];
  const mask = maskOf(Math.min(prefixOf(one), prefixOf(other)));
  return (a.address & mask) === (b.address & mask);
}
