// The rules of the kernel's connection tracking for TCP, from
// net/netfilter/nf_conntrack_proto_tcp.c of Linux 6.18, written again without any code of the
// datapath. One connection between the hosts a and b, with liberal windows
// (`nf_conntrack_tcp_be_liberal` 1). A flag marks each decided difference of kubetun.
import { ACK, FIN, RST, SYN } from './packets.ts';

export type Host = 'a' | 'b';

export interface Segment {
  from: Host;
  flags: number;
  seq: number;
  ack: number;
  bytes: number;
}

type Index = 'syn' | 'synack' | 'fin' | 'ack' | 'rst';

const STATES = ['NONE', 'SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT'].concat([
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
]);
const CODES = ['sNO', 'sSS', 'sSR', 'sES', 'sFW', 'sCW', 'sLA', 'sTW', 'sCL', 'sS2'];

// Columns as CODES: the next state for each state; sIG is ignored, sIV invalid.
const TABLE: Record<'original' | 'reply', Record<Index, string>> = {
  original: {
    syn: 'sSS sSS sIG sIG sIG sIG sIG sSS sSS sS2',
    synack: 'sIV sIV sSR sIV sIV sIV sIV sIV sIV sSR',
    fin: 'sIV sIV sFW sFW sLA sLA sLA sTW sCL sIV',
    ack: 'sES sIV sES sES sCW sCW sTW sTW sCL sIV',
    rst: 'sIV sCL sCL sCL sCL sCL sCL sCL sCL sCL',
  },
  reply: {
    syn: 'sIV sS2 sIV sIV sIV sIV sIV sSS sIV sS2',
    synack: 'sIV sSR sIG sIG sIG sIG sIG sIG sIG sSR',
    fin: 'sIV sIV sFW sFW sLA sLA sLA sTW sCL sIV',
    ack: 'sIV sIG sSR sES sCW sCW sTW sTW sCL sIG',
    rst: 'sIV sCL sCL sCL sCL sCL sCL sCL sCL sCL',
  },
};

/** Seconds by state. */
export type OracleTimeouts = Record<string, number>;

interface End {
  /** After the furthest byte sent, and the highest acknowledgement sent. */
  sent: number;
  acked: number;
  /** This end sent the FIN that began the close. */
  closeInit: boolean;
}

interface Entry {
  client: Host;
  state: string;
  ends: Record<Host, End>;
  lastIndex: Index | 'none';
  lastFrom: Host | null;
  lastEnd: number | null;
  lastAck: number;
  challenge: boolean;
  simultaneous: boolean;
  replied: boolean;
  assured: boolean;
  until: number;
}

const int = (n: number): number => n | 0;
const before = (a: number, b: number): boolean => int(a - b) < 0;

/** The new position of an end after a segment: forward, by at most any window. */
function forward(from: number, to: number): number {
  const ahead = int(to - from);
  return ahead > 0 && ahead < 2 ** 24 ? to : from;
}

function indexOf(flags: number): Index | null {
  if (flags & RST) return 'rst';
  if (flags & SYN) return flags & ACK ? 'synack' : 'syn';
  if (flags & FIN) return 'fin';
  return flags & ACK ? 'ack' : null;
}

/** One connection as the kernel tracks it. */
export class ConntrackOracle {
  readonly #timeouts: OracleTimeouts;
  #entry: Entry | null = null;
  #now = 0;

  constructor(timeouts: OracleTimeouts) {
    this.#timeouts = timeouts;
  }

  /** State, client, and seconds left; null if there is no entry. */
  get entry(): { state: string; client: Host; left: number } | null {
    const e = this.#entry;
    return e && { state: e.state, client: e.client, left: e.until - this.#now };
  }

  /** Advances time. */
  advance(seconds: number): void {
    this.#now += seconds;
    if (this.#entry && this.#entry.until <= this.#now) this.#entry = null;
  }

  /** Applies a segment. */
  send(given: Segment): void {
    const segment = { ...given, seq: int(given.seq), ack: int(given.ack) };
    const index = indexOf(segment.flags);
    if (!index) return;
    const fresh = !this.#entry;
    const e = this.#entry ?? create(segment, index);
    if (!e) return;
    this.#entry = e;
    const verdict = this.#track(e, segment, index);
    if (verdict === 'repeat') {
      this.#entry = null;
      this.send(segment);
    } else if (verdict === 'invalid' && fresh) this.#entry = null;
    else if (verdict === 'kill') this.#entry = null;
    else if (verdict !== 'invalid' && segment.from !== e.client) e.replied = true;
  }

  #track(e: Entry, s: Segment, index: Index): 'accept' | 'ignore' | 'invalid' | 'repeat' | 'kill' {
    const dir = s.from === e.client ? 'original' : 'reply';
    const old = e.state;
    const code = TABLE[dir][index].split(' ')[STATES.indexOf(old)]!;
    const [sender, receiver] = [e.ends[s.from], e.ends[s.from === 'a' ? 'b' : 'a']];
    if (code === 'sIV') return 'invalid';
    const reopens = code === 'sSS' && (old === 'TIME_WAIT' || old === 'CLOSE');
    if (reopens) {
      const aborted = e.lastFrom === s.from && e.lastIndex === 'rst';
      if (sender.closeInit || receiver.closeInit || aborted) return 'repeat';
    }
    let next = STATES[CODES.indexOf(code)]!;
    let resync = false;
    if (reopens || code === 'sIG') {
      resync = index === 'synack' && e.lastIndex === 'syn' && e.lastFrom !== s.from;
      resync &&= s.ack === e.lastEnd;
      if (!resync) {
        this.#remember(e, s, index, dir, old);
        return 'ignore';
      }
      // The answer to a SYN that passed without counting: both ends start with it.
      next = 'SYN_RECV';
      receiver.sent = e.lastEnd!;
      receiver.closeInit = false;
      sender.closeInit = false;
      e.challenge = false;
    }
    if (next === 'TIME_WAIT' && old === 'LAST_ACK' && index === 'ack') {
      if (e.lastFrom !== s.from && e.lastIndex === 'syn' && e.challenge) {
        e.challenge = false;
        return 'ignore';
      }
    }
    if (next === 'SYN_SENT2') e.simultaneous = true;
    if (next === 'SYN_RECV' && dir === 'reply' && index === 'ack' && e.simultaneous) {
      next = 'ESTABLISHED';
    }
    if (index === 'rst') {
      const reset = this.#reset(e, s, sender, receiver);
      if (reset === null) return 'invalid';
      next = reset;
    }
    this.#learn(e, s, index, sender, receiver);
    return this.#accept(e, s, index, resync ? 'SYN_SENT' : old, next);
  }

  #remember(e: Entry, s: Segment, index: Index, dir: string, old: string): void {
    e.lastIndex = index;
    e.lastFrom = s.from;
    e.lastEnd = endOf(s);
    if (index === 'syn' && dir === 'original') {
      e.simultaneous = false;
      e.challenge = old === 'LAST_ACK';
    }
    if (old === 'SYN_SENT' && index === 'ack' && dir === 'reply') e.lastAck = s.ack;
  }

