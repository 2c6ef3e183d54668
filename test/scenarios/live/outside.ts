// Two hosts on the lab's fabric. `outside` sends to one node, with any source address. `strangers`
// has every address outside the cluster and receives what the nodes forward there. They are
// separate, so that traffic between two such addresses always passes the node.
import { ipBatch } from '../../../lab/host/ip.ts';
import { writeSysctls } from '../../../lab/host/sysctl.ts';
import { fabricLink, namespaceOf } from '../../../lab/places/names.ts';
import type { Topology } from '../../../lab/topology/topology.ts';
import { prefixOf } from '../../../lab/topology/topology.ts';

export const OUTSIDE = 'outside';
export const STRANGERS = 'strangers';
/** High in the fabric's range, above all nodes. */
const ADDRESSES = { [OUTSIDE]: '172.18.255.1', [STRANGERS]: '172.18.255.2' };
const BRIDGE = 'br0';

/**
 * Both hosts, and the nodes' default route. Their names start with the lab's, so they are removed
 * with it.
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
      // The senders' addresses are local here too.
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
    // In table main, so that the fabric's range takes precedence.
    'route add local default dev lo table main',
    ...topology.nodes.map((node) => `route add ${node.podCIDR} via ${node.address}`),
  ]);
  for (const { name } of topology.nodes) {
    await ipBatch(namespaceOf(lab, name), [`route replace default via ${ADDRESSES[STRANGERS]}`]);
    // Otherwise the kernel limits the rate of its refusals.
    writeSysctls(namespaceOf(lab, name), [['ipv4/icmp_ratemask', '0']]);
  }
}

/** Routes the outside through this node. */
export async function sendBy(lab: string, nodeAddress: string): Promise<void> {
  await ipBatch(namespaceOf(lab, OUTSIDE), [`route replace default via ${nodeAddress}`]);
}
