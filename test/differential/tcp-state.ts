// The kernel's connection tracking of TCP segments: net/netfilter/nf_conntrack_proto_tcp.c, written
// independently of the datapath's code.
import { PLACES, type Route } from './routes.ts';
import { ACK, type Damage, FIN, RST, type Step, SYN } from './walk.ts';

type TcpStep = Step & { kind: 'tcp' };
type Index = 'syn' | 'synack' | 'fin' | 'ack' | 'rst';

const STATES = [
  ...['NONE', 'SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK'],
  ...['TIME_WAIT', 'CLOSE', 'SYN_SENT2'],
];

/**
 * The class of a segment in each of STATES, by opener of the flow: invalid (x), ignored (i), or
 * counted.
 */
const MOVES: Record<'opener' | 'other', Record<Index, string>> = {
  opener: {
    ...{ syn: '..iiiii...', synack: 'xx.xxxxxx.', fin: 'xx.......x' },
    ...{ ack: '.x.......x', rst: 'x.........' },
  },
  other: {
    ...{ syn: 'x.xxxxx.x.', synack: 'x.iiiiiii.', fin: 'xx.......x' },
    ...{ ack: 'xi.......i', rst: 'x.........' },
  },
};
/** Equal to the datapath's LEAP_MAX: more than any window. */
const LEAP_MAX = 1 << 24;

/** The packets of a sequence, and the kernel's flows before each step. */
export interface History {
  route: Route;
  sent: Step[];
  flows: string[][];
}

/** Like the kernel's tcp_valid_flags, without PSH. */
export function areFlagsValid(flags: number): boolean {
  return FLAGS_VALID.has(flags & 0b110111);
}

const URG = 32;
const FLAGS_VALID = new Set([
  ...[SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG],
]);

function indexOf(flags: number): Index {
  if (flags & RST) return 'rst';
  if (flags & SYN) return flags & ACK ? 'synack' : 'syn';
  return flags & FIN ? 'fin' : 'ack';
}

/**
 * True if the kernel calls the segment of the last step invalid: by the state table in one of the
 * flows before it, or as an RST from before its receiver's acknowledgement.
 */
export function isInvalid(history: History): boolean {
  const last = history.sent.at(-1)!;
  if (last.kind !== 'tcp') return false;
  if (movesOf(history).includes('x')) return true;
  if ((last.flags & RST) === 0) return false;
  return history.sent.some(
    ({ from, ...step }) =>
      from !== last.from &&
      step.kind === 'tcp' &&
      (step.flags & ACK) !== 0 &&
      isBefore(last.seq, step.ack),
  );
}

/** True if the sequence has several connections, which share their history here. */
export function hasSeveral({ route, sent, flows }: History): boolean {
  if (sent.some(({ other, port }) => other || port)) return true;
  // A server that has received nothing yet opens a connection to the client's own address.
  const tcp = flows.at(-1)!.filter((line) => line.includes(' tcp '));
  return new Set(tcp.map((line) => isByOpener(route, sent.at(-1)!, line))).size > 1;
}

/**
 * True if the segments before the last step are one connection from its SYN on, and each of them
 * is valid. Then the sequence numbers of both ends are certain.
 */
export function isClear(history: History): boolean {
  const [first] = history.sent.filter(({ kind }) => kind === 'tcp');
  if (first?.kind !== 'tcp' || first.flags !== SYN) return false;
  return !hasInvalid(history);
}

/** True if a segment before the last step is malformed, or invalid to the kernel. */
export function hasInvalid({ route, sent, flows }: History): boolean {
  return sent.slice(0, -1).some((step, i) => {
    if (step.kind !== 'tcp') return false;
    if (!areFlagsValid(step.flags) || UNCERTAIN.has(step.damage ?? 'sum')) return true;
    return isInvalid({ route, sent: sent.slice(0, i + 1), flows: flows.slice(0, i + 1) });
  });
}

/** The class of the last segment in each flow before it. */
function movesOf({ route, sent, flows }: History): string[] {
  const last = sent.at(-1) as TcpStep;
  const index = indexOf(last.flags);
  const tcp = flows.at(-1)!.filter((line) => line.includes(' tcp '));
  if (tcp.length === 0) return [MOVES.opener[index][0]!];
  return tcp.map((line) => {
    const state = STATES.indexOf(line.split(' ').at(-1)!);
    return MOVES[isByOpener(route, last, line) ? 'opener' : 'other'][index][state]!;
  });
}

