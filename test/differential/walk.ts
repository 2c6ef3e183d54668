// Walks: the packets that the two ends of a route send in turn. A walk is a pure function of its
// seed. It has no expected result: the kernel is the oracle.
import type { Choices } from './random.ts';

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;

/** A fragment: offset and length in bytes of the IP payload. */
export type Piece = [offset: number, bytes: number, isLast: boolean];

interface Common {
  /** Client or server. `router` is an internet host near the far end. */
  from: 'client' | 'server' | 'router';
  /** The client's second target. */
  other?: boolean;
  /** Index of the client's port. */
  port?: number;
  ttl?: number;
  tos?: number;
  /** IP options, a multiple of four bytes. */
  options?: number[];
  /** Reuses the identification of an earlier step. */
  idOf?: number;
  damage?: Damage;
  pieces?: Piece[];
  /** Don't fragment. */
  df?: boolean;
}

/** The damage of a packet. */
export type Damage =
  | 'sum'
  | 'no-sum'
  | 'ip-sum'
  | 'cut-header'
  | 'long-total'
  | 'short-total'
  | 'trailer'
  | 'l4-length-long'
  | 'l4-length-short'
  | 'data-offset-short'
  | 'data-offset-long'
  | 'version';

export type Step = Common &
  (
    | {
        kind: 'tcp';
        flags: number;
        seq: number;
        ack: number;
        data: number;
        tcpOptions?: number[];
      }
    | { kind: 'udp'; data: number }
    | { kind: 'echo'; type: number; data: number }
    | {
        kind: 'icmp';
        type: number;
        code: number;
        /** The second word of the header. */
        word: number;
        /** The quoted packet: the sender's last received one, or one that was never sent. */
        quote: 'received' | 'invented' | 'none';
        quoteBytes: number;
      }
  );

export const STEPS_MAX = 14;

/** Kinds of walks, with their weights. */
const KINDS = [
  [10, tcpWalk],
  [4, udpWalk],
  [3, echoWalk],
  [3, fragmentWalk],
] as const;

export function makeWalk(choose: Choices, isInternet: boolean): Step[] {
  const steps = choose.weighted(KINDS)(choose);
  const errors = choose.chance(30) ? 1 + choose.below(3) : 0;
  for (let i = 0; i < errors; i++) {
    steps.splice(1 + choose.below(steps.length), 0, icmpStep(choose, isInternet));
  }
  for (const step of steps) disturb(choose, step);
  return steps.slice(0, STEPS_MAX);
}

/** The state of both ends of one TCP connection. */
class Ends {
  clientNext: number;
  serverNext: number;
  stage = 0;
  readonly #choose: Choices;

  constructor(choose: Choices) {
    this.#choose = choose;
    this.clientNext = choose.word();
    this.serverNext = choose.word();
  }

