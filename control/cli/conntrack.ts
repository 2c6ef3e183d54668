import { type Command, InvalidArgumentError, Option } from 'commander';
import { KubetunError } from '../../datapath/error.ts';
import type { ArenaReader, FlowCount, FlowRow } from '../../datapath/observe/flows.ts';
import { PROTO_NAMES } from '../../datapath/wire/ipv4.ts';
import { datapathOf } from '../admin-client.ts';
import { type FlowFilterOptions, flowFilter, isService, isUnfiltered } from './filters.ts';
import { labOf, labOption, nodeOption, requireNode } from './options.ts';
import { formatTable, type OutputFormat, outputOption, print } from './output.ts';

interface ConntrackOptions extends FlowFilterOptions {
  node: string;
  output: OutputFormat;
}

/** `kubetun conntrack`: a node's flows, read from its arena. */
export function register(program: Command): void {
  const conntrack = program
    .command('conntrack')
    .description('show the flows of a node')
    .addHelpText(
      'after',
      `
Examples:
  scripts/kubetun conntrack list --node node1 --service web
  scripts/kubetun conntrack list --node node1 --dst 10.244.2.2:8080 --state established
  scripts/kubetun conntrack count --node node1`,
    );
  addSubcommand(conntrack, 'list', 'list flows, one line each', listFlows);
  addSubcommand(
    conntrack,
    'count',
    'count flows by state, and dropped packets by reason',
    countFlows,
  );
}

function addSubcommand(
  parent: Command,
  name: string,
  description: string,
  run: (arena: string, options: ConntrackOptions) => Promise<void>,
): void {
  parent
    .command(name)
    .description(description)
    .addOption(nodeOption())
    .addOption(new Option('--proto <name>', 'tcp, udp, icmp or sctp').argParser(oneOf(PROTO_NAMES)))
    .option('--src <address>', 'source: ADDRESS, ADDRESS:PORT, :PORT or a range')
    .option('--dst <address>', 'destination, before or after translation')
    .option('--service <name>', 'NAME, NS/NAME or NS/NAME:PORT')
    .option('--state <name>', 'state, such as ESTABLISHED')
    .addOption(outputOption())
    .addOption(labOption())
    .action(async (options: ConntrackOptions, command: Command) => {
      const lab = labOf(command);
      requireNode(lab, options.node);
      await run(await datapathOf(lab, options.node), options);
    });
}

/** Calls `use` with a mapped arena, and unmaps it afterwards. */
async function withArena(path: string, use: (reader: ArenaReader) => void): Promise<void> {
  const { openArenaReader } = await import('../../datapath/observe/flows.ts');
  const reader = openArenaReader(path);
  try {
    use(reader);
  } finally {
    reader.close();
  }
}

function listFlows(arena: string, options: ConntrackOptions): Promise<void> {
  const matches = flowFilter(options);
  return withArena(arena, (reader) => {
    requireKnown(reader, options);
    const flows = [...reader.flows()].filter(matches);
    print(options.output, flows, () => formatFlows(flows));
  });
}

function countFlows(arena: string, options: ConntrackOptions): Promise<void> {
  const matches = flowFilter(options);
  return withArena(arena, (reader) => {
    requireKnown(reader, options);
    const count = isUnfiltered(options) ? reader.count() : countMatching(reader, matches);
    print(options.output, count, () => formatCount(count));
  });
}

/**
 * Throws KubetunError KT_FILTER for an unknown state, or a Service that neither the image nor a
 * flow names.
 */
export function requireKnown(
  reader: Pick<ArenaReader, 'states' | 'services' | 'flows'>,
  { node, service, state }: Pick<ConntrackOptions, 'node' | 'service' | 'state'>,
): void {
  if (state && !reader.states.includes(state.toUpperCase())) {
    const next = `give one of ${reader.states.join(', ')}`;
    throw new KubetunError('KT_FILTER', `--state ${state} is not a state`, next, { usage: true });
  }
  const isAsked = (name: string | null) => name !== null && isService(name, service!);
  if (!service || reader.services().some(isAsked)) return;
  for (const flow of reader.flows()) if (isAsked(flow.service)) return;
  throw new KubetunError(
    'KT_FILTER',
    `--service ${service} is not a Service of ${node}`,
    `scripts/kubetun services --node ${node} lists them`,
    { usage: true },
  );
}

/** Accepts one of these names in any case. */
function oneOf(names: readonly string[]): (text: string) => string {
  return (text) => {
    const found = names.find((name) => name.toLowerCase() === text.toLowerCase());
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`Allowed choices are ${names.join(', ')}.`);
  };
}

/** The reader's count, limited to matching flows. */
function countMatching(reader: ArenaReader, matches: (flow: FlowRow) => boolean): FlowCount {
  const byState: Record<string, number> = {};
  let flows = 0;
  for (const flow of reader.flows()) {
    if (!matches(flow)) continue;
    byState[flow.state] = (byState[flow.state] ?? 0) + 1;
    flows++;
  }
  return { ...reader.count(), flows, byState };
}

/** The table of flows. */
export function formatFlows(flows: FlowRow[]): string {
  return formatTable(
    [
      'ID',
      'PROTO',
      'STATE',
      'FROM',
      'TO',
      'ANSWERED BY',
      'ANSWERS GO TO',
      'LEFT',
      'PACKETS',
      'BYTES',
      'SERVICE',
      'FLAGS',
    ],
    flows.map((flow) => [
      String(flow.id),
      flow.proto,
      flow.state,
      `${flow.original.src}:${flow.original.sport}`,
      `${flow.original.dst}:${flow.original.dport}`,
      `${flow.reply.src}:${flow.reply.sport}`,
      `${flow.reply.dst}:${flow.reply.dport}`,
      `${flow.timeoutS}s`,
      String(flow.packets),
      String(flow.bytes),
      flow.service ?? '-',
      flow.flags.join(',') || '-',
    ]),
  );
}

function formatCount({ flows, capacity, byState, drops }: FlowCount): string {
  const lines = (counts: Record<string, number>) =>
    Object.entries(counts)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `  ${name} ${count}`);
  const dropped = Object.values(drops).reduce((sum, count) => sum + count, 0);
  return [
    `${flows} of ${capacity} flows`,
    ...lines(byState),
    `${dropped} packets dropped`,
    ...lines(drops),
  ].join('\n');
}
