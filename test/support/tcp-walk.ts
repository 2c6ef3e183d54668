// Random walks of TCP segments between two hosts, mostly valid: handshakes, data, closes and
// resets. Some are repeated, out of order, forged, or over a connection that one host has
// forgotten.
import type { Host, Segment } from './conntrack-oracle.ts';
import { ACK, FIN, RST, SYN } from './packets.ts';

/** Numbers from 0 to `below` - 1. */
export type Dice = (below: number) => number;

interface Side {
  /** Next sequence number to send, and the next one expected. */
  next: number;
  expected: number;
}

const peerOf = (host: Host): Host => (host === 'a' ? 'b' : 'a');

/** A seeded random source (xorshift32). */
export function createDice(seed: number): Dice {
  let x = seed | 0 || 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return Math.floor(((x >>> 0) / 2 ** 32) * below);
  };
}

/** Segments of one tuple, without end. */
export function* walkTcp(dice: Dice): Generator<Segment> {
  const sides: Record<Host, Side> = { a: { next: 0, expected: 0 }, b: { next: 0, expected: 0 } };
  const sent: Segment[] = [];
  // Initial numbers lie far apart: no segment is in the window of another connection.
  let isn = dice(2 ** 32);
  const start = () => {
    isn = (isn + 0x0800_0000 + dice(0x0100_0000)) >>> 0;
    return isn;
  };
  for (;;) {
    const segment = step(dice, sides, sent, start);
    sent.push(segment);
    yield segment;
  }
}

function step(
  dice: Dice,
  sides: Record<Host, Side>,
  sent: Segment[],
  start: () => number,
): Segment {
  const from: Host = dice(100) < 55 ? 'a' : 'b';
  const [own, peer] = [sides[from], sides[peerOf(from)]];
  const send = (flags: number, seq: number, ack: number, bytes = 0): Segment => {
    const segment = { from, flags, seq: seq >>> 0, ack: ack >>> 0, bytes };
    const end = (seq + bytes + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0)) >>> 0;
    // A segment that arrives moves the peer, unless it is out of place.
    if (!(flags & RST) && ((end - own.next) | 0) > 0) own.next = end;
    if (flags & SYN || seq >>> 0 === peer.expected) peer.expected = end;
    return segment;
  };
  const choice = dice(100);
  if (sent.length === 0 || choice < 12) {
    own.next = start();
    return send(SYN, own.next, 0);
  }
  if (choice < 24) {
    if (dice(3) > 0) own.next = start();
    return send(SYN | ACK, dice(4) === 0 ? own.next - 1 : own.next, peer.next);
  }
  if (choice < 50) return send(ACK, own.next, own.expected);
  if (choice < 62) return send(ACK, own.next, own.expected, 1 + dice(50));
  if (choice < 74) return send(FIN | ACK, own.next, own.expected);
  if (choice < 86) return send(RST | (dice(2) ? ACK : 0), ...resetOf(dice, own, peer));
  // A repeated segment.
  const again = sent[sent.length - 1 - dice(Math.min(sent.length, 6))]!;
  return { ...again };
}

/** Sequence and acknowledgement of an RST: exact, an answer, or out of place. */
function resetOf(dice: Dice, own: Side, peer: Side): [number, number] {
  const seq = [0, own.next, peer.expected, own.next - 1, own.next - 20, own.next + 0x0400_0000];
  const ack = [own.expected, peer.next, 0];
  return [seq[dice(seq.length)]!, ack[dice(ack.length)]!];
}
