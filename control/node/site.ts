// The site of an agent: its node's address and devices, and the ranges of the cluster. The API
// server supplies what the command line leaves out. While it is away, its last answer is used.

import { lookup } from 'node:dns/promises';
import { KubetunError } from '../../datapath/error.ts';
import { formatRange, type Range4 } from '../../datapath/wire/address.ts';
import { joinRanges } from '../../datapath/wire/ranges.ts';
import type { AgentOptions } from '../agent-options.ts';
import type { KubeClient } from '../kube/client.ts';
import { readable } from '../kube/decode.ts';
import { isForbidden, isNotFound } from '../kube/error.ts';
import { readNamedAddress, readNode } from '../model/node.ts';
import { parseAddresses, parseRanges } from '../model/parse.ts';
import type { Uplink } from './apply.ts';
import { addressesOf, readLinks } from './ip.ts';
import { recall, remember } from './memory.ts';

/** Values from the command line. Null and empty ones are looked up. */
export type SiteOptions = Pick<AgentOptions, 'node' | 'serviceRange' | 'podRanges'>;

export interface Site {
  /** The node's primary address, which masquerade uses. */
  address: string;
  serviceRange: string;
  /** The pods of all nodes, neighbouring ranges joined. */
  podRanges: string[];
  /** The pods of this node. */
  ownPodRanges: string[];
}

/** File that remembers the ranges of the cluster. */
export function siteMemory({ arena }: { arena: string }): string {
  return `${arena}.site`;
}

/**
 * With all ranges on the command line no request is needed, except with narrow steering: that needs
 * the address and pod ranges of the Node.
 */
export async function siteOf(
  client: KubeClient,
  options: SiteOptions & Pick<AgentOptions, 'narrow' | 'arena'>,
  uplink: Uplink,
): Promise<Site> {
  const { serviceRange, podRanges, narrow } = options;
  if (!narrow && serviceRange !== null && podRanges.length > 0) {
    return { address: uplink.addresses[0]!, serviceRange, podRanges, ownPodRanges: podRanges };
  }
  const site = await findSite(client, options, siteMemory(options));
  if (readLinks().some((link) => addressesOf(link).includes(site.address))) return site;
  throw new KubetunError(
    'KT_NODE_ADDRESS',
    `Node ${options.node} has the address ${site.address}, which no device here has`,
    'run the agent in the network of that node, or correct --node',
  );
}

/**
 * Asks the cluster. Throws KubetunError KT_NODE_UNKNOWN, KT_NODE_ADDRESS, KT_POD_RANGE,
 * KT_SERVICE_RANGE, and the client's errors.
 * @param memory file with the last answer, for times without API server.
 */
export async function findSite(
  client: KubeClient,
  options: SiteOptions,
  memory: string,
): Promise<Site> {
  let site: Site;
  try {
    site = await askCluster(client, options);
  } catch (error) {
    const away = error instanceof KubetunError && error.code === 'KT_KUBE_UNREACHABLE';
    const remembered = away ? recall<Site>(memory) : null;
    if (remembered === null) throw error;
    return remembered;
  }
  remember(memory, site);
  return site;
}

async function askCluster(client: KubeClient, options: SiteOptions): Promise<Site> {
  const { items } = await client.list('Node');
  const objects = readable('Node', items);
  const nodes = objects.map(readNode);
  const own = nodes.find(({ name }) => name === options.node);
  if (!own) {
    const names = nodes.map(({ name }) => name);
    throw new KubetunError(
      'KT_NODE_UNKNOWN',
      `the cluster has no Node ${options.node}`,
      `give one of its Nodes with --node: ${names.slice(0, 5).join(', ') || '(it has none)'}`,
    );
  }
  // Not the steered address in the annotation: an earlier agent wrote it, and it may be stale.
  const { internal } = readNamedAddress(objects[nodes.indexOf(own)]!);
  if (internal === null) {
    throw new KubetunError(
      'KT_NODE_ADDRESS',
      `Node ${options.node} has no IPv4 InternalIP`,
      'wait until its kubelet sets one, or start that kubelet with --node-ip',
    );
  }
  const podRanges = podRangesOf(
    nodes.flatMap((node) => node.podRanges),
    options.podRanges,
  );
  if (podRanges.length === 0) {
    throw new KubetunError(
      'KT_POD_RANGE',
      'no Node has a spec.podCIDR',
      'give the range of all pods with --pod-range',
    );
  }
  return {
    address: internal,
    serviceRange: options.serviceRange ?? (await findServiceRange(client)),
    podRanges,
    ownPodRanges: podRangesOf(own.podRanges, options.podRanges),
  };
}

/** Ranges of Nodes and of the command line, merged to as few as possible, as text. */
export function podRangesOf(ofNodes: Range4[], given: string[]): string[] {
  return joinRanges([...parseRanges(given), ...ofNodes]).map(formatRange);
}

/**
 * The first IPv4 range of the ServiceCIDR `kubernetes`, which the API server creates for its own
 * range.
 */
async function findServiceRange(client: KubeClient): Promise<string> {
  const next = "give the API server's --service-cluster-ip-range with --service-range";
  let why = 'is missing or has no IPv4 range';
  try {
    const { spec } = await client.get('ServiceCIDR', { name: 'kubernetes' });
    const range = parseRanges(spec?.cidrs ?? [])[0];
    if (range) return formatRange(range);
  } catch (error) {
    // ServiceCIDR is not served before Kubernetes 1.33.
    if (isForbidden(error)) why = 'may not be read with this account';
    else if (!isNotFound(error)) throw error;
  }
  throw new KubetunError('KT_SERVICE_RANGE', `the ServiceCIDR kubernetes ${why}`, next);
}

/** IPv4 addresses of the API server at a URL. Empty if its name does not resolve yet. */
export async function apiAddressesOf(server: string): Promise<number[]> {
  const { hostname } = new URL(server);
  const found = await lookup(hostname, { family: 4, all: true }).catch(() => []);
  return parseAddresses(found.map(({ address }) => address));
}
