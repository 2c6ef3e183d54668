// Differences that are decided, by the names under which docs/differences.md gives their reasons,
// and classes of all others.
import type { Difference } from './batch.ts';
import { NODES, PLACES, type Place } from './routes.ts';
import {
  answersPeer,
  areFlagsValid,
  type History,
  hasInvalid,
  hasSeveral,
  isClear,
  isExactReset,
  isInvalid,
  leaps,
} from './tcp-state.ts';
import { type Damage, type Piece, RST, type Step, SYN } from './walk.ts';

/** Rewrites or removes (null) a line of both sides. */
type Filter = (line: string, difference: Difference) => string | null;

const NODE_ADDRESSES = NODES.map((node) => PLACES[node] as string);

/** What is left out of the comparison, line by line. */
const FILTERS: Record<string, Filter> = {
  'refusal-header': (line) =>
    line.includes(' made ')
      ? line
          .replace(/ttl=\d+ tos=\d+ len=\d+ off=\d+/, 'ttl=*')
          .replace(/: \S+>(.* icmp 3\/3 .*) ttl=\d+/, ': *>$1')
          .replace(' bad-header-sum', '')
      : line,
  'ttl-255': (line, { sequence, kind }) => {
    const { route, steps } = sequence;
    if (kind !== 'packets' || !isNode(route.client)) return line;
    // Also where an ICMP error quotes it.
    return steps.some(({ ttl }) => ttl === 255) ? line.replaceAll(/ttl=25\d/g, 'ttl=*') : line;
  },
  'option-hop': (line, { sequence }) => {
    const records = sequence.steps.some(({ options }) => options && RECORDS.has(options[0]!));
    const quoted = records ? line.replace(' bad-header-sum]', ']') : line;
    return quoted.replace(/ options=(07|44)\w*(?: bad-header-sum)?/, ' options=$1*');
  },
  'host-flow': (line, { kind }) => (kind === 'flows' && isHostFlow(line) ? null : line),
  'echo-id': (line, { kind }) =>
    kind === 'flows'
      ? line.replaceAll(/(icmp \S+|(?<= icmp .*reply )\S+)/g, (text) =>
          text.replaceAll(/:\w+/g, ''),
        )
      : line.replaceAll(/( icmp (?:8|0|1[3-8])\/\d+ id=)\S+/g, '$1*'),
  'syn-sent2-time': (line) => line.replace(/ renewed=\S+ SYN_SENT2$/, ' renewed=* SYN_SENT2'),
  'error-source': (line, { sequence, step }) =>
    sequence.steps[step]?.from === 'router' ? line.replace(/: \S+>/, ': *>') : line,
};

/** Options in which each hop writes: record route and timestamp. */
const RECORDS = new Set([7, 68]);

const isNode = (place: string) => place.startsWith('node');

const LENGTHS = new Set<Damage>([
  ...(['cut-header', 'long-total', 'short-total', 'l4-length-long', 'l4-length-short'] as const),
  ...(['data-offset-short', 'data-offset-long', 'version', 'ip-sum'] as const),
]);