  /**
   * The state after an RST, or null without effect. The kernel accepts every RST after a FIN, and
   * with liberal windows any RST beyond the acknowledged data. Here it must match while one end may
   * still send. One that carries its sender's next byte closes in any case.
   */
  #reset(e: Entry, s: Segment, sender: End, receiver: End): string | null {
    if (['LAST_ACK', 'TIME_WAIT', 'CLOSE'].includes(e.state)) return 'CLOSE';
    const answersSyn = e.replied && e.lastIndex === 'syn';
    const answersAck = !e.assured && e.lastIndex === 'ack';
    const acknowledges = (s.flags & ACK) !== 0 && s.ack === e.lastEnd;
    if ((answersSyn || answersAck) && acknowledges) return 'CLOSE';
    if (e.state === 'SYN_SENT') {
      const challenged = e.lastIndex === 'ack' && e.lastFrom !== s.from && s.seq === e.lastAck;
      const own = challenged || s.seq === sender.sent;
      const peers = (s.flags & ACK) !== 0 && s.ack === receiver.sent;
      return (s.from === e.client ? own : peers) ? 'CLOSE' : null;
    }
    if (s.seq === receiver.acked || s.seq === sender.sent) return 'CLOSE';
    if (before(s.seq, receiver.acked) || before(sender.sent, s.seq)) return null;
    const challenges = e.state === 'ESTABLISHED' && e.assured && e.lastIndex !== 'syn';
    return challenges ? 'ESTABLISHED' : 'CLOSE';
  }

  /** Records what a counting segment sent and acknowledged. */
  #learn(e: Entry, s: Segment, index: Index, sender: End, receiver: End): void {
    if (index === 'rst') return;
    const end = endOf(s);
    if (s.flags & SYN) {
      Object.assign(sender, { sent: end, acked: s.flags & ACK ? s.ack : sender.acked });
      receiver.acked = s.seq;
      return;
    }
    sender.sent = forward(sender.sent, end);
    sender.acked = forward(sender.acked, s.ack);
    if (index === 'ack') e.lastEnd = end;
  }

  #accept(e: Entry, s: Segment, index: Index, old: string, next: string): 'accept' | 'kill' {
    e.lastIndex = index;
    e.lastFrom = s.from;
    e.state = next;
    if (old !== next && next === 'FIN_WAIT') e.ends[s.from].closeInit = true;
    const seconds = this.#timeouts[index === 'rst' ? 'CLOSE' : next]!;
    // Decided: a connection picked up midway is assured with its first reply, not with the next
    // packet.
    const answered = e.replied || s.from !== e.client;
    const was = old === 'SYN_RECV' || old === 'ESTABLISHED';
    if (answered && was && next === 'ESTABLISHED') e.assured = true;
    if (!e.replied) {
      if (index === 'rst') return 'kill';
      // A client that repeats its SYN does not keep its entry.
      if (index === 'syn' && old === 'SYN_SENT') return 'accept';
    }
    e.until = this.#now + seconds;
    return 'accept';
  }
}

function endOf(s: Segment): number {
  return int(s.seq + s.bytes + (s.flags & SYN ? 1 : 0) + (s.flags & FIN ? 1 : 0));
}

/** The first segment of a connection: a SYN, or any ACK for a pick-up. */
function create(s: Segment, index: Index): Entry | null {
  if (index !== 'syn' && index !== 'ack') return null;
  const peer: Host = s.from === 'a' ? 'b' : 'a';
  const ends = {} as Record<Host, End>;
  ends[s.from] = { sent: s.seq, acked: s.ack, closeInit: false };
  ends[peer] = { sent: s.ack, acked: s.seq, closeInit: false };
  return {
    ...{ client: s.from, state: 'NONE', ends, lastIndex: 'none', lastFrom: null },
    ...{ lastEnd: null, lastAck: 0, challenge: false, simultaneous: false },
    ...{ replied: false, assured: false, until: 0 },
  };
}
