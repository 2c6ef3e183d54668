// Accepted differences, by their names in docs/differences.md, and classes of all others.
import type { Difference } from './entry.ts';
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

/** Lines or parts of lines that are not compared. */
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

/** Options that each hop changes: record route and timestamp. */
const RECORDS = new Set([7, 68]);

const isNode = (place: string) => place.startsWith('node');

const LENGTHS = new Set<Damage>([
  ...(['cut-header', 'long-total', 'short-total', 'l4-length-long', 'l4-length-short'] as const),
  ...(['data-offset-short', 'data-offset-long', 'version', 'ip-sum'] as const),
]);

/** An error to the node that sent the quoted packet. */
const TO_SENDER = />(172\.18\.0\.1[12]) .* quote\[\1>/;

/** A decision about a whole difference. */
type Decision = (difference: Difference, sent: Step[]) => boolean;

const DECISIONS: Record<string, Decision> = {
  // Only whole datagrams are compared: the kernel waits for them, the datapath does not.
  'incomplete-datagram': isIncomplete,
  malformed: ({ sequence }, sent) => {
    const last = sent.at(-1)!;
    if (last.kind === 'tcp' && !areFlagsValid(last.flags)) return true;
    if (last.damage === undefined) return false;
    // A node's raw socket corrects the length. Errors with a wrong checksum are never forwarded.
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
  // The first fragment and each copy of it is refused: the checksum of the whole is not known yet.
  'refused-pieces': ({ kubetun, kernel }, sent) =>
    !!sent.at(-1)!.pieces && [...kubetun, ...kernel].every((line) => / made icmp 3\/3 /.test(line)),
  'invalid-refused': isInvalidRefused,
};

/** Fragments that stay incomplete, or may meet one of an earlier datagram. */
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
 * An ICMP error about a packet that the kernel does not track: never sent, of a removed flow, or
 * truncated.
 */
function isUnrelated(difference: Difference, sent: Step[]): boolean {
  const { sequence, kernel, kubetun, flows } = difference;
  const last = sent.at(-1)!;
  if (last.kind !== 'icmp' || kernel.length > 0 || kubetun.length !== 1) return false;
  const [line] = kubetun as [string];
  const { client, server } = sequence.route;
  const place = last.from === 'client' ? client : last.from === 'server' ? server : 'internet';
  // The kernel's RST for such a segment may have ended the flow at the kernel's edge.
  if (place === 'internet' && hasInvalid(historyOf(difference))) return true;
  // The edge passes errors about a node's packet, which the kernel's edge finds in its own table.
  if (place === 'internet' && !TO_SENDER.test(line)) return /quote\[\S+ proto=\d+\]/.test(line);
  const [, src, dst, sport, dport] = QUOTED.exec(line) ?? [];
  const known = flows.at(-1)!.filter((flow) => flow.startsWith(nodeOf(place)));
  return !src || !known.some((flow) => flow.includes(`${dst}:${dport}>${src}:${sport}`));
}

/** The first node of a packet from a place. Empty for the edge, which may send to any. */
function nodeOf(place: Place): string {
  if (place === 'internet') return '';
  return place === 'c' || place === 'node2' ? 'node2 ' : 'node1 ';
}

/** Addresses and ports of a quote of TCP or UDP. */
const QUOTED = /quote\[([\d.]+)>([\d.]+) proto=(?:6|17) .*?(\w+)>(\w+)(?: bad-header-sum)?\]/;

/** One side closes by an RST that the other ignores. */
function isImplausible(difference: Difference, sent: Step[]): boolean {
  const { kind, kernel, kubetun } = difference;
  const last = sent.at(-1)!;
  if (kind !== 'flows' || last.kind !== 'tcp' || (last.flags & RST) === 0) return false;
  const isKept = (lines: string[]) => areKept(difference, lines);
  const history = historyOf(difference);
  const isExact = isExactReset(history);
  // The sides may have counted different malformed or invalid segments.
  const isUncertain = hasSeveral(history) || !isClear(history);
  if (isKept(kubetun) && isPart(open(kernel), open(kubetun))) return isUncertain || !isExact;
  if (!isKept(kernel) || !isPart(open(kubetun), open(kernel))) return false;
  // With its sender's next byte, or as an answer to the peer's last segment, it closes here.
  return isUncertain || isExact || answersPeer(history);
}

/** The kernel answers an invalid segment with an RST, which counts for the flows on its way. */
function isInvalidRefused(difference: Difference): boolean {
  const { kind, decided, kubetun, kernel } = difference;
  if (kind !== 'flows') return false;
  if (decided === 'invalid-state') return true;
  // The datapath refuses it too if no flow matches, and ignores the kernel's RST.
  const isClosed = areKept(difference, kubetun) && isPart(open(kernel), open(kubetun));
  const history = historyOf(difference);
  return isClosed && (isInvalid(history) || leaps(history));
}

/** Flows that the last step did not change, except for the remaining time after an RST. */
function areKept({ flows }: Difference, lines: string[]): boolean {
  const known = flows
    .at(-1)!
    .filter((line) => !isHostFlow(line))
    .sort();
  return withoutTime(lines).join() === withoutTime(known).join();
}

/** The flows that are not closed, without the field `renewed`. */
function open(flows: string[]): string[] {
  return withoutTime(flows.filter((line) => !line.endsWith(' CLOSE')));
}

function withoutTime(lines: string[]): string[] {
  return lines.map((line) => line.replace(/ renewed=\S+/, ''));
}

/** One side's lines are a subset of the other's. */
function isPart(a: string[], b: string[]): boolean {
  const [fewer, more] = a.length < b.length ? [a, b] : [b, a];
  return fewer.every((line) => more.includes(line));
}

/** Every byte once, without copies of fragments. */
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
 * The kernel does not translate an invalid packet: it goes to its original destination, or is
 * refused. The datapath translates it, and its flow does not change.
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

/** The twin drops packets that need masquerade and are no SYN, until their flow has an answer. */
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

/** The difference without lines that may differ. */
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

/** The name of the decision for a difference. Null for none. */
export function decidedBy(difference: Difference): string | null {
  const sent = difference.sequence.steps.slice(0, difference.step + 1);
  const found = Object.entries(DECISIONS).find(([, covers]) => covers(difference, sent));
  return found ? found[0] : null;
}

/** Differences of one class probably have one cause. */
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
