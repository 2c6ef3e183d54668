// The Node objects of a lab.
import type { KubeClient } from '../../control/kube/client.ts';
import { KubeStatusError } from '../../control/kube/error.ts';
import type { Node } from '../../control/kube/kinds.ts';
import { KubetunError } from '../../datapath/error.ts';
import { sizeOf, type TopologyNode } from '../topology/topology.ts';
import { capacityOf, labelsOf, nodeInfoOf } from './node-facts.ts';

const STARTING = 'AgentStarting';
/** Longest wait for an API server that is being restarted. */
const AWAY_MS_MAX = 30_000;
const AGAIN_MS = 200;

/** Repeats a request while the API server is being restarted. */
export async function whenServed<T>(work: () => Promise<T>): Promise<T> {
  const end = performance.now() + AWAY_MS_MAX;
  while (true) {
    try {
      return await work();
    } catch (error) {
      const isAway = error instanceof KubetunError && error.code === 'KT_KUBE_UNREACHABLE';
      if (!isAway || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

/** Registers a node as not ready, as a kubelet does. An existing Node keeps its identity. */
export async function registerNode(kube: KubeClient, node: TopologyNode): Promise<void> {
  const object = describeNode(node);
  try {
    await kube.create('Node', object);
    await kube.patch('Node', { name: node.name }, { status: object.status }, 'status');
  } catch (error) {
    // The Node exists from an earlier supervisor, and its agent kept its state.
    if (!(error instanceof KubeStatusError) || error.status !== 409) throw error;
    const { metadata, spec } = object;
    const labels = { metadata: { labels: metadata?.labels }, spec };
    const found = await kube.patch('Node', { name: node.name }, labels);
    const { capacity, allocatable, nodeInfo } = object.status!;
    const facts = { capacity, allocatable, nodeInfo };
    // A crash between the two writes leaves a Node without a status.
    const status = found.status?.addresses ? facts : object.status;
    await kube.patch('Node', { name: node.name }, { status }, 'status');
  }
}

/**
 * Marks a node ready when its datapath forwards for the first time, so that pods may be placed
 * there. Later its Lease decides, through the node lifecycle controller.
 */
export async function markNodeReady(kube: KubeClient, name: string): Promise<void> {
  const node = await kube.get('Node', { name });
  const conditions = node.status?.conditions ?? [];
  const known = conditions.find(({ type }) => type === 'Ready');
  if (known && known.reason !== STARTING) return;
  const others = conditions.filter((other) => other !== known);
  const status = { conditions: [...others, readyCondition(true)] };
  await kube.patch('Node', { name }, { status }, 'status');
}

function describeNode(node: TopologyNode): Node {
  // Four addresses are no pod's: network, broadcast and two for routers.
  const capacity = capacityOf(sizeOf(node.podCIDR) - 4);
  return {
    metadata: {
      name: node.name,
      labels: {
        ...labelsOf(node.name),
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
      capacity,
      allocatable: capacity,
      conditions: [...PRESSURES.map(pressureCondition), readyCondition(false)],
      nodeInfo: nodeInfoOf(node.name),
    },
  };
}

/** Reasons for which a kubelet evicts pods. A lab evicts none. */
const PRESSURES = [
  ['MemoryPressure', 'KubeletHasSufficientMemory', 'memory'],
  ['DiskPressure', 'KubeletHasNoDiskPressure', 'disk space'],
  ['PIDPressure', 'KubeletHasSufficientPID', 'process ids'],
] as const;

function pressureCondition([type, reason, what]: (typeof PRESSURES)[number]) {
  const message = `the lab evicts no pod for lack of ${what}`;
  return { type, status: 'False', reason, message, ...now() };
}

function readyCondition(ready: boolean) {
  return {
    type: 'Ready',
    status: ready ? 'True' : 'False',
    reason: ready ? 'AgentForwards' : STARTING,
    message: ready ? 'the datapath forwards' : 'the datapath is being started',
    ...now(),
  };
}

function now() {
  const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  return { lastHeartbeatTime: time, lastTransitionTime: time };
}
