import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { KubetunError } from '../../datapath/error.ts';
import type { Tuple } from '../../datapath/observe/packet.ts';
import type { TraceRecord } from '../../datapath/observe/trace.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { protoName } from '../../datapath/wire/ipv4.ts';
import { askAgent, datapathOf } from '../admin-client.ts';
import { endText } from '../explain/question.ts';
import type { ClusterView } from '../explain/view.ts';
import { onInterrupt } from '../interrupt.ts';
import { arenaOf, CLOUD } from '../places.ts';
import { traceFilter } from './filters.ts';
import { type NodeOptions, nodeCommand, wholeNumber } from './options.ts';

interface Options extends NodeOptions {
  count: number;
}

const POLL_MS = 50;
/** Interval between requests. The datapath traces for 2 s after each. */
const LOOK_MS = 500;
/** A restarting agent answers sooner. The agent of an ended lab never answers. */
const SILENT_MS_MAX = 30_000;
/** Interval between look-ups of names. */
const NAMES_MS = 5000;
/** If names take longer, the first packets are shown without names. */
const NAMES_FIRST_MS = 10_000;
const TCP_FLAGS = 'FSRPAU';

/** `kubetun trace`: one line for each packet of a node's datapath. */
export function register(program: Command): void {
  const description = 'show the packets of a node: verdict, reason, translation, names';
  const count = wholeNumber(1, Number.MAX_SAFE_INTEGER, 'It must be 1 or more.');
  nodeCommand(program, 'trace', description, trace)
    .argument('[filter...]', 'words that must all match, see below')
    .option('--count <n>', 'end after this many lines', count, Number.POSITIVE_INFINITY)
    .addHelpText(
      'after',
      `
A filter is ADDRESS, ADDRESS:PORT, :PORT or a range, on either side, before or after translation;
tcp, udp, icmp or sctp; new, drop or reject; svc/NAME. A line is a packet as the datapath sees it.
Packets of an established connection may have up to 64 KiB.

Examples:
  scripts/kubetun trace --node node1 new
  scripts/kubetun trace --node node1 drop
  scripts/kubetun trace --node node1 svc/web 10.244.1.5 -o json`,
    );
}