  reopen(): void {
    this.clientNext = (this.clientNext + this.#choose.word()) >>> 0;
    this.serverNext = this.#choose.word();
    this.stage = 0;
  }

  send(from: 'client' | 'server', flags: number, data = 0): Step {
    const seq = from === 'client' ? this.clientNext : this.serverNext;
    const ack = from === 'client' ? this.serverNext : this.clientNext;
    const taken = data + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
    const next = (seq + taken) >>> 0;
    if (from === 'client') this.clientNext = next;
    else this.serverNext = next;
    return { kind: 'tcp', from, flags, seq, ack: flags & ACK ? ack : 0, data };
  }
}

function tcpWalk(choose: Choices): Step[] {
  const ends = new Ends(choose);
  const steps: Step[] = [];
  const count = 3 + choose.below(STEPS_MAX - 3);
  const twoPorts = choose.chance(15);
  const clash = choose.chance(15);
  while (steps.length < count) {
    const previous = steps.at(-1);
    const step = choose.chance(70) ? properTcp(choose, ends) : oddTcp(choose, ends, steps);
    if (clash && choose.chance(30) && step.from === 'client') step.other = true;
    if (twoPorts && choose.chance(30)) step.port = 1;
    if (previous && choose.chance(4)) steps.push({ ...previous });
    steps.push(step);
  }
  return steps;
}

/** The next step of a normal connection. */
function properTcp(choose: Choices, ends: Ends): Step {
  const data = choose.one([0, 1, 10, 100]);
  switch (ends.stage++) {
    case 0:
      return ends.send('client', SYN);
    case 1:
      return ends.send('server', SYN | ACK);
    case 2:
      return ends.send('client', ACK);
    case 3:
      if (choose.chance(60)) ends.stage--;
      return ends.send(choose.one(['client', 'server']), ACK | PSH, data);
    case 4:
      return ends.send(choose.one(['client', 'server']), FIN | ACK);
    case 5:
      return ends.send(choose.one(['server', 'client']), ACK);
    case 6:
      return ends.send(choose.one(['server', 'client']), FIN | ACK);
    case 7:
      return ends.send(choose.one(['client', 'server']), ACK);
    default:
      ends.reopen();
      return ends.send('client', SYN);
  }
}

/** An abnormal segment. */
function oddTcp(choose: Choices, ends: Ends, before: Step[]): Step {
  const from = choose.one(['client', 'server'] as const);
  const own = from === 'client' ? ends.clientNext : ends.serverNext;
  const peer = from === 'client' ? ends.serverNext : ends.clientNext;
  const near = (own + choose.one([-1, 0, 0, 1, 1000, 70_000, -70_000])) >>> 0;
  const base = { kind: 'tcp', from, ack: peer, data: 0 } as const;
  const earlier = before.filter((step) => step.kind === 'tcp');
  switch (choose.below(12)) {
    case 0:
      return { ...base, flags: RST, seq: choose.one([own, near, 0, choose.word()]), ack: 0 };
    case 1:
      return { ...base, flags: RST | ACK, seq: choose.one([own, near, 0, choose.word()]) };
    case 2:
      return { ...base, flags: SYN, seq: choose.one([own, choose.word()]), ack: 0 };
    case 3:
      return { ...base, flags: SYN | ACK, seq: choose.one([own, near]) };
    case 4:
      ends.reopen();
      ends.stage = 1;
      return ends.send('client', SYN);
    case 5:
      return { ...base, flags: ACK, seq: near, data: choose.one([0, 1, 50]) };
    case 6:
      return { ...base, flags: FIN | ACK, seq: near };
    case 7:
      return { ...base, flags: choose.below(64), seq: near };
    case 8:
      return { ...base, flags: ACK, seq: own, ack: choose.word() };
    case 9:
      ends.stage = 2;
      return ends.send('server', SYN);
    default:
      return earlier.length > 0 ? { ...choose.one(earlier) } : ends.send(from, ACK);
  }
}

function udpWalk(choose: Choices): Step[] {
  const count = 2 + choose.below(8);
  const clash = choose.chance(25);
  return Array.from({ length: count }, (_, i): Step => {
    const from = i === 0 || choose.chance(60) ? 'client' : 'server';
    const other = clash && from === 'client' && choose.chance(40);
    const port = choose.chance(10) ? 1 : 0;
    return { kind: 'udp', from, other, port, data: choose.one([0, 1, 8, 33, 700]) };
  });
}

function echoWalk(choose: Choices): Step[] {
  const count = 2 + choose.below(5);
  return Array.from({ length: count }, (): Step => {
    const from = choose.one(['client', 'client', 'server'] as const);
    // Echo, timestamp, information and address mask, each with its reply.
    const types = choose.chance(75) ? [8, 0] : [13, 14, 15, 16, 17, 18];
    return {
      ...{ kind: 'echo', from, data: choose.one([0, 8, 56]) },
      type: choose.chance(85) ? types[from === 'client' ? 0 : 1]! : choose.one(types),
    };
  });
}

/** ICMP errors of all types, from either end or from an internet router. */
function icmpStep(choose: Choices, isInternet: boolean): Step {
  const router = isInternet && choose.chance(30);
  const [type, codes] = choose.weighted([
    [5, [3, 16]],
    [3, [11, 2]],
    [2, [12, 3]],
    [1, [4, 1]],
    [1, [5, 4]],
    [1, [9, 1]],
    [1, [40, 2]],
  ] as [number, [number, number]][]);
  return {
    ...{ kind: 'icmp', from: router ? 'router' : choose.one(['client', 'server']) },
    ...{ type, code: choose.below(codes) },
    word: type === 3 ? choose.one([0, 1400, 576]) : type === 5 ? 0x0a00_0001 : 0,
    quote: choose.weighted([
      [8, 'received'],
      [1, 'invented'],
      [1, 'none'],
    ] as const),
    quoteBytes: choose.one([28, 28, 40, 548]),
  };
}

/** Fragments: in any order, duplicated, overlapping, missing, and with reused ids. */
function fragmentWalk(choose: Choices): Step[] {
  const count = 1 + choose.below(5);
  const steps: Step[] = [];
  for (let i = 0; i < count; i++) {
    const from = i === 0 || choose.chance(65) ? 'client' : 'server';
    const data = choose.one([16, 100, 1000, 1400, 3000]);
    const pieces = choose.chance(80) ? cut(choose, data + 8) : undefined;
    const step: Step = { kind: 'udp', from, data, pieces, df: false };
    if (i > 0 && choose.chance(15)) step.idOf = choose.below(i);
    steps.push(step);
  }
  return steps;
}

function cut(choose: Choices, bytes: number): Piece[] {
  const size = Math.max(16, (Math.ceil(bytes / (2 + choose.below(4))) + 7) & ~7);
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes; at += size) {
    const isLast = at + size >= bytes;
    pieces.push([at, isLast ? bytes - at : size, isLast]);
  }
  if (choose.chance(20)) pieces.push(choose.one(pieces));
  if (choose.chance(12)) pieces.splice(choose.below(pieces.length), 1);
  if (choose.chance(10) && pieces.length > 1) {
    const [at, length, isLast] = choose.one(pieces);
    if (at > 0) pieces.push([at - 8, length, isLast]);
  }
  return choose.chance(60) ? choose.shuffled(pieces) : pieces;
}

