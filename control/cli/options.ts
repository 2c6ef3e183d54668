// Options that several commands have.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { KubetunError } from '../../datapath/error.ts';
import { formatRange, parseRange } from '../../datapath/wire/address.ts';
import { BUSY_POLL_US_MAX } from '../../datapath/worker/busy-poll.ts';
import { MERGES, PROXIES, type ProxyKind, parseBusyPoll } from '../agent-options.ts';
import { nodesOf, requireLabName } from '../places.ts';
import { type OutputFormat, outputOption } from './output.ts';

/** Options of `nodeCommand`. */
export interface NodeOptions {
  node: string;
  output: OutputFormat;
}

/** Adds a command that shows something of one node. `run` gets a lab that has the node. */
export function nodeCommand<O extends NodeOptions>(
  parent: Command,
  name: string,
  description: string,
  run: (lab: string, options: O, args: string[]) => Promise<void>,
): Command {
  return parent
    .command(name)
    .description(description)
    .option('--node <name>', 'a node of the lab, or cloud; required')
    .addOption(outputOption())
    .addOption(labOption())
    .action(async function (this: Command) {
      const lab = labOf(this);
      const options = this.opts<O>();
      requireNode(lab, options.node ?? null);
      if (options.node === undefined) {
        const next = `give one of lab ${lab}: ${nodesOf(lab).join(', ')}`;
        throw new KubetunError('KT_USAGE', '--node is missing', next, { usage: true });
      }
      await run(lab, options, this.args);
    });
}

/** `--lab` after the command's name. The program takes the same option before it. */
export function labOption(): Option {
  return new Option('--lab <name>', 'the lab to work on');
}

/** `--proxy`, with its default. */
export function proxyOption(standard?: ProxyKind): Option {
  const option = new Option(
    '--proxy <what>',
    'what translates: the datapath, or the kernel by nftables rules',
  );
  return option.choices(PROXIES).default(standard);
}

/** `--merge`, without a default. */
export function mergeOption(): Option {
  const option = new Option(
    '--merge <switch>',
    'write packets of one flow that follow each other as one packet, which the kernel splits ' +
      'again where it must',
  );
  return option.choices(MERGES);
}

/** `--busy-poll`, without a default. */
export function busyPollOption(): Option {
  const option = new Option(
    '--busy-poll <us>',
    'how long to look for packets before a sleep: auto, off, or microseconds',
  );
  return option.argParser((text: string) => {
    if (parseBusyPoll(text) !== null) return text;
    const hint = `It must be auto, off, or 1 to ${BUSY_POLL_US_MAX} microseconds.`;
    throw new InvalidArgumentError(hint);
  });
}

/** The lab of a command. Throws KubetunError KT_LAB_NAME. */
export function labOf(command: Command): string {
  for (let at: Command | null = command; at; at = at.parent) {
    const { lab } = at.opts<{ lab?: string }>();
    if (lab !== undefined) return requireLabName(lab);
  }
  return requireLabName();
}

/** A parser of whole numbers. `hint` says which are allowed. */
export function wholeNumber(min: number, max: number, hint: string): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (Number.isInteger(number) && number >= min && number <= max) return number;
    throw new InvalidArgumentError(hint);
  };
}

/** Parses an IPv4 range such as 10.96.0.0/16. Host bits are cleared. */
export function parseRangeOption(text: string): string {
  const range = parseRange(text);
  if (!range) throw new InvalidArgumentError('It must be a range such as 10.96.0.0/16.');
  return formatRange(range);
}

/** The same for an option that may be repeated. */
export function collectRanges(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), parseRangeOption(text)];
}

/** Refuses a lab that is not up, and a node that it does not have. */
export function requireNode(lab: string, node: string | null): void {
  const nodes = nodesOf(lab);
  if (nodes.length === 0) {
    throw new KubetunError(
      'KT_LAB_DOWN',
      `lab ${lab} is not up`,
      'start it with scripts/kubetun lab up, or name another lab with --lab',
    );
  }
  if (node !== null && !nodes.includes(node)) {
    throw new KubetunError(
      'KT_NODE_UNKNOWN',
      `lab ${lab} has no node ${node}`,
      `its nodes are ${nodes.join(', ')}`,
    );
  }
}
