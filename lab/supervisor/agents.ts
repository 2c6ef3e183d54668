// Keeps one agent per node and one for the cloud running.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { askAgent } from '../../control/admin-client.ts';
import type { ProxyKind } from '../../control/agent-options.ts';
import { WALL_CLOCK } from '../../control/clock.ts';
import {
  NODE_PORT_MAX,
  NODE_PORT_MIN,
  SNAT_PORT_MAX,
  SNAT_PORT_MIN,
} from '../../control/compile/node-entry.ts';
import { makeFolder, replaceFile } from '../../control/files.ts';
import { bypassLines } from '../../control/node/steering.ts';
import { arenaOf, CLOUD, socketOf, stateDir } from '../../control/places.ts';
import { Backoff, RESTART_PACE } from '../../datapath/backoff.ts';
import { ipBatch } from '../host/ip.ts';
import {
  commandLine,
  identify,
  isAlive,
  type ProcessId,
  processesWithVariable,
} from '../host/process.ts';
import { LAB_VARIABLE, namespaceOf, namespacePath } from '../places/names.ts';
import { agentKubeconfigPath, agentLogPath, PROJECT_ROOT } from '../places/paths.ts';
import { lastWords } from '../state/log.ts';
import { SPOOFED_LINK, type Topology } from '../topology/topology.ts';
import { Watchdog } from './watchdog.ts';

const POLL_MS = 50;
/** After so many failed starts in a row an agent is reported as failing. */
const FAILURES_MAX = 4;

export interface AgentKeeperOptions {
  lab: string;
  topology: Topology;
  log: Logger;
  /** The agent of a node forwards and has the cluster's tables. */
  onReady: (node: string) => void;
  /** The agent of a node failed several times in a row. `why` is its last error. */
  onFailing: (node: string, why: string) => void;
}

/**
 * Keeps the agents of a lab running. Agents outlive the keeper: the next keeper finds them by their
 * records.
 */
export class AgentKeeper {
  readonly #options: AgentKeeperOptions;
  #stopped = false;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #failures = new Map<string, number>();
  readonly #watchdog: Watchdog;

  constructor(options: AgentKeeperOptions) {
    this.#options = options;
    this.#watchdog = new Watchdog({
      clock: WALL_CLOCK,
      isRunning: (node) => isAgentRunning(options.lab, node),
      open: (node) => this.#bypass('add', node),
      close: (node) => this.#bypass('del', node),
    });
  }

  /** Starts the agent of a node or of the cloud, or takes over a running one. */
  keep(node: string): void {
    const running = findAgent(this.#options.lab, node);
    if (running) {
      this.#options.log.info({ node, pid: running.pid }, 'agent adopted');
      this.#watch(node, running);
      this.#awaitReady(node);
    } else {
      this.#start(node, new Backoff(RESTART_PACE));
    }
  }

  /** Stops all work on the agents and leaves them running. */
  stop(): void {
    this.#stopped = true;
    this.#watchdog.stop();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #start(node: string, delay: Backoff): void {
    if (this.#stopped) return;
    const { lab, log } = this.#options;
    const started = Date.now();
    let child: ChildProcess | undefined;
    try {
      child = spawnAgent(lab, node, this.#options.topology);
      const own = identify(child.pid ?? -1);
      if (own) replaceFile(agentRecordPath(lab, node), `${JSON.stringify(own)}\n`);
    } catch (error) {
      // A full disk must not affect other nodes. An agent without a record could not be found
      // again.
      child?.kill('SIGKILL');
      log.error({ node, why: String(error) }, 'cannot start agent');
      return this.#restart(node, delay, 0);
    }
    const { pid } = child;
    log.info({ node, pid }, 'agent started');
    const ended = (why: object) => {
      if (this.#stopped) return;
      const livedMs = Date.now() - started;
      log.warn({ node, pid, ...why, livedMs }, 'agent ended');
      this.#restart(node, delay, livedMs);
    };
    child.once('error', (error) => ended({ why: error.message }));
    child.once('exit', (code, name) => ended({ code, signal: name }));
    this.#awaitReady(node);
  }

  #restart(node: string, delay: Backoff, livedMs: number): void {
    const { lab, onFailing } = this.#options;
    // Traffic of the cloud needs no bypass, and nftables rules work without their agent.
    if (proxyOf(this.#options.topology, node) === 'kubetun') this.#watchdog.away(node);
    const failures = (this.#failures.get(node) ?? 0) + 1;
    this.#failures.set(node, failures);
    if (failures === FAILURES_MAX) onFailing(node, lastWords(agentLogPath(lab, node)));
    this.#later(delay.next(livedMs), () => this.#start(node, delay));
  }

  /** An agent of an earlier supervisor is not a child of this process, so it is polled. */
  #watch(node: string, agent: ProcessId): void {
    this.#later(POLL_MS, () => {
      if (isAlive(agent)) return this.#watch(node, agent);
      this.#options.log.warn({ node, pid: agent.pid }, 'agent ended');
      this.#restart(node, new Backoff(RESTART_PACE), 0);
    });
  }

  #awaitReady(node: string): void {
    const { lab, onReady } = this.#options;
    const agent = readAgent(lab, node);
    const look = async () => {
      if (this.#stopped || !agent || !isAlive(agent)) return;
      if (await isAgentReady(lab, node, agent)) {
        this.#failures.set(node, 0);
        this.#watchdog.back(node);
        return onReady(node);
      }
      this.#later(POLL_MS, look);
    };
    void look();
  }

  /** Makes or removes the bypass: routes by which a node's own traffic goes past the datapath. */
  #bypass(verb: 'add' | 'del', name: string): void {
    const { lab, topology, log } = this.#options;
    const { address: nodeAddress } = topology.nodes.find((node) => node.name === name)!;
    const podRanges = [topology.ranges.pods];
    const lines = bypassLines(verb, {
      ...{ uplink: 'eth0', nodeAddress, podRanges },
      ...{ nodePorts: [NODE_PORT_MIN, NODE_PORT_MAX], snatPorts: [SNAT_PORT_MIN, SNAT_PORT_MAX] },
    });
    log.warn({ node: name, verb }, "bypass of the datapath for the node's own traffic");
    // Some rules may exist or be gone already, because a starting agent removes them too.
    ipBatch(namespaceOf(lab, name), lines, { force: true }).catch((error: unknown) => {
      log.error({ node: name, why: String(error) }, 'cannot bypass the datapath');
    });
  }

  #later(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#stopped) work();
    }, ms);
    this.#timers.add(timer);
  }
}