/** With their weights. */
export const DAMAGES: [number, Damage][] = [
  [6, 'sum'],
  [3, 'no-sum'],
  [2, 'ip-sum'],
  [1, 'cut-header'],
  [1, 'long-total'],
  [1, 'short-total'],
  [2, 'trailer'],
  [1, 'l4-length-long'],
  [1, 'l4-length-short'],
  [1, 'data-offset-short'],
  [1, 'data-offset-long'],
  [1, 'version'],
];
/** No operation; end; record route; timestamp; router alert. */
const OPTIONS = [
  [1, 1, 1, 1],
  [7, 7, 4, 0, 0, 0, 0, 0],
  [68, 8, 5, 0, 0, 0, 0, 0],
  [148, 4, 0, 0],
  [1, 1, 1, 0],
];

/** Fields that translation must keep, and damage of a packet. */
function disturb(choose: Choices, step: Step): void {
  if (choose.chance(8)) step.ttl = choose.one([5, 10, 255]);
  if (choose.chance(5)) step.tos = choose.one([0x10, 0xb8, 0x02, 0x03]);
  if (choose.chance(4)) step.options = choose.one(OPTIONS);
  if (choose.chance(3)) step.damage = choose.weighted(DAMAGES);
  if (step.kind === 'tcp' && choose.chance(8)) {
    step.tcpOptions = choose.one([
      [2, 4, 5, 0xb4],
      [1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0],
      [3, 3, 7, 1],
    ]);
  }
}
