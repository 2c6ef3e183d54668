import type { Command } from 'commander';
import type { ArenaReader, FlowCount, FlowRow } from '../../datapath/observe/flows.ts';
import { datapathOf } from './admin-client.ts';
import { type FlowFilterOptions, flowFilter, isUnfiltered } from './flow-filter.ts';
import {
  labOf,
  labOption,
  nodeOption,
  type OutputFormat,
  outputOption,
  requireNode,
} from './options.ts';
import { formatTable, print } from './table.ts';

interface ConntrackOptions extends FlowFilterOptions {
  node: string;
  output: OutputFormat;
}

/** `kubetun conntrack`: a node's flows, read from its memory without disturbing it. */
export function register(program: Command): void {
  const conntrack = program
    .command('conntrack')
    .description('look at the connections that a node tracks');
  addSubcommand(conntrack, 'list', 'one line for each connection', listFlows);
  addSubcommand(conntrack, 'count', 'how many there are, by state', countFlows);
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
    .option('--proto <name>', 'tcp, udp, icmp or sctp')
    .option('--src <address>', 'who began it: ADDRESS, ADDRESS:PORT, :PORT or a range')
    .option('--dst <address>', 'where it was sent, or where it went')
    .option('--service <name>', 'NAME, NS/NAME or NS/NAME:PORT')
    .option('--state <name>', 'such as ESTABLISHED')
    .addOption(outputOption())
    .addOption(labOption())
    .action(async (options: ConntrackOptions, command: Command) => {
      const lab = labOf(command);
      requireNode(lab, options.node);
      await run(await datapathOf(lab, options.node), options);
    });
}

/** Calls back with an arena to read; it is unmapped afterwards. */
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
    const flows = [...reader.flows()].filter(matches);
    print(options.output, flows, () => formatFlows(flows));
  });
}

function countFlows(arena: string, options: ConntrackOptions): Promise<void> {
  const matches = flowFilter(options);
  return withArena(arena, (reader) => {
    const count = isUnfiltered(options) ? reader.count() : countMatching(reader, matches);
    print(options.output, count, () => formatCount(count));
  });
}

/** The same as the reader's own count, of some flows only. */
function countMatching(reader: ArenaReader, matches: (flow: FlowRow) => boolean): FlowCount {
  const byState: Record<string, number> = {};
  let flows = 0;
  for (const flow of reader.flows()) {
    if (!matches(flow)) continue;
    byState[flow.state] = (byState[flow.state] ?? 0) + 1;
    flows++;
  }
  return { flows, capacity: reader.count().capacity, byState };
}

/** The table that people read: who, to where, and who answers. */
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

function formatCount(count: FlowCount): string {
  const states = Object.entries(count.byState).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `${count.flows} of ${count.capacity} flows`,
    ...states.map(([state, flows]) => `  ${state} ${flows}`),
  ].join('\n');
}