async function trace(lab: string, options: Options, words: string[]): Promise<void> {
  // A trace leaves nothing to clean up.
  onInterrupt(() => {});
  const matches = traceFilter(words);
  const { attachArenaFile } = await import('../../datapath/arena/file.ts');
  const { TraceReader } = await import('../../datapath/observe/trace.ts');
  const file = attachArenaFile(await datapathOf(lab, options.node));
  const look = () => askAgent(lab, options.node, '/trace');
  // The agent requests the trace, this process only reads. An agent that is away is asked again.
  await look();
  process.stderr.write(
    `  tracing ${options.node}: ${words.join(' ') || 'every packet'} (Ctrl-C ends it)\n`,
  );
  let askedMs = performance.now();
  let answeredMs = askedMs;
  const answered = () => {
    answeredMs = performance.now();
  };
  const reader = new TraceReader(file.arena, () => {
    if (performance.now() - askedMs < LOOK_MS) return;
    askedMs = performance.now();
    look().then(answered, () => {});
  });
  const { viewOfLab } = await import('../explain/source.ts');
  const hasGateway = existsSync(arenaOf(lab, CLOUD));
  const names = new Names(() => viewOfLab(lab, hasGateway));
  const patience = new Promise((resolve) => setTimeout(resolve, NAMES_FIRST_MS).unref());
  await Promise.race([names.refresh(), patience]);
  let left = options.count;
  let lost = 0;
  while (left > 0) {
    void names.refresh();
    for (const record of reader.take()) {
      if (left === 0) break;
      if (!matches(record)) continue;
      left--;
      const text = options.output === 'json' ? jsonLine(record, names) : traceLine(record, names);
      process.stdout.write(`${text}\n`);
    }
    if (reader.lost > lost) {
      process.stderr.write(
        `  ${reader.lost - lost} packets are missing: they passed faster than they could be read\n`,
      );
      lost = reader.lost;
    }
    if (performance.now() - answeredMs > SILENT_MS_MAX) {
      throw new KubetunError(
        'KT_AGENT_SILENT',
        `the agent of ${options.node} has not answered for ${SILENT_MS_MAX / 1000} s`,
        'scripts/kubetun lab status shows whether the lab is up',
      );
    }
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  file.close();
}

/** Names of addresses from the API server; none while it does not answer. */
class Names {
  readonly #look: () => Promise<ClusterView>;
  #view: ClusterView | null = null;
  #next = 0;
  #looking: Promise<void> | null = null;

  constructor(look: () => Promise<ClusterView>) {
    this.#look = look;
  }

  /** Looks names up if it is time. Packets do not wait for a slow API server. */
  refresh(): Promise<void> {
    if (this.#looking === null && Date.now() >= this.#next) this.#looking = this.#renew();
    return this.#looking ?? Promise.resolve();
  }

  async #renew(): Promise<void> {
    this.#view = await this.#look().catch(() => this.#view);
    this.#next = Date.now() + NAMES_MS;
    this.#looking = null;
  }

  of(address: number): string | null {
    return this.#view?.nameOf(address) ?? null;
  }
}

/** One packet, one line. */
export function traceLine(record: TraceRecord, names: { of(address: number): string | null }) {
  const { tuple, left, verdict, reason, service, masquerade, tcpFlags, bytes } = record;
  const proto = protoName(tuple.proto);
  const flags = proto === 'tcp' ? ` ${flagText(tcpFlags)}` : '';
  const words = [
    `${proto}${flags}`,
    `${wayText(tuple, names)},`,
    `${bytes} bytes:`,
    verdict,
    `(${reason}${service ? `, ${service}` : ''}${masquerade ? `, masquerade ${masquerade}` : ''})`,
  ];
  if (left && isChanged(tuple, left)) words.push(`as ${wayText(left, names)}`);
  words.push(...record.policies.map(policyText));
  return words.join(' ');
}

/** The rule that allowed the packet, or the policy that selects the pod without a matching rule. */
function policyText({ direction, policy, verdict, rule }: TraceRecord['policies'][number]): string {
  if (verdict === 'allow') return `[${direction} rule ${rule} of ${policy} allows]`;
  if (verdict === 'audit') return `[${policy} would drop it (${direction}), but is under audit]`;
  return `[${direction}: selected by ${policy}, no rule matches]`;
}

function jsonLine(record: TraceRecord, names: Names): string {
  const { tuple, left, now: _now, tcpFlags, ...rest } = record;
  return JSON.stringify({
    proto: protoName(tuple.proto),
    ...rest,
    tcpFlags: flagText(tcpFlags),
    original: tupleJson(tuple, names),
    translated: left && tupleJson(left, names),
  });
}

function tupleJson({ src, sport, dst, dport }: Tuple, names: Names) {
  return {
    ...{ src: formatAddress(src), sport, dst: formatAddress(dst), dport },
    ...{ srcName: names.of(src), dstName: names.of(dst) },
  };
}

function wayText(t: Tuple, names: { of(address: number): string | null }): string {
  const end = (address: number, port: number) => {
    const name = names.of(address);
    return `${endText(address, port, t.proto)}${name ? ` (${name})` : ''}`;
  };
  return `${end(t.src, t.sport)} > ${end(t.dst, t.dport)}`;
}

function flagText(flags: number): string {
  return [...TCP_FLAGS].filter((_, bit) => (flags & (1 << bit)) !== 0).join('') || '-';
}

function isChanged(a: Tuple, b: Tuple): boolean {
  return a.src !== b.src || a.sport !== b.sport || a.dst !== b.dst || a.dport !== b.dport;
}
