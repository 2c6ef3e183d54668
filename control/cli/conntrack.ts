import { type Command, InvalidArgumentError, Option } from 'commander';
import { KubetunError } from '../../datapath/error.ts';
import type { ArenaReader, FlowCount, FlowRow } from '../../datapath/observe/flows.ts';
import { PROTO_NAMES } from '../../datapath/wire/ipv4.ts';
import { datapathOf } from '../admin-client.ts';
import { type FlowFilterOptions, flowFilter, isService, isUnfiltered } from './filters.ts';
import { type NodeOptions, nodeCommand } from './options.ts';
import { formatTable, print } from './output.ts';

type ConntrackOptions = FlowFilterOptions & NodeOptions;

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
  const counts = 'count flows by state, and dropped packets by reason';
  addSubcommand(conntrack, 'count', counts, countFlows);
}

function addSubcommand(
  parent: Command,
  name: string,
  description: string,
  run: (reader: ArenaReader, options: ConntrackOptions) => void,
): void {
  nodeCommand<ConntrackOptions>(parent, name, description, async (lab, options) => {
    const { openArenaReader } = await import('../../datapath/observe/flows.ts');
    const reader = openArenaReader(await datapathOf(lab, options.node));
    try {
      requireKnown(reader, options);
      run(reader, options);
    } finally {
      reader.close();
    }
  })
    .addOption(new Option('--proto <name>', 'tcp, udp, icmp or sctp').argParser(parseProto))
    .option('--src <address>', 'source: ADDRESS, ADDRESS:PORT, :PORT or a range')
    .option('--dst <address>', 'destination, before or after translation')
    .option('--service <name>', 'NAME, NS/NAME or NS/NAME:PORT')
    .option('--state <name>', 'state, such as ESTABLISHED');
}

function listFlows(reader: ArenaReader, options: ConntrackOptions): void {
  const flows = [...reader.flows()].filter(flowFilter(options));
  print(options.output, flows, () => formatFlows(flows));
}

function countFlows(reader: ArenaReader, options: ConntrackOptions): void {
  const count = isUnfiltered(options) ? reader.count() : countMatching(reader, flowFilter(options));
  print(options.output, count, () => formatCount(count));
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

/** Accepts the name of a protocol in any case. */
function parseProto(text: string): string {
  const name = PROTO_NAMES.find((known) => known === text.toLowerCase());
  if (name !== undefined) return name;
  throw new InvalidArgumentError(`Allowed choices are ${PROTO_NAMES.join(', ')}.`);
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
  const ends = ['FROM', 'TO', 'ANSWERED BY', 'ANSWERS GO TO'];
  return formatTable(
    ['ID', 'PROTO', 'STATE', ...ends, 'LEFT', 'PACKETS', 'BYTES', 'SERVICE', 'FLAGS'],
    flows.map(({ id, proto, state, original, reply, timeoutS, packets, bytes, service, flags }) => [
      ...[String(id), proto, state],
      ...[`${original.src}:${original.sport}`, `${original.dst}:${original.dport}`],
      ...[`${reply.src}:${reply.sport}`, `${reply.dst}:${reply.dport}`],
      ...[`${timeoutS}s`, String(packets), String(bytes), service ?? '-', flags.join(',') || '-'],
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
