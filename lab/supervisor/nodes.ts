// The Node objects of a lab.
import { arch, release } from 'node:os';
import type { KubeClient } from '../../control/kube/client.ts';
import { KubeStatusError } from '../../control/kube/error.ts';
import type { Node } from '../../control/kube/kinds.ts';
import { sizeOf, type TopologyNode } from '../topology/topology.ts';

const STARTING = 'AgentStarting';

/** Registers a node that is not ready yet, as a kubelet does; one that is there keeps its identity. */
export async function registerNode(kube: KubeClient, node: TopologyNode): Promise<void> {
  const object = describeNode(node);
  try {
    await kube.create('Node', object);
    await kube.patch('Node', { name: node.name }, { status: object.status }, 'status');
  } catch (error) {
    // It is there, from an earlier supervisor: its agent and its state have gone on without one.
    if (!(error instanceof KubeStatusError) || error.status !== 409) throw error;
    const { metadata, spec } = object;
    await kube.patch('Node', { name: node.name }, { metadata: { labels: metadata?.labels }, spec });
  }
}

/**
 * Says that a node's datapath forwards for the first time, so that pods may be placed there. From then on its Lease
 * says so, and what became of the node meanwhile is for the node lifecycle controller to say.
 */
export async function markNodeReady(kube: KubeClient, name: string): Promise<void> {
  const node = await kube.get('Node', { name });
  const known = node.status?.conditions?.find(({ type }) => type === 'Ready');
  if (known && known.reason !== STARTING) return;
  const status = { conditions: [condition(true)] };
  await kube.patch('Node', { name }, { status }, 'status');
}

function describeNode(node: TopologyNode): Node {
  // Network, broadcast and the two that routers like to have are no pod's.
  const pods = String(sizeOf(node.podCIDR) - 4);
  return {
    metadata: {
      name: node.name,
      labels: {
        'kubernetes.io/hostname': node.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': arch() === 'x64' ? 'amd64' : arch(),
        'topology.kubernetes.io/zone': node.zone,
        ...node.labels,
      },
    },
    spec: { podCIDR: node.podCIDR, podCIDRs: [node.podCIDR] },
    status: {
      addresses: [
        { type: 'InternalIP', address: node.address },
        { type: 'ExternalIP', address: node.publicAddress },
        { type: 'Hostname', address: node.name },
      ],
      capacity: { pods },
      allocatable: { pods },
      conditions: [condition(false)],
      nodeInfo: {
        architecture: arch() === 'x64' ? 'amd64' : arch(),
        bootID: '',
        containerRuntimeVersion: 'kubetun://0.1.0',
        kernelVersion: release(),
        kubeProxyVersion: '',
        kubeletVersion: 'v0.1.0-kubetun',
        machineID: '',
        operatingSystem: 'linux',
        osImage: 'kubetun lab',
        systemUUID: '',
      },
    },
  };
}

function condition(ready: boolean) {
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    type: 'Ready',
    status: ready ? 'True' : 'False',
    reason: ready ? 'AgentForwards' : STARTING,
    message: ready ? 'the datapath forwards' : 'the datapath is being started',
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  };
}
