import type { Command } from 'commander';
import { askAgent } from '../../control/admin-client.ts';
import type { ProxyKind } from '../../control/agent-options.ts';
import { labOf, labOption } from '../../control/cli/options.ts';
import { formatTable, type OutputFormat, outputOption, print } from '../../control/cli/output.ts';
import { connectLab } from '../../control/kube/client.ts';
import type { KubeKinds, Pod } from '../../control/kube/kinds.ts';
import { CLOUD, labFlag } from '../../control/places.ts';
import { KubetunError } from '../../datapath/error.ts';
import { isAlive } from '../host/process.ts';
import { isReady } from '../life/wait.ts';
import { supervisorLogPath } from '../places/paths.ts';
import { checkPlan } from '../plan/apply.ts';
import { planLab } from '../plan/plan.ts';
import { checkCables } from '../pods/sandbox/cables.ts';
import { type LabRecord, requireLab } from '../state/record.ts';
import { isAgentRunning } from '../supervisor/agents.ts';
import { cloudAddress } from '../topology/topology.ts';

/**
 * Time limit for the check of the network. It lies between those of an agent and of the API server.
 */
const NETWORK_MS_MAX = 4000;

interface AgentState {
  /** `silent`: the process runs but does not answer. `down`: it has ended. */
  agent: 'running' | 'silent' | 'down';
  generation: number | null;
  /** Faults, one line each. */
  unhealthy: string[];
}

