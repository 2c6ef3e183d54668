import { type Command, InvalidArgumentError } from 'commander';
import { KubetunError } from '../../datapath/error.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import { noDatapath, twinsOf } from '../admin-client.ts';
import type { GivenNames } from '../explain/explain.ts';
import type { Explanation } from '../explain/explanation.ts';
import { givenKey } from '../explain/question.ts';
import type { ExplainSource } from '../explain/source.ts';
import { arenaOf } from '../places.ts';
import { labOf, labOption, parseRangeOption, requireNode, wholeNumber } from './options.ts';
import { formatTable, type OutputFormat, outputOption, print } from './output.ts';

interface Options {
  from?: string;
  to?: string;
  sport?: number;
  node?: string;
  flow?: number;
  objects?: string[];
  serviceRange: string;
  publicRange: string;
  batch?: boolean;
  resolve?: Map<string, string>;
  output: OutputFormat;
}

/** `kubetun explain`: what the datapaths would do with a packet, and why. */
export function register(program: Command): void {
  const port = wholeNumber(1, 65_535, 'It must be a port, 1 to 65535.');
  program
    .command('explain')
    .description('explain what happens to a packet, and which rule decides it; sends nothing')
    .option('--from <who>', '[NS/]POD, node/NAME, internet, or an address')
    .option(
      '--to <where>',
      'ADDRESS:PORT[/tcp|udp|sctp], ADDRESS/icmp, svc/[NS/]NAME[:PORT], a DNS name for ADDRESS, ' +
        'or the URL of an Ingress',
    )
    .option('--sport <port>', 'source port (default: a free one)', port)
    .option('--node <name>', 'the only node to look at; the packet arrives there')
    .option(
      '--flow <id>',
      'explain the reply of an existing flow, by its ID in conntrack list',
      wholeNumber(0, Number.MAX_SAFE_INTEGER, 'It must be an ID of conntrack list.'),
    )
    .option('--objects <path>', 'YAML files or folders instead of a lab; may be repeated', collect)
    .option('--service-range <range>', 'with --objects', parseRangeOption, '10.96.0.0/16')
    .option('--public-range <range>', 'with --objects', parseRangeOption, '198.51.100.0/24')
    .option(
      '--batch',
      'read {"from", "to", "sport", "node"} as JSON lines, answer each in a JSON line',
    )
    .option(
      '--resolve <name:address>',
      'the address of a name outside of the cluster; may be repeated',
      collectNames,
    )
    .addOption(outputOption())
    .addOption(labOption())
    .addHelpText(
      'after',
      `
A DNS name needs a port and a pod as --from: it is resolved by that pod's /etc/hosts, dnsPolicy and
search list. The port of a name or address is a number; svc/NAME:PORT takes its name as well.
A URL is followed to HAProxy, whose rule is explained, and from there to an endpoint. Its client is
outside, or the host of the URL is one of an Ingress.
The verdict is forward, reject, drop, local (the packet never leaves its sender) or unresolved (the
name has no address).

Examples:
  scripts/kubetun explain --from client --to svc/web
  scripts/kubetun explain --from client --to web.default:80
  scripts/kubetun explain --from 203.0.113.10 --to 198.51.100.11:30080 -o json
  scripts/kubetun explain --from internet --to http://shop.example/cart
  scripts/kubetun explain --node node1 --flow 17
  kubectl get nodes,pods,services,endpointslices,namespaces,networkpolicies,ingresses,\
ingressclasses,secrets -A -o yaml > all.yaml
  scripts/kubetun explain --objects all.yaml --from default/client --to 10.96.0.20:80`,
    )
    .action(explain);
}

async function explain(options: Options, command: Command): Promise<void> {
  const source = await sourceOf(options, command);
  if (options.batch) return answerInput(source, options.resolve);
  const { from, to, sport, node, flow, resolve, output } = options;
  const { explainFlow, explainQuestion } = await import('../explain/explain.ts');
  let explanation: Explanation;
  if (flow !== undefined) {
    if (node === undefined) throw usage('--flow needs --node', 'flow IDs are those of one node');
    explanation = explainFlow(source, node, flow);
  } else {
    if (from === undefined || to === undefined) {
      throw usage('--from and --to are both required', 'for example --from client --to svc/web');
    }
    explanation = explainQuestion(source, { from, to, sport, node }, resolve);
  }
  // The explanation would be empty: the first node has no datapath.
  if (explanation.reason === 'no-datapath' && !options.objects) {
    throw noDatapath(labOf(command), explanation.steps[0]!.node);
  }
  print(output, explanation, () => formatExplanation(explanation));
}

async function sourceOf(options: Options, command: Command): Promise<ExplainSource> {
  const { fromFiles, fromLab } = await import('../explain/source.ts');
  const { objects, serviceRange, publicRange } = options;
  if (objects) return fromFiles(objects, { services: serviceRange, public: publicRange });
  const lab = labOf(command);
  requireNode(lab, options.node ?? null);
  const twins = await twinsOf(lab);
  return fromLab(lab, (node) => (twins.has(node) ? null : arenaOf(lab, node)));
}

/** Writes answers one by one, no faster than they are read. */
async function answerInput(source: ExplainSource, given?: GivenNames): Promise<void> {
  const { answerLines } = await import('../explain/explain.ts');
  const { stdin, stdout } = process;
  let goOn = () => {};
  stdout.on('drain', () => goOn());
  for await (const answer of answerLines(source, stdin.setEncoding('utf8'), given)) {
    if (stdout.write(`${answer}\n`)) continue;
    await new Promise<void>((resolve) => (goOn = resolve));
  }
}

function formatExplanation({ steps, verdict, reason }: Explanation): string {
  let before = '';
  const rows = steps.map(({ node, stage, text }) => {
    const shown = node === before ? '' : node;
    before = node;
    return [shown, stage, text];
  });
  return `${formatTable(['NODE', 'STAGE', ''], rows)}\n${verdict} (${reason})`;
}

function collect(path: string, before: string[] | undefined): string[] {
  return [...(before ?? []), path];
}

function collectNames(text: string, before: Map<string, string> | undefined): Map<string, string> {
  const [, name = '', address = ''] = /^([^:]+):([\d.]+)$/.exec(text) ?? [];
  if (parseAddress(address) === null) {
    throw new InvalidArgumentError(
      'It must be NAME:ADDRESS, such as www.example.test:203.0.113.10.',
    );
  }
  return new Map([...(before ?? []), [givenKey(name), address]]);
}

function usage(message: string, next: string): KubetunError {
  return new KubetunError('KT_USAGE', message, next, { usage: true });
}
