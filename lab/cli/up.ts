import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Merge, ProxyKind } from '../../control/agent-options.ts';
import {
  busyPollOption,
  labOf,
  labOption,
  mergeOption,
  proxyOption,
  wholeNumber,
} from '../../control/cli/options.ts';
import { labFlag, requireLabName } from '../../control/places.ts';
import { KubetunError } from '../../datapath/error.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import { readManifests } from '../life/manifest.ts';
import { bringUp } from '../life/up.ts';
import { kubeconfigPath } from '../places/paths.ts';
import { planLab } from '../plan/plan.ts';
import { formatPlan } from '../plan/step.ts';
import { loadTopology } from '../topology/load.ts';
import {
  ATTACHMENTS,
  type Attach,
  defaultTopology,
  NODES_MAX,
  nodeDefaults,
  type Topology,
} from '../topology/topology.ts';

interface Options {
  file?: string[];
  kustomize?: string[];
  topology?: string;
  nodes?: number;
  proxy?: ProxyKind;
  attach?: Attach;
  merge?: Merge;
  busyPoll?: string;
  plan?: boolean;
  ephemeral?: boolean;
  dnsUpstream?: string;
  ingress?: boolean;
}

export function register(lab: Command): void {
  lab
    .command('up')
    .description('start a lab: namespaces, API server, one datapath per node, pods')
    .option('-f, --file <manifest>', 'YAML to apply once the lab is up; may be repeated', collect)
    .option('-k, --kustomize <folder>', 'the same with a kustomization; needs kubectl', collect)
    .option('--topology <file>', 'YAML with nodes, zones, mtu, timeouts and ranges')
    .option(
      '--nodes <n>',
      'number of nodes (default: 2)',
      wholeNumber(1, NODES_MAX, `It must be 1 to ${NODES_MAX}.`),
    )
    .addOption(proxyOption())
    .addOption(
      new Option(
        '--attach <how>',
        'how pods reach their node: by a TUN device that its agent serves, or by a cable to its ' +
          'kernel (default: $KUBETUN_ATTACH, or tun; with --proxy nftables veth)',
      ).choices(ATTACHMENTS),
    )
    .addOption(mergeOption())
    .addOption(busyPollOption())
    .option(
      '--dns-upstream <address>',
      "where the DNS server asks other names than the cluster's (default: the internet of the lab)",
      parseAddressOption,
    )
    .option(
      '--ingress',
      'start the Ingress controller with the lab (default: with the first Ingress)',
    )
    .option('--ephemeral', 'keep no data of the API server on disk')
    .option('--plan', 'print the commands that would run, and run none')
    .addOption(labOption())
    .addHelpText(
      'after',
      `
A topology file. Every line is optional:
  nodes:                    # or a count
    - {name: node1, zone: zone-a}
    - {name: node2, zone: zone-b, mtu: 1400, labels: {disk: ssd}}
    - {name: node3, proxy: nftables}
  mtu: 1500
  proxy: kubetun            # default of all nodes; nftables: the kernel translates
  attach: tun               # default of all nodes; veth: pods have cables to their node's kernel
  merge: on                 # as kubetun agent --merge, for every agent
  busyPoll: auto            # as kubetun agent --busy-poll: auto, off, or microseconds
  flows: 1048576            # size of a node's connection table, 222 MiB
  timeouts: {udp: 30}       # idle seconds of connections; see kubetun agent --help
  ranges: {pods: 10.244.0.0/16, services: 10.96.0.0/16}
  dns: {upstream: 203.0.113.10, pods: insecure}   # or false: the lab has no DNS server of its own
  ingress: true             # HAProxy starts with the lab, not with the first Ingress; false: never

Built-in images: agnhost, pause, iperf3, web servers (nginx, httpd), echo servers (echoserver,
http-echo, whoami, hello-app), and images of tools (busybox, alpine, curl), whose programs are those
of this machine. A pod with a command may name any image: the command runs from this machine's own
files.`,
    )
    .action(async (options: Options, command: Command) => {
      const { name, topology } = topologyOf(options);
      const given = command.parent?.parent?.getOptionValueSource('lab');
      const own = command.getOptionValueSource('lab');
      const named = given === 'cli' || own === 'cli' || process.env.KUBETUN_LAB !== undefined;
      const lab = named || name === null ? labOf(command) : requireLabName(name);
      if (options.plan) {
        console.log(formatPlan(planLab(lab, topology ?? defaultTopology())));
        return;
      }
      const manifests = readManifests(options.file ?? [], options.kustomize);
      const progress = await bringUp({
        lab,
        topology,
        manifests,
        ephemeral: options.ephemeral === true,
      });
      console.log(`lab ${lab} is up after ${progress.total()}`);
      console.log(nextSteps(lab));
    });
}

function nextSteps(lab: string): string {
  const own = labFlag(lab);
  return [
    `  export KUBECONFIG=${kubeconfigPath(lab)}    # for kubectl`,
    `  scripts/kubetun lab status${own}`,
    `  scripts/kubetun lab down${own}`,
  ].join('\n');
}

/** The topology of the command line. Null if it gives none: a lab that is resumed has its own. */
function topologyOf(options: Options): { name: string | null; topology: Topology | null } {
  const { nodes, proxy, attach, merge, busyPoll, dnsUpstream, ingress } = options;
  if (options.topology === undefined) {
    const all = [nodes, proxy, attach, merge, busyPoll, dnsUpstream, ingress];
    if (all.every((option) => option === undefined)) return { name: null, topology: null };
    const pods = {
      ...(dnsUpstream !== undefined && { dns: { upstream: dnsUpstream } }),
      ...(ingress && { ingress }),
    };
    requireServed(proxy, attach);
    const of = { ...nodeDefaults(), ...(proxy && { proxy }), ...(attach && { attach }) };
    const waits = { ...(merge && { merge }), ...(busyPoll && { busyPoll }) };
    return { name: null, topology: { ...defaultTopology(nodes, of), ...pods, ...waits } };
  }
  if (dnsUpstream !== undefined) {
    throw new KubetunError(
      'KT_USAGE',
      '--dns-upstream cannot be combined with --topology',
      `write dns: {upstream: ${dnsUpstream}} in ${options.topology}`,
      { usage: true },
    );
  }
  for (const key of ['proxy', 'attach', 'merge', 'busyPoll', 'ingress'] as const) {
    if (options[key] === undefined) continue;
    throw new KubetunError(
      'KT_USAGE',
      `--${key === 'busyPoll' ? 'busy-poll' : key} cannot be combined with --topology`,
      `write ${key}: ${options[key]} in ${options.topology}`,
      { usage: true },
    );
  }
  if (options.nodes !== undefined) {
    throw new KubetunError(
      'KT_USAGE',
      '--nodes cannot be combined with --topology',
      'leave out --nodes or --topology',
      { usage: true },
    );
  }
  return loadTopology(options.topology);
}

function requireServed(proxy?: ProxyKind, attach?: Attach): void {
  if (proxy !== 'nftables' || attach !== 'tun') return;
  throw new KubetunError(
    'KT_USAGE',
    '--attach tun needs --proxy kubetun: with nftables no datapath serves the devices of pods',
    'leave out --attach tun or --proxy nftables',
    { usage: true },
  );
}

function parseAddressOption(text: string): string {
  if (parseAddress(text) !== null) return text;
  throw new InvalidArgumentError('It must be an IPv4 address such as 203.0.113.10.');
}

function collect(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text];
}