/** An error that goes to the node that has sent what it quotes. */
const TO_SENDER = />(172\.18\.0\.1[12]) .* quote\[\1>/;

/** A decision about a whole difference. */
type Decision = (difference: Difference, sent: Step[]) => boolean;

const DECISIONS: Record<string, Decision> = {
  // Whole datagrams alone are compared: the kernel waits for them, the datapath does not.
  'incomplete-datagram': isIncomplete,
  malformed: ({ sequence }, sent) => {
    const last = sent.at(-1)!;
    if (last.kind === 'tcp' && !areFlagsValid(last.flags)) return true;
    if (last.damage === undefined) return false;
    // A raw socket of a node makes one length of both; errors with a wrong sum are never passed on.
    if (last.damage === 'trailer') return last.from === 'client' && isNode(sequence.route.client);
    if (last.kind === 'icmp') return true;
    return LENGTHS.has(last.damage);
  },
  redirect: (_, sent) => {
    const last = sent.at(-1)!;
    return last.kind === 'icmp' && (last.type === 4 || last.type === 5);
  },
  'unrelated-error': isUnrelated,
  'icmp-query': (_, sent) => {
    const last = sent.at(-1)!;
    return last.kind === 'echo' && last.type !== 8;
  },
  'implausible-rst': isImplausible,
  'invalid-state': isInvalidState,
  'midstream-egress': isMidstream,
  // The first piece is refused, and each copy of it; the sum of the whole is not known by then.
  'refused-pieces': ({ kubetun, kernel }, sent) =>
    !!sent.at(-1)!.pieces && [...kubetun, ...kernel].every((line) => / made icmp 3\/3 /.test(line)),
  'invalid-refused': isInvalidRefused,
};

/** Pieces that leave one behind, or that may meet one of an earlier datagram. */
function isIncomplete({ kind, decided }: Difference, sent: Step[]): boolean {
  const last = sent.at(-1)!;
  const { idOf } = last;
  const isReused = sent.some(
    ({ pieces, idOf: other }, i) =>
      i < sent.length - 1 && pieces && idOf !== undefined && (i === idOf || other === idOf),
  );
  const left = isReused || sent.some(({ pieces }) => pieces && !isWhole(pieces));
  if (kind === 'flows') return left;
  return left && last.kind === 'udp' && (!!last.pieces || decided !== null);
}

/**
 * An ICMP error about what the kernel does not track: never sent, of a flow that is gone, cut
 * short.
 */
function isUnrelated(difference: Difference, sent: Step[]): boolean {
  const { sequence, kernel, kubetun, flows } = difference;
  const last = sent.at(-1)!;
  if (last.kind !== 'icmp' || kernel.length > 0 || kubetun.length !== 1) return false;
  const [line] = kubetun as [string];
  const { client, server } = sequence.route;
  const place = last.from === 'client' ? client : last.from === 'server' ? server : 'internet';
  // The kernel's answer to such a segment, an RST, may have ended the flow at the kernel's edge.
  if (place === 'internet' && hasInvalid(historyOf(difference))) return true;
  // The edge lets by what quotes a node's packet, which the kernel's edge knows by its own table.
  if (place === 'internet' && !TO_SENDER.test(line)) return /quote\[\S+ proto=\d+\]/.test(line);
  const [, src, dst, sport, dport] = QUOTED.exec(line) ?? [];
  const known = flows.at(-1)!.filter((flow) => flow.startsWith(nodeOf(place)));
  return !src || !known.some((flow) => flow.includes(`${dst}:${dport}>${src}:${sport}`));
}

/** The node that a packet of a place meets first; empty for the edge, where any may be meant. */
function nodeOf(place: Place): string {
  if (place === 'internet') return '';
  return place === 'c' || place === 'node2' ? 'node2 ' : 'node1 ';
}

/** Addresses and ports of a quote of TCP or UDP. */
const QUOTED = /quote\[([\d.]+)>([\d.]+) proto=(?:6|17) .*?(\w+)>(\w+)(?: bad-header-sum)?\]/;

/** The kernel closes by an RST that the datapath does not believe, or the other way around. */
function isImplausible(difference: Difference, sent: Step[]): boolean {
  const { kind, kernel, kubetun } = difference;
  const last = sent.at(-1)!;
  if (kind !== 'flows' || last.kind !== 'tcp' || (last.flags & RST) === 0) return false;
  const isKept = (lines: string[]) => areKept(difference, lines);
  const history = historyOf(difference);
  const isExact = isExactReset(history);
  // Of segments that are malformed or invalid the two sides may have counted different ones.
  const isUncertain = hasSeveral(history) || !isClear(history);
  if (isKept(kubetun) && isPart(open(kernel), open(kubetun))) return isUncertain || !isExact;
  if (!isKept(kernel) || !isPart(open(kubetun), open(kernel))) return false;
  // With the next byte of its sender, or as an answer to the peer's last segment, it closes here.
  return isUncertain || isExact || answersPeer(history);
}

/** The kernel's refusal of what it calls invalid is an RST for the flows on its way. */
function isInvalidRefused(difference: Difference): boolean {
  const { kind, decided, kubetun, kernel } = difference;
  if (kind !== 'flows') return false;
  if (decided === 'invalid-state') return true;
  // The datapath refuses it too, where no flow leads it on, and does not believe the RST.
  const isClosed = areKept(difference, kubetun) && isPart(open(kernel), open(kubetun));
  const history = historyOf(difference);
  return isClosed && (isInvalid(history) || leaps(history));
}

/** Flows that the last step has left as they were, but for the time that an RST may leave them. */
function areKept({ flows }: Difference, lines: string[]): boolean {
  const known = flows
    .at(-1)!
    .filter((line) => !isHostFlow(line))
    .sort();
  return withoutTime(lines).join() === withoutTime(known).join();
}

/** Flows that are not closed, whatever step has renewed them. */
function open(flows: string[]): string[] {
  return withoutTime(flows.filter((line) => !line.endsWith(' CLOSE')));
}

function withoutTime(lines: string[]): string[] {
  return lines.map((line) => line.replace(/ renewed=\S+/, ''));
}

/** One side has fewer lines, and no others. */
function isPart(a: string[], b: string[]): boolean {
  const [fewer, more] = a.length < b.length ? [a, b] : [b, a];
  return fewer.every((line) => more.includes(line));
}

/** Every byte once, copies of pieces left out. */
function isWhole(pieces: Piece[]): boolean {
  const unique = new Map(pieces.map((piece) => [piece.join(), piece]));
  const sorted = [...unique.values()].sort(([a], [b]) => a - b);
  if (!sorted.at(-1)![2]) return false;
  return sorted.every(([at], i) => {
    const before = sorted[i - 1];
    return before ? at === before[0] + before[1] : at === 0;
  });
}

/**
 * The kernel does not translate what its conntrack calls invalid: such a packet goes where it is
 * addressed, or is refused. The datapath translates it, and its flow stays as it is.
 */
function isInvalidState(difference: Difference): boolean {
  const { sequence, kind, step, kubetun, kernel } = difference;
  if (kind !== 'packets' || !isInvalid(historyOf(difference))) return false;
  const own = ` id=${step + 1} `;
  const [line] = kubetun;
  const { client, server } = sequence.route;
  const isAstray = (text: string) =>
    text.includes(own) && ![client, server].includes(text.split(':')[0] as Place);
  if (kubetun.length === 0 && kernel.length === 1) return isAstray(kernel[0]!);
  if (kubetun.length !== 1 || !line!.includes(own) || kernel.length > 1) return false;
  return kernel.every((other) => / made tcp .* flags=(4|20) /.test(other) || other.includes(own));
}

/** The twin drops what would need a masquerade and is no SYN, until its flow is answered. */
function isMidstream({ kind, kubetun, kernel, flows }: Difference, sent: Step[]): boolean {
  const last = sent.at(-1)!;
  if (kind !== 'packets' || last.kind !== 'tcp' || last.flags === SYN) return false;
  const tcp = flows.at(-1)!.filter((line) => line.includes(' tcp '));
  return (
    kernel.length === 0 &&
    kubetun.length === 1 &&
    kubetun[0]!.startsWith('internet: ') &&
    tcp.some((line) => line.endsWith(' SYN_SENT'))
  );
}

function historyOf({ sequence: { route, steps }, step, flows }: Difference): History {
  return { route, sent: steps.slice(0, step + 1), flows };
}

/** An untranslated connection of the node itself: `NODE PROTO SRC:P>DST:P reply SRC:P>DST:P`. */
function isHostFlow(line: string): boolean {
  const [node, , from, , back] = line.split(' ') as [string, string, string, string, string];
  const [src, dst] = from.split('>') as [string, string];
  if (back !== `${dst}>${src}`) return false;
  const own = PLACES[node as (typeof NODES)[number]];
  return NODE_ADDRESSES.includes(own) && (src.startsWith(`${own}:`) || dst.startsWith(`${own}:`));
}

/** The difference without the lines that are decided to differ. */
export function withoutDecided(difference: Difference): Difference {
  const left = (lines: string[]) =>
    lines.flatMap((line) => {
      let now: string | null = line;
      for (const filter of Object.values(FILTERS)) {
        if (now !== null) now = filter(now, difference);
      }
      return now === null ? [] : [now];
    });
  return { ...difference, kubetun: left(difference.kubetun), kernel: left(difference.kernel) };
}

/** The name of the decision that covers a difference; null for none. */
export function decidedBy(difference: Difference): string | null {
  const sent = difference.sequence.steps.slice(0, difference.step + 1);
  const found = Object.entries(DECISIONS).find(([, covers]) => covers(difference, sent));
  return found ? found[0] : null;
}

/** Differences of one class have one cause, most likely. */
export function classOf({ sequence, step, kind, kubetun, kernel }: Difference): string {
  const sent = sequence.steps[step]!;
  const what = sent.kind === 'tcp' ? `flags ${sent.flags}` : 'type' in sent ? sent.type : '';
  const odd = [sent.damage, sent.pieces && 'pieces', sent.options && 'options'].filter(Boolean);
  const short = (lines: string[]) => lines.map((l) => l.split(' ').at(kind === 'flows' ? -1 : 0));
  const only = (a: string[], b: string[]) => short(a.filter((line) => !b.includes(line)));
  return [
    ...[kind, sequence.route.name, sent.from, sent.kind, what, ...odd],
    `kubetun [${only(kubetun, kernel)}] kernel [${only(kernel, kubetun)}]`,
  ].join(' ');
}