/** True if the segment's sender opened the flow. */
function isByOpener({ server, port }: Route, { from }: Step, line: string): boolean {
  const isServers = line.split(' ')[2]!.startsWith(`${PLACES[server]}:${port}>`);
  return isServers === (from === 'server');
}

/**
 * True if an RST is exact, as an answer or an abort: it carries its sender's next byte, or the
 * highest byte that its peer has acknowledged. While a SYN is unanswered, its sender's RST carries
 * the next byte, and the peer's RST acknowledges it.
 */
export function isExactReset(history: History): boolean {
  const { route, sent, flows } = history;
  const last = sent.at(-1) as TcpStep;
  const { next, acked, peerNext } = learn(history);
  const tcp = flows.at(-1)!.filter((line) => line.includes(' tcp '));
  if (tcp.every((line) => line.endsWith(' SYN_SENT'))) {
    if (tcp.some((line) => isByOpener(route, last, line))) return last.seq === next;
    return (last.flags & ACK) !== 0 && last.ack === peerNext;
  }
  return last.seq === next || last.seq === acked;
}

/**
 * True if the last segment acknowledges a byte outside the window after its sender's earlier
 * acknowledgements. An RST that refuses the segment carries that byte.
 */
export function leaps({ sent }: History): boolean {
  const last = sent.at(-1)!;
  if (last.kind !== 'tcp' || (last.flags & ACK) === 0) return false;
  return sent.slice(0, -1).some((step) => {
    if (step.kind !== 'tcp' || step.from !== last.from || (step.flags & ACK) === 0) return false;
    return (last.ack - step.ack) >>> 0 >= LEAP_MAX;
  });
}

/** True for an RST that acknowledges its peer's last segment. */
export function answersPeer({ sent }: History): boolean {
  const [before, last] = sent.filter(({ kind }) => kind === 'tcp').slice(-2) as TcpStep[];
  if (!before || !last || before.from === last.from) return false;
  return (last.flags & ACK) !== 0 && last.ack === endOf(before);
}

/** Damage that conntrack detects. A trailer becomes data if a node's raw socket sends it. */
const UNCERTAIN = new Set<Damage>([
  ...(['cut-header', 'long-total', 'short-total', 'trailer', 'version', 'ip-sum'] as const),
  ...(['data-offset-short', 'data-offset-long'] as const),
]);

interface Learned {
  /** The sender's next byte after its highest one, and its peer's acknowledgement. */
  next?: number;
  acked?: number;
  peerNext?: number;
}

/** The state after the counted segments before the last step. */
function learn({ route, sent, flows }: History): Learned {
  const learned: Learned = {};
  const { from } = sent.at(-1)!;
  let syn: TcpStep | null = null;
  sent.slice(0, -1).forEach((step, i) => {
    if (step.kind !== 'tcp' || step.flags & RST || !areFlagsValid(step.flags)) return;
    // Refused segments are not tracked.
    if (route.name === 'refused' && step.from === 'client') return;
    const before = { route, sent: sent.slice(0, i + 1), flows: flows.slice(0, i + 1) };
    const moves = movesOf(before);
    const isSyn = (step.flags & SYN) !== 0;
    // An ignored SYN counts at both ends.
    const isAnswer = moves.includes('i') && !!syn && step.ack === endOf(syn) && isSyn;
    if (isAnswer) learned[step.from === from ? 'peerNext' : 'next'] = step.ack;
    if (!moves.includes('x')) syn = isSyn && !(step.flags & ACK) ? step : null;
    if (!isAnswer && moves.some((move) => move !== '.')) return;
    if (learned.next === undefined) {
      // The first segment sets the known state of both ends.
      const [own, peer] = step.from === from ? [step.seq, step.ack] : [step.ack, step.seq];
      Object.assign(learned, { next: own, acked: own, peerNext: peer });
    }
    if (step.from !== from) {
      learned.peerNext = isSyn ? endOf(step) : further(learned.peerNext, endOf(step));
      if (step.flags & ACK) learned.acked = isSyn ? step.ack : further(learned.acked, step.ack);
      return;
    }
    learned.next = isSyn ? endOf(step) : further(learned.next, endOf(step));
    if (isSyn) learned.acked = step.seq;
  });
  return learned;
}

function further(from: number | undefined, to: number): number {
  if (from === undefined) return to;
  const ahead = (to - from) | 0;
  return ahead > 0 && ahead < LEAP_MAX ? to : from;
}

function endOf({ seq, data, flags }: TcpStep): number {
  return (seq + data + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0)) >>> 0;
}

const isBefore = (a: number, b: number): boolean => ((a - b) | 0) < 0;
