// What is around the nodes while probes run: two hosts on the lab's fabric. `outside` sends, with
// any source address, to one node; `strangers` is every address that nobody in the cluster has, and
// takes what the nodes forward there. They are two, so that an address which sends in one row and
// receives in another always goes by way of the node.
import { ipBatch } from '../../../lab/host/ip.ts';
import { writeSysctls } from '../../../lab/host/sysctl.ts';
import { fabricLink, namespaceOf } from '../../../lab/places/names.ts';
import type { Topology } from '../../../lab/topology/topology.ts';
import { prefixOf } from '../../../lab/topology/topology.ts';

export const OUTSIDE = 'outside';
export const STRANGERS = 'strangers';
/** High in the fabric's range, where no node is. */
const ADDRESSES = { [OUTSIDE]: '172.18.255.1', [STRANGERS]: '172.18.255.2' };
const BRIDGE = 'br0';

/**
 * Both hosts, and the nodes' way to everybody else. They go with the lab, whose name theirs begin
 * with.
 */
export async function makeOutside(lab: string, topology: Topology): Promise<void> {
  const prefix = prefixOf(topology.ranges.fabric);
  for (const [place, address] of Object.entries(ADDRESSES)) {
    const namespace = namespaceOf(lab, place);
    const link = fabricLink(place);
    await ipBatch(null, [`netns add ${namespace}`]);
    writeSysctls(namespace, [
      ['ipv6/conf/all/disable_ipv6', '1'],
      ['ipv4/conf/all/rp_filter', '0'],
      // Here the senders' addresses are local too.
      ['ipv4/conf/all/accept_local', '1'],
    ]);
    await ipBatch(namespaceOf(lab, 'fabric'), [
      `link add ${link} type veth peer name eth0 netns ${namespace}`,
      `link set ${link} master ${BRIDGE} up`,
    ]);
    await ipBatch(namespace, [
      'link set lo up',
      `addr add ${address}/${prefix} dev eth0`,
      'link set eth0 up',
    ]);
  }
  await ipBatch(namespaceOf(lab, STRANGERS), [
    // In main, so that the fabric's own range goes before it.
    'route add local default dev lo table main',
    ...topology.nodes.map((node) => `route add ${node.podCIDR} via ${node.address}`),
  ]);
  for (const { name } of topology.nodes) {
    await ipBatch(namespaceOf(lab, name), [`route replace default via ${ADDRESSES[STRANGERS]}`]);
    // A kernel that refuses many at once keeps silent about most of them otherwise.
    writeSysctls(namespaceOf(lab, name), [['ipv4/icmp_ratemask', '0']]);
  }
}

/** From now on the outside sends by way of this node. */
export async function sendBy(lab: string, nodeAddress: string): Promise<void> {
  await ipBatch(namespaceOf(lab, OUTSIDE), [`route replace default via ${nodeAddress}`]);
}
