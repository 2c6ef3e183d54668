import { type Command, InvalidArgumentError } from 'commander';
import { FLOWS_DEFAULT, FLOWS_LIMIT, FLOWS_MIN } from '../../datapath/arena/layout.ts';
import type { AgentOptions } from '../agent/agent.ts';
import { arenaOf, collectRanges, labOf, labOption, parseRangeOption, socketOf } from './options.ts';

/** The fixed ranges of a lab; a cluster's own are given on the command line. */
const SERVICE_RANGE = '10.96.0.0/16';
const POD_RANGE = '10.244.0.0/16';
/** What a node's own sockets use: below the masquerade range. */
const EPHEMERAL_PORTS: [number, number] = [32_768, 39_999];

interface Options {
  node: string;
  kubeconfig?: string;
  cleanup?: boolean;
  tun: string;
  uplink: string;
  admin?: string;
  arena?: string;
  serviceRange: string;
  podRange?: string[];
  hostNetwork?: boolean;
  lease?: boolean;
  flows: number;
}

/** `kubetun agent`: a node's datapath and control plane, in the foreground. */
export function register(program: Command): void {
  program
    .command('agent')
    .description('run the datapath of a node, inside its network namespace')
    .requiredOption('--node <name>', 'name of the Node object that this machine is')
    .option('--kubeconfig <file>', 'how to reach the API server; without it the account of the pod')
    .option('--cleanup', 'take everything off the node that an agent put there, and end')
    .option('--tun <name>', 'the TUN device', 'kt0')
    .option('--uplink <name>', 'the device that leads to the other nodes', 'eth0')
    .option('--admin <socket>', 'path of the admin socket')
    .option('--arena <file>', "the datapath's memory, on tmpfs")
    .option('--service-range <cidr>', 'the range of ClusterIPs', parseRangeOption, SERVICE_RANGE)
    .option(
      '--pod-range <cidr>',
      `a range of pod addresses; may be repeated (default: ${POD_RANGE})`,
      collectRanges,
    )
    .option('--host-network', "steer the machine's own network namespace")
    .option(
      '--flows <n>',
      'connections to have room for, 128 bytes and more each',
      parseFlows,
      FLOWS_DEFAULT,
    )
    .option('--lease', 'renew the Lease of the node, where no kubelet does')
    .addOption(labOption())
    .action(async (options: Options, command: Command) => {
      await run(toAgentOptions(options, labOf(command)), options.cleanup === true);
    });
}

function toAgentOptions(options: Options, lab: string): AgentOptions {
  const { node } = options;
  return {
    node,
    kubeconfig: options.kubeconfig ?? null,
    tun: options.tun,
    uplink: options.uplink,
    admin: options.admin ?? socketOf(lab, node),
    arena: options.arena ?? arenaOf(lab, node),
    serviceRange: options.serviceRange,
    podRanges: options.podRange ?? [POD_RANGE],
    ephemeralPorts: EPHEMERAL_PORTS,
    hostNetwork: options.hostNetwork === true,
    lease: options.lease === true,
    flows: options.flows,
  };
}

/** A power of two, as the table's index is a mask. */
function parseFlows(text: string): number {
  const flows = Number(text);
  if (Number.isInteger(Math.log2(flows)) && flows >= FLOWS_MIN && flows <= FLOWS_LIMIT)
    return flows;
  throw new InvalidArgumentError(`It must be a power of two from ${FLOWS_MIN} to ${FLOWS_LIMIT}.`);
}

/** Runs until SIGTERM or SIGINT. The modules behind it are loaded only now, so that help stays quick. */
async function run(options: AgentOptions, cleanup: boolean): Promise<void> {
  const { cleanUpNode, startAgent } = await import('../agent/agent.ts');
  if (cleanup) {
    cleanUpNode(options);
    console.log(`${options.node} is as it was before the agent`);
    return;
  }
  const { pino } = await import('pino');
  // Written at once: the last lines before a crash are the ones that matter.
  const log = pino(
    { base: { node: options.node, pid: process.pid } },
    pino.destination({ fd: 1, sync: true }),
  );
  const ended = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.once(signal, () => resolve(signal));
  });
  const agent = await startAgent(options, log);
  const signal = await ended;
  log.info({ signal }, 'stopping');
  await agent.stop();
}
