// A pod's cable to its node, and the route to it.
import { existsSync } from 'node:fs';
import { filterLines } from '../../../control/node/cables.ts';
import { TABLE_PODS } from '../../../control/node/rule.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { ipBatch, tcBatch } from '../../host/ip.ts';
import { endProcesses, processesInNamespaces } from '../../host/process.ts';
import { writeSysctls } from '../../host/sysctl.ts';
import { namespacePath } from '../../places/names.ts';
import { namespaceLink } from '../../places/paths.ts';
import { POD_GATEWAY, SPOOFED_LINK } from '../../topology/topology.ts';

export interface PodNetwork {
  netns: string;
  /** Network namespace of the node. */
  nodeNetns: string;
  link: string;
  address: string;
  mtu: number;
}

/** The dummy address of RFC 7600, which means nobody. */
export const DUMMY = '192.0.0.8/32';
const SYSCTLS: [string, string][] = [
  ['ipv6/conf/all/disable_ipv6', '1'],
  ['ipv6/conf/default/disable_ipv6', '1'],
  ['ipv4/conf/all/rp_filter', '0'],
  ['ipv4/conf/default/rp_filter', '0'],
];

/**
 * Makes a pod's network namespace and joins it to its node. What a predecessor left there goes
 * first. Throws KubetunError KT_NODE_NETNS, KT_IP, KT_TC, KT_SYSCTL.
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
  await layCable(pod);
}

/**
 * The cable between a pod's network namespace and its node. Throws KubetunError KT_IP, KT_TC,
 * KT_SYSCTL.
 */
export async function layCable(pod: PodNetwork): Promise<void> {
  await ipBatch(pod.netns, [
    // Made from inside, with the other end straight into the node: neither is ever seen outside.
    `link add eth0 mtu ${pod.mtu} type veth peer name ${pod.link} mtu ${pod.mtu} netns ${pod.nodeNetns}`,
    `addr add ${pod.address}/32 dev eth0`,
    'link set eth0 up',
    `route add default via ${POD_GATEWAY} dev eth0 onlink src ${pod.address}`,
  ]);
  // A pod that claims another address than its own is seen through before anybody can be deceived.
  await tcBatch(pod.nodeNetns, filterLines(pod, SPOOFED_LINK));
  await raiseCable(pod);
}

/**
 * The node's end of a cable. What is there already stays as it is. Throws KubetunError KT_IP,
 * KT_SYSCTL.
 */
export async function raiseCable(pod: PodNetwork): Promise<void> {
  // Loose: where no rule leads to the pod, as after a flush of all rules, nothing is taken from it
  // either.
  writeSysctls(pod.nodeNetns, [[`ipv4/conf/${pod.link}/rp_filter`, '2']]);
  await ipBatch(pod.nodeNetns, [
    `link set ${pod.link} up`,
    // The filter takes nothing from a device without any address.
    `addr replace ${DUMMY} dev ${pod.link} scope host`,
    `route replace ${pod.address}/32 dev ${pod.link} table ${TABLE_PODS}`,
  ]);
}

/**
 * Removes what an earlier runner has left of a pod's network, with the processes in it: a sandbox
 * that was being started when its runner was killed is on no record.
 */
export async function clearPodNetwork({ netns }: { netns: string }): Promise<void> {
  if (!existsSync(namespacePath(netns))) return;
  await endProcesses(processesInNamespaces(new Set([namespaceLink(netns)])), 0);
  await removePodNetwork({ netns });
}

/** The cable goes with the pod's end of it, and the route with the cable. */
export async function removePodNetwork({ netns }: { netns: string }): Promise<void> {
  if (!existsSync(namespacePath(netns))) return;
  await ipBatch(netns, ['link del eth0'], { force: true });
  await ipBatch(null, [`netns del ${netns}`], { force: true });
}
