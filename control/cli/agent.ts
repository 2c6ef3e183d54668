import { hostname } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { FLOWS_DEFAULT, FLOWS_LIMIT, FLOWS_MIN } from '../../datapath/arena/layout.ts';
import { KubetunError } from '../../datapath/error.ts';
import {
  defaultTimeoutS,
  isTimeoutName,
  TIMEOUT_NAMES,
  TIMEOUT_S_MAX,
  TIMEOUT_S_MIN,
  type TimeoutSeconds,
} from '../../datapath/flow/timeouts.ts';
import { type Agent, type AgentOptions, type Merge, parseBusyPoll } from '../agent-options.ts';
import type { GatewayOptions } from '../gateway/agent.ts';
import type { Log } from '../log.ts';
import type { Finding } from '../node/preflight.ts';
import { arenaOf, socketOf } from '../places.ts';
import { requireSocketPath } from '../serve/admin.ts';
import {
  busyPollOption,
  collectRanges,
  labOf,
  labOption,
  mergeOption,
  parseRangeOption,
  proxyOption,
} from './options.ts';
import { formatTable, type OutputFormat, outputOption, print } from './output.ts';

/** Options of the command line. Those that differ from an agent's have other names or types. */
interface Options
  extends Pick<AgentOptions, 'tun' | 'flows' | 'proxy'>,
    Partial<
      Pick<AgentOptions, 'node' | 'admin' | 'arena' | 'hostNetwork' | 'lease' | 'setSysctls'>
    >,
    Partial<Pick<GatewayOptions, 'publicRange' | 'fabricRange'>> {
  kubeconfig?: string;
  context?: string;
  server?: string;
  check?: boolean;
  prepare?: boolean;
  cleanup?: boolean;
  spoofed?: string;
  uplink?: string;
  serviceRange?: string;
  podRange?: string[];
  steer?: 'narrow' | 'whole';
  merge: Merge;
  busyPoll: string;
  role: 'node' | 'gateway';
  timeout?: TimeoutSeconds;
  output: OutputFormat;
}

/** `kubetun agent`: a node's datapath and control plane, in the foreground. */
export function register(program: Command): void {
  const agent = program
    .command('agent')
    .description('run the datapath of a node, inside its network namespace');
  addPlaceOptions(agent);
  addModeOptions(agent);
  addDatapathOptions(agent);
  agent
    .addOption(outputOption())
    .addOption(labOption())
    .addHelpText('after', TIMEOUT_HELP)
    .action(async (options: Options, command: Command) => {
      const agent = toAgentOptions(options, labOf(command));
      await run(options.role === 'gateway' ? toGatewayOptions(agent, options) : agent, options);
    });
}

/** The node, its role, and its API server. */
function addPlaceOptions(agent: Command): void {
  agent
    .option('--node <name>', 'the name of this Node (default: $NODE_NAME, or the host name)')
    .addOption(
      new Option(
        '--role <role>',
        'a node of the cluster, or the gateway between its nodes and the outside',
      )
        .choices(['node', 'gateway'])
        .default('node'),
    )
    .option(
      '--public-range <cidr>',
      'role gateway: addresses of nodes and load balancers outside',
      parseRangeOption,
    )
    .option('--fabric-range <cidr>', 'role gateway: where the nodes are', parseRangeOption)
    .option('--kubeconfig <file>', 'kubeconfig of the API server (default: the account of the pod)')
    .option('--context <name>', 'a context of the kubeconfig other than the current one')
    .option(
      '--server <url>',
      'another address of the API server, for example one that is not a Service',
    );
}

/** Modes that end at once, and what may be changed. */
function addModeOptions(agent: Command): void {
  agent
    .addOption(modeOption('--check', 'check whether the node is fit for an agent, and end'))
    .addOption(modeOption('--prepare', 'do what needs a writable /proc/sys, and end'))
    .addOption(modeOption('--cleanup', 'remove everything that an agent put on the node, and end'))
    .option('--set-sysctls', 'set sysctls of the node that are wrong for an agent');
}

/** Devices, paths, ranges and limits of the datapath. */
function addDatapathOptions(agent: Command): void {
  agent
    .option('--tun <name>', 'the TUN device', 'kt0')
    .option(
      '--spoofed <name>',
      'a TUN device for packets of pods with a wrong source address: counted and dropped',
    )
    .option('--uplink <name>', 'the device to the other nodes (default: that of the default route)')
    .option('--admin <socket>', 'path of the admin socket')
    .option('--arena <file>', "the datapath's memory, on tmpfs")
    .option(
      '--service-range <cidr>',
      'the range of ClusterIPs (default: read from the cluster)',
      parseRangeOption,
    )
    .option(
      '--pod-range <cidr>',
      'a range of pod addresses in addition to those of the Nodes; may be repeated',
      collectRanges,
    )
    .addOption(
      new Option(
        '--steer <what>',
        'packets for the datapath: those of Services and pods, or all (default: whole; with ' +
          '--host-network narrow)',
      ).choices(['narrow', 'whole']),
    )
    .option('--host-network', "steer the machine's own network namespace")
    .option(
      '--flows <n>',
      'size of the flow table: connections, over 128 bytes each',
      parseFlows,
      FLOWS_DEFAULT,
    )
    .option(
      '--timeout <name=seconds>',
      'how long a flow lives without a packet, by its state; may be repeated',
      collectTimeouts,
    )
    .addOption(mergeOption().default('on'))
    .addOption(busyPollOption().default('auto'))
    .addOption(proxyOption('kubetun'))
    .option('--lease', 'renew the Lease of the node, for nodes without a kubelet');
}

