// A pod's TUN device, which its node's agent serves as a port of the datapath.
import { askAgent, tellAgent } from '../../../control/admin-client.ts';
import type { PortDescription } from '../../../control/node/pod-ports.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { ipBatch } from '../../host/ip.ts';
import { namespacePath } from '../../places/names.ts';
import { POD_GATEWAY } from '../../topology/topology.ts';

export interface PodDevice {
  lab: string;
  node: string;
  netns: string;
  address: string;
  mtu: number;
}

const DEVICE = 'eth0';
/** As for the node's device: the default of 500 overflows with 16 streams. */
const QUEUE_PACKETS = 2000;
/** Longest wait for an agent that is being restarted. */
const AGENT_MS_MAX = 5000;
const AGAIN_MS = 100;

/** Creates the device in the pod's namespace and gives it to the agent. Throws KubetunError. */
export async function layDevice(pod: PodDevice): Promise<void> {
  await ipBatch(pod.netns, deviceLines(pod));
  await attachDevice(pod);
}

/** Creates the missing parts of a device. Existing parts stay. Throws KubetunError. */
export async function mendDevice(pod: PodDevice): Promise<void> {
  await ipBatch(pod.netns, deviceLines(pod), { force: true });
  await attachDevice(pod);
}

function deviceLines({ address, mtu }: PodDevice): string[] {
  return [
    `tuntap add mode tun name ${DEVICE} vnet_hdr`,
    `link set dev ${DEVICE} mtu ${mtu} txqueuelen ${QUEUE_PACKETS}`,
    `addr add ${address}/32 dev ${DEVICE}`,
    `link set ${DEVICE} up`,
    `route add default via ${POD_GATEWAY} dev ${DEVICE} onlink src ${address}`,
  ];
}

/** Throws KubetunError KT_AGENT_SILENT if no agent takes the device in time. */
async function attachDevice({ lab, node, netns, address }: PodDevice): Promise<void> {
  const body = { netns: namespacePath(netns), device: DEVICE, address };
  const end = performance.now() + AGENT_MS_MAX;
  while (true) {
    try {
      await tellAgent(lab, node, { method: 'POST', path: '/ports' }, body);
      return;
    } catch (error) {
      if (!(error instanceof KubetunError) || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

/**
 * Tells the agent to close a pod's devices. An absent agent detects later that the namespace is
 * gone.
 */
export async function detachDevices(lab: string, node: string, netns: string): Promise<void> {
  const body = { netns: namespacePath(netns) };
  await tellAgent(lab, node, { method: 'DELETE', path: '/ports' }, body).catch(() => {});
}

/** Namespaces whose devices an agent serves; null while it does not answer. */
export async function servedNamespaces(lab: string, node: string): Promise<Set<string> | null> {
  const ports = await askAgent<PortDescription[]>(lab, node, '/ports').catch(() => null);
  if (!Array.isArray(ports)) return null;
  return new Set(ports.filter(({ attached }) => attached).map(({ netns }) => netns));
}