interface NodeStatus extends AgentState {
  name: string;
  address: string;
  publicAddress: string;
  podCIDR: string;
  /** Its kind of proxy. */
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

interface IngressStatus {
  namespace: string;
  name: string;
  class: string | null;
  hosts: string[];
  /** Null until a controller serves it. */
  address: string | null;
}

interface LabStatus {
  lab: string;
  nodes: NodeStatus[];
  /** The gateway between them and the internet. */
  cloud: AgentState & { address: string };
  supervisor: 'running' | 'down';
  /** Null while the API server does not answer. */
  pods: PodStatus[] | null;
  ingresses: IngressStatus[];
  /** Missing parts of the network, one line each. */
  network: string[];
  /** URL of the API server for clients in the root namespace. Null while it does not answer. */
  api: string | null;
  /** Why it does not answer, and the next step; null while it answers. */
  apiFault: string | null;
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

/** Asks all parts at the same time. A silent part delays the answer by its own limit only. */
export async function readStatus(record: LabRecord): Promise<LabStatus> {
  const { lab, topology, supervisor, apiPort } = record;
  const isKept = supervisor !== null && isAlive(supervisor);
  const names = [...topology.nodes.map(({ name }) => name), CLOUD];
  const [states, { pods, ingresses, fault }, network] = await Promise.all([
    Promise.all(names.map((name) => readAgentState(lab, name, isKept))),
    isKept
      ? readObjects(lab, supervisor.pid)
      : { pods: null, ingresses: [], fault: `the supervisor has ended: ${takeUp(lab)}` },
    readNetwork(record),
  ]);
  return {
    lab,
    nodes: topology.nodes.map(({ name, address, publicAddress, podCIDR, proxy }, i) => ({
      ...{ name, address, publicAddress, podCIDR, proxy },
      ...states[i]!,
    })),
    cloud: { address: cloudAddress(topology.ranges), ...states.at(-1)! },
    supervisor: isKept ? 'running' : 'down',
    pods,
    ingresses,
    network,
    api: pods ? `https://127.0.0.1:${apiPort}` : null,
    apiFault: fault,
  };
}

function takeUp(lab: string): string {
  return `resume the lab with scripts/kubetun lab up${labFlag(lab)}`;
}

interface AgentAnswer {
  generation: number;
  unhealthy: { part: string; reason: string; since: string }[];
}

async function readAgentState(lab: string, node: string, isKept: boolean): Promise<AgentState> {
  try {
    const { generation, unhealthy } = await askAgent<AgentAnswer>(lab, node, '/status');
    return { agent: 'running', generation, unhealthy: unhealthy.map(faultLine) };
  } catch (error) {
    const agent = isAgentRunning(lab, node) ? 'silent' : 'down';
    const ended = isKept
      ? `the agent of ${node} has ended and is restarted: see ${supervisorLogPath(lab)}`
      : `the agent of ${node} has ended, and no supervisor restarts it: ${takeUp(lab)}`;
    return { agent, generation: null, unhealthy: [agent === 'down' ? ended : errorLine(error)] };
  }
}

function errorLine(error: unknown): string {
  if (!(error instanceof KubetunError)) return String(error);
  return `${error.message}${error.next ? `: ${error.next}` : ''}`;
}

function faultLine({ part, reason, since }: AgentAnswer['unhealthy'][number]): string {
  return `${part}: ${reason} (since ${since})`;
}

type Objects = Pick<LabStatus, 'pods' | 'ingresses'>;

async function readObjects(
  lab: string,
  supervisor: number,
): Promise<Objects & { fault: string | null }> {
  try {
    return { ...(await listObjects(lab, supervisor)), fault: null };
  } catch (error) {
    return { pods: null, ingresses: [], fault: errorLine(error) };
  }
}

async function listObjects(lab: string, supervisor: number): Promise<Objects> {
  const kube = connectLab(lab, `check process ${supervisor} and ${supervisorLogPath(lab)}`);
  try {
    const [pods, ingresses] = await Promise.all([kube.list('Pod'), kube.list('Ingress')]);
    return { pods: pods.items.map(podStatus), ingresses: ingresses.items.map(ingressStatus) };
  } finally {
    kube.close();
  }
}

function podStatus(pod: Pod): PodStatus {
  return {
    namespace: pod.metadata?.namespace ?? '',
    name: pod.metadata?.name ?? '',
    node: pod.spec?.nodeName ?? null,
    ip: pod.status?.podIP ?? null,
    phase: pod.status?.phase ?? 'Unknown',
    ready: isReady(pod),
  };
}

function ingressStatus({ metadata, spec, status }: KubeKinds['Ingress']): IngressStatus {
  const [first] = status?.loadBalancer?.ingress ?? [];
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    class: spec?.ingressClassName ?? null,
    hosts: (spec?.rules ?? []).map(({ host }) => host ?? '*'),
    address: first?.ip ?? first?.hostname ?? null,
  };
}

/** Missing parts of the network. If the check takes too long, a line says so instead. */
async function readNetwork(record: LabRecord): Promise<string[]> {
  const late = new Promise<string[]>((resolve) => {
    const line = `not checked within ${NETWORK_MS_MAX / 1000} s: the machine is busy, try again`;
    setTimeout(() => resolve([line]), NETWORK_MS_MAX).unref();
  });
  const check = Promise.all([checkPlan(planLab(record.lab, record.topology)), checkCables(record)]);
  return Promise.race([check.then((found) => found.flat()), late]);
}

export function formatStatus({ lab, nodes, cloud, supervisor, ...rest }: LabStatus): string {
  const { pods, ingresses, network, api, apiFault } = rest;
  const gateway = { ...cloud, name: CLOUD, publicAddress: '-', podCIDR: '-', proxy: 'gateway' };
  const all = [...nodes, gateway];
  const faults = all.flatMap((n) => n.unhealthy.map((line) => `${n.name}: ${line}`));
  const parts = [
    `lab ${lab}, API server ${api ?? (supervisor === 'down' ? 'down' : 'silent')}`,
    formatTable(
      ['NODE', 'ADDRESS', 'PUBLIC', 'PODS', 'PROXY', 'AGENT', 'HEALTHY', 'GENERATION'],
      all.map((n) => [
        ...[n.name, n.address, n.publicAddress, n.podCIDR, n.proxy, n.agent],
        ...[n.unhealthy.length === 0 ? 'yes' : 'no', String(n.generation ?? '-')],
      ]),
    ),
  ];
  if (faults.length > 0) parts.push(`unhealthy:\n  ${faults.join('\n  ')}`);
  if (network.length > 0) parts.push(`the network is incomplete:\n  ${network.join('\n  ')}`);
  if (pods === null) parts.push(`pods: unknown: ${apiFault}`);
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
  if (ingresses.length > 0) {
    const rows = ingresses.map((i) => [
      ...[i.namespace, i.name, i.class ?? '-', i.hosts.join(',') || '*', i.address ?? '-'],
    ]);
    parts.push(formatTable(['NAMESPACE', 'INGRESS', 'CLASS', 'HOSTS', 'ADDRESS'], rows));
  }
  return parts.join('\n\n');
}