const TIMEOUT_HELP = `
Timeouts, with their defaults in seconds:
${TIMEOUT_NAMES.map((name) => `  ${name.padEnd(18)}${defaultTimeoutS(name)}`).join('\n')}

Example:
  kubetun agent --timeout tcp-established=7440 --timeout udp-stream=300`;

const MODES = ['check', 'prepare', 'cleanup'];

function modeOption(flag: string, description: string): Option {
  const others = MODES.filter((mode) => flag !== `--${mode}`);
  return new Option(flag, description).conflicts(others);
}

function toAgentOptions(given: Options, lab: string): AgentOptions {
  const { node = process.env.NODE_NAME || hostname().toLowerCase() } = given;
  const { kubeconfig = null, spoofed = null, uplink = null, serviceRange = null } = given;
  const { hostNetwork = false, setSysctls = false, lease = false, podRange = [] } = given;
  const { tun, flows, proxy, timeout = {}, steer = hostNetwork ? 'narrow' : 'whole' } = given;
  return {
    ...{ node, kubeconfig, access: { context: given.context, server: given.server }, tun, spoofed },
    ...{ uplink, serviceRange, podRanges: podRange, hostNetwork, narrow: steer === 'narrow' },
    ...{ setSysctls, lease, flows, timeouts: timeout, proxy },
    ...{ merge: given.merge === 'on', busyPoll: parseBusyPoll(given.busyPoll)! },
    admin: requireSocketPath(given.admin ?? socketOf(lab, node)),
    arena: given.arena ?? arenaOf(lab, node),
  };
}

function toGatewayOptions(
  agent: AgentOptions,
  { publicRange, fabricRange, kubeconfig }: Options,
): GatewayOptions {
  if (publicRange !== undefined && fabricRange !== undefined && kubeconfig !== undefined) {
    return { ...agent, publicRange, fabricRange };
  }
  throw new KubetunError(
    'KT_USAGE',
    'a gateway has no Node object, so its API server and ranges must be given by options',
    'give --kubeconfig, --public-range and --fabric-range',
    { usage: true },
  );
}

/** A power of two, because the table's index is masked. */
function parseFlows(text: string): number {
  const flows = Number(text);
  if (Number.isInteger(Math.log2(flows)) && flows >= FLOWS_MIN && flows <= FLOWS_LIMIT)
    return flows;
  throw new InvalidArgumentError(`It must be a power of two from ${FLOWS_MIN} to ${FLOWS_LIMIT}.`);
}

/** Adds a timeout. The last value of a name counts. */
function collectTimeouts(text: string, before: TimeoutSeconds = {}): TimeoutSeconds {
  const [name = '', value = '', ...rest] = text.split('=');
  const seconds = /^\d+$/.test(value) ? Number(value) : 0;
  const fits = seconds >= TIMEOUT_S_MIN && seconds <= TIMEOUT_S_MAX && rest.length === 0;
  if (fits && isTimeoutName(name)) return { ...before, [name]: seconds };
  throw new InvalidArgumentError(
    `It must be NAME=SECONDS, of ${TIMEOUT_S_MIN} to ${TIMEOUT_S_MAX} seconds, ` +
      `NAME one of ${TIMEOUT_NAMES.join(', ')}.`,
  );
}

/** Loads the modules of the agent only now, so that help stays quick. */
async function run(
  options: AgentOptions | GatewayOptions,
  { check, prepare, cleanup, output }: Options,
) {
  if (!check && !prepare && !cleanup) return serve(options);
  const { checkNode, prepareNode } = await import('../node/fit.ts');
  if (check) {
    const findings = checkNode(options);
    print(output, findings, () => formatFindings(findings));
    if (findings.some(({ verdict }) => verdict === 'refused')) process.exitCode = 1;
  } else if (prepare) {
    prepareNode(options);
    console.log(`${options.node} is ready for the agent`);
  } else {
    (await import('../agent/cleanup.ts')).cleanUpNode(options);
    console.log(`${options.node} is as it was before the agent`);
  }
}

function formatFindings(findings: Finding[]): string {
  return formatTable(
    ['CHECK', 'VERDICT', 'FOUND', 'NEXT'],
    findings.map(({ check, verdict, message, next }) => [check, verdict, message, next]),
  );
}

/** Runs until SIGTERM or SIGINT. */
async function serve(options: AgentOptions | GatewayOptions): Promise<void> {
  const { createLog } = await import('../log.ts');
  const log = createLog({ node: options.node, pid: process.pid });
  // An agent that failed in part must end. Its supervisor starts another; connections survive.
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ origin, error: String(error.stack ?? error) }, 'the agent ends');
    process.exit(1);
  });
  const ended = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.once(signal, () => resolve(signal));
  });
  const agent = await start(options, log);
  const signal = await ended;
  log.info({ signal }, 'stopping');
  await agent.stop();
}

/** The agent of its role and proxy. */
async function start(options: AgentOptions | GatewayOptions, log: Log): Promise<Agent> {
  if ('publicRange' in options) {
    return (await import('../gateway/agent.ts')).startGateway(options, log);
  }
  return options.proxy === 'nftables'
    ? (await import('../agent/twin.ts')).startTwin(options, log)
    : (await import('../agent/agent.ts')).startAgent(options, log);
}
