// A pod's cable to its node, and the route to the pod.
import { existsSync } from 'node:fs';
import { filterLines } from '../../../control/node/cables.ts';
import { TABLE_PODS } from '../../../control/node/rule.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { ipBatch, tcBatch } from '../../host/ip.ts';
import { endProcesses, processesInNamespaces } from '../../host/process.ts';
import { writeSysctls } from '../../host/sysctl.ts';
import { namespacePath } from '../../places/names.ts';
import { namespaceLink } from '../../places/paths.ts';
import { type Attach, POD_GATEWAY, SPOOFED_LINK } from '../../topology/topology.ts';
import { detachDevices, layDevice } from './port.ts';

export interface PodNetwork {
  lab: string;
  node: string;
  attach: Attach;
  netns: string;
  /** Network namespace of the node. */
  nodeNetns: string;
  link: string;
  address: string;
  mtu: number;
}

/** Where the network of a pod is, to remove it. */
export type PodPlace = Pick<PodNetwork, 'lab' | 'node' | 'netns'> & { attach?: Attach };

/** The IPv4 dummy address of RFC 7600. It belongs to no host. */
export const DUMMY = '192.0.0.8/32';
const SYSCTLS: [string, string][] = [
  ['ipv6/conf/all/disable_ipv6', '1'],
  ['ipv6/conf/default/disable_ipv6', '1'],
  ['ipv4/conf/all/rp_filter', '0'],
  ['ipv4/conf/default/rp_filter', '0'],
  // With 1, a TUN device without an agent would have no route, and new connections would fail.
  ['ipv4/conf/all/ignore_routes_with_linkdown', '0'],
  ['ipv4/conf/default/ignore_routes_with_linkdown', '0'],
  // As containerd 2: a user other than root may listen on port 80.
  ['ipv4/ip_unprivileged_port_start', '0'],
];

/**
 * Makes a pod's network namespace and connects it to its node. Removes what an earlier pod left
 * there. Throws KubetunError KT_NODE_NETNS, KT_IP, KT_TC, KT_SYSCTL.
 */
export async function makePodNetwork(pod: PodNetwork): Promise<void> {
  if (!existsSync(namespacePath(pod.nodeNetns))) {
    throw new KubetunError(
      'KT_NODE_NETNS',
      `the node's network namespace ${pod.nodeNetns} is gone`,
      'bring the lab down and up again',
    );
  }
  await clearPodNetwork(pod);
  await ipBatch(null, [`netns add ${pod.netns}`]);
  writeSysctls(pod.netns, SYSCTLS);
  await ipBatch(pod.netns, ['link set lo up']);
  await (pod.attach === 'tun' ? layDevice(pod) : layCable(pod));
}

/** Makes the cable between a pod and its node. Throws KubetunError KT_IP, KT_TC, KT_SYSCTL. */
export async function layCable(pod: PodNetwork): Promise<void> {
  await ipBatch(pod.netns, [
    // The cable is made inside the pod's namespace with its other end in the node's, so neither end
    // appears in the root namespace.
    `link add eth0 mtu ${pod.mtu} type veth peer name ${pod.link} mtu ${pod.mtu} ` +
      `netns ${pod.nodeNetns}`,
    `addr add ${pod.address}/32 dev eth0`,
    'link set eth0 up',
    `route add default via ${POD_GATEWAY} dev eth0 onlink src ${pod.address}`,
  ]);
  // The filter is there before the cable is up: no packet with a wrong source gets through.
  await tcBatch(pod.nodeNetns, filterLines(pod, SPOOFED_LINK));
  await raiseCable(pod);
}

/**
 * Brings up the node's end of a cable. Existing parts stay. Throws KubetunError KT_IP, KT_SYSCTL.
 */
export async function raiseCable(pod: PodNetwork): Promise<void> {
  // Loose mode: without a rule to the pod, for example after a flush of all rules, its packets are
  // still accepted.
  writeSysctls(pod.nodeNetns, [[`ipv4/conf/${pod.link}/rp_filter`, '2']]);
  await ipBatch(pod.nodeNetns, [
    `link set ${pod.link} up`,
    // The reverse path filter drops every packet of a device without an address.
    `addr replace ${DUMMY} dev ${pod.link} scope host`,
    `route replace ${pod.address}/32 dev ${pod.link} table ${TABLE_PODS}`,
  ]);
}

/**
 * Removes a pod's network and the processes in it. A sandbox that was being started when its runner
 * was killed has no record.
 */
export async function clearPodNetwork(pod: PodPlace): Promise<void> {
  const { netns } = pod;
  if (!existsSync(namespacePath(netns))) return;
  await endProcesses(processesInNamespaces(new Set([namespaceLink(netns)])), 0);
  await removePodNetwork(pod);
}

/** Removing the pod's end removes the cable, and with it the route. */
export async function removePodNetwork(pod: PodPlace): Promise<void> {
  const { netns } = pod;
  if (!existsSync(namespacePath(netns))) return;
  if (pod.attach === 'tun') await detachDevices(pod.lab, pod.node, netns);
  await ipBatch(netns, ['link del eth0'], { force: true });
  await ipBatch(null, [`netns del ${netns}`], { force: true });
}