interface AgentStatus {
  pid: number;
  synced: boolean;
  healthy: boolean;
}

async function isAgentReady(lab: string, node: string, agent: ProcessId): Promise<boolean> {
  if (!existsSync(socketOf(lab, node))) return false;
  const status = await askAgent<AgentStatus>(lab, node, '/status').catch(() => null);
  return status !== null && status.pid === agent.pid && status.synced && status.healthy;
}

function spawnAgent(lab: string, node: string, topology: Topology): ChildProcess {
  const logPath = agentLogPath(lab, node);
  makeFolder(dirname(logPath));
  const logFd = openSync(logPath, 'a', 0o600);
  const args = [
    `--net=${namespacePath(namespaceOf(lab, node))}`,
    join(PROJECT_ROOT, 'scripts/kubetun'),
    'agent',
    ...['--lab', lab, '--node', node, '--kubeconfig', agentKubeconfigPath(lab)],
    ...['--tun', 'kt0', '--uplink', 'eth0', '--flows', String(topology.flows)],
    ...['--admin', socketOf(lab, node), '--arena', arenaOf(lab, node)],
    ...waitArgs(topology),
    ...(node === CLOUD ? cloudArgs(topology) : nodeArgs(node, topology)),
  ];
  try {
    return spawn('nsenter', args, { detached: true, stdio: ['ignore', logFd, logFd], cwd: '/' });
  } finally {
    closeSync(logFd);
  }
}

/** The proxy of a node. Null for the cloud. Records of older labs have none. */
function proxyOf({ nodes }: Topology, name: string): ProxyKind | null {
  const node = nodes.find((one) => one.name === name);
  return node ? (node.proxy ?? 'kubetun') : null;
}

function nodeArgs(name: string, topology: Topology): string[] {
  const { nodes, ranges, timeouts = {} } = topology;
  const node = nodes.find((one) => one.name === name);
  return [
    ...['--proxy', proxyOf(topology, name) ?? 'kubetun', '--lease'],
    // The ports of TUN devices check sources themselves.
    ...(node?.attach === 'tun' ? [] : ['--spoofed', SPOOFED_LINK]),
    ...['--service-range', ranges.services, '--pod-range', ranges.pods],
    ...Object.entries(timeouts).flatMap(([key, seconds]) => ['--timeout', `${key}=${seconds}`]),
  ];
}

/** How the datapath of any agent waits and writes. */
export function waitArgs({ merge, busyPoll }: Pick<Topology, 'merge' | 'busyPoll'>): string[] {
  return [
    ...(merge === undefined ? [] : ['--merge', merge]),
    ...(busyPoll === undefined ? [] : ['--busy-poll', busyPoll]),
  ];
}

function cloudArgs({ ranges }: Topology): string[] {
  return [
    ...['--role', 'gateway', '--public-range', ranges.public],
    ...['--fabric-range', ranges.fabric, '--pod-range', ranges.pods],
  ];
}

function agentRecordPath(lab: string, node: string): string {
  return join(stateDir(lab), 'agents', `${node}.json`);
}

/** The last process that was started as a node's agent. It may have ended. */
export function readAgent(lab: string, node: string): ProcessId | null {
  try {
    return JSON.parse(readFileSync(agentRecordPath(lab, node), 'utf8')) as ProcessId;
  } catch {
    return null;
  }
}

/**
 * The running agent of a node. The supervisor may have been killed before it recorded the agent.
 */
function findAgent(lab: string, node: string): ProcessId | null {
  const known = readAgent(lab, node);
  if (known && isAlive(known)) return known;
  const words = ['', 'agent', '--lab', lab, '--node', node, ''].join('\0');
  const unknown = processesWithVariable(LAB_VARIABLE, lab).find(({ pid }) =>
    commandLine(pid).includes(words),
  );
  if (unknown) replaceFile(agentRecordPath(lab, node), `${JSON.stringify(unknown)}\n`);
  return unknown ?? null;
}

/** True while the agent of a node runs. */
export function isAgentRunning(lab: string, node: string): boolean {
  const agent = readAgent(lab, node);
  return agent !== null && isAlive(agent);
}
