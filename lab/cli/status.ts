import type { Command } from 'commander';
import type { ProxyKind } from '../../control/agent/proxy.ts';
import { askAgent } from '../../control/cli/admin-client.ts';
import {
  CLOUD,
  labOf,
  labOption,
  type OutputFormat,
  outputOption,
} from '../../control/cli/options.ts';
import { formatTable, print } from '../../control/cli/table.ts';
import { connectKube } from '../../control/kube/client.ts';
import { isAlive } from '../host/process.ts';
import { isReady } from '../life/wait.ts';
import { checkPlan } from '../plan/apply.ts';
import { planLab } from '../plan/plan.ts';
import { checkCables } from '../pods/cables.ts';
import { kubeconfigPath } from '../state/paths.ts';
import { type LabRecord, requireLab } from '../state/record.ts';
import { isAgentRunning } from '../supervisor/agents.ts';
import { cloudAddress } from '../topology/topology.ts';

interface AgentState {
  agent: 'running' | 'stopped';
  generation: number | null;
  /** What is wrong with it, one line each. */
  unhealthy: string[];
}

interface NodeStatus extends AgentState {
  name: string;
  address: string;
  publicAddress: string;
  podCIDR: string;
  /** What translates on it. */
  proxy: ProxyKind;
}

interface PodStatus {
  namespace: string;
  name: string;
  node: string | null;
  ip: string | null;
  phase: string;
  ready: boolean;
}

interface LabStatus {
  lab: string;
  nodes: NodeStatus[];
  /** The gateway between them and the internet. */
  cloud: AgentState & { address: string };
  /** Null while the API server does not answer. */
  pods: PodStatus[] | null;
  /** What of the network is not as it was made, one line each. */
  network: string[];
  /** Where the API server is, for clients in the root namespace; null while it does not answer. */
  api: string | null;
}

export function register(lab: Command): void {
  lab
    .command('status')
    .description('show the nodes and pods of a lab')
    .addOption(outputOption())
    .addOption(labOption())
    .action(async (options: { output: OutputFormat }, command: Command) => {
      const status = await readStatus(requireLab(labOf(command)));
      print(options.output, status, () => formatStatus(status));
    });
}

async function readStatus(record: LabRecord): Promise<LabStatus> {
  const { lab, topology, supervisor, apiPort } = record;
  const runs = supervisor !== null && isAlive(supervisor);
  const pods = runs ? await readPods(lab).catch(() => null) : null;
  return {
    lab,
    nodes: await Promise.all(
      topology.nodes.map(async ({ name, address, publicAddress, podCIDR, proxy }) => ({
        ...{ name, address, publicAddress, podCIDR, proxy },
        ...(await readAgentState(lab, name)),
      })),
    ),
    cloud: { address: cloudAddress(topology.ranges), ...(await readAgentState(lab, CLOUD)) },
    pods,
    network: [...(await checkPlan(planLab(lab, topology))), ...(await checkCables(record))],
    api: pods ? `https://127.0.0.1:${apiPort}` : null,
  };
}

interface AgentAnswer {
  generation: number;
  unhealthy: { part: string; reason: string; since: string }[];
}

async function readAgentState(lab: string, node: string): Promise<AgentState> {
  if (!isAgentRunning(lab, node)) {
    return { agent: 'stopped', generation: null, unhealthy: ['the agent does not run'] };
  }
  try {
    const { generation, unhealthy } = await askAgent<AgentAnswer>(lab, node, '/status');
    return { agent: 'running', generation, unhealthy: unhealthy.map(faultLine) };
  } catch (error) {
    return { agent: 'running', generation: null, unhealthy: [(error as Error).message] };
  }
}

function faultLine({ part, reason, since }: AgentAnswer['unhealthy'][number]): string {
  return `${part}: ${reason} (since ${since})`;
}

async function readPods(lab: string): Promise<PodStatus[]> {
  const kube = connectKube(kubeconfigPath(lab));
  try {
    const { items } = await kube.list('Pod');
    return items.map((pod) => ({
      namespace: pod.metadata?.namespace ?? '',
      name: pod.metadata?.name ?? '',
      node: pod.spec?.nodeName ?? null,
      ip: pod.status?.podIP ?? null,
      phase: pod.status?.phase ?? 'Unknown',
      ready: isReady(pod),
    }));
  } finally {
    kube.close();
  }
}

function formatStatus({ lab, nodes, cloud, pods, network, api }: LabStatus): string {
  const gateway = { ...cloud, name: CLOUD, publicAddress: '-', podCIDR: '-', proxy: 'gateway' };
  const all = [...nodes, gateway];
  const faults = all.flatMap((n) => n.unhealthy.map((line) => `${n.name}: ${line}`));
  const parts = [
    `lab ${lab}, API server ${api ?? 'stopped'}`,
    formatTable(
      ['NODE', 'ADDRESS', 'PUBLIC', 'PODS', 'PROXY', 'AGENT', 'HEALTHY', 'GENERATION'],
      all.map((n) => [
        ...[n.name, n.address, n.publicAddress, n.podCIDR, n.proxy, n.agent],
        ...[n.unhealthy.length === 0 ? 'yes' : 'no', String(n.generation ?? '-')],
      ]),
    ),
  ];
  if (faults.length > 0) parts.push(`unhealthy:\n  ${faults.join('\n  ')}`);
  if (network.length > 0) parts.push(`the network is not whole:\n  ${network.join('\n  ')}`);
  if (pods === null) parts.push('pods: unknown while the API server does not answer');
  else if (pods.length === 0) parts.push('no pods');
  else {
    const rows = pods.map((p) => [
      p.namespace,
      p.name,
      p.node ?? '-',
      p.ip ?? '-',
      p.phase,
      p.ready ? 'yes' : 'no',
    ]);
    parts.push(formatTable(['NAMESPACE', 'POD', 'NODE', 'ADDRESS', 'PHASE', 'READY'], rows));
  }
  return parts.join('\n\n');
}
