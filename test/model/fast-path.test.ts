// Compares the fast path with all stages: packets, flows and counters are the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readArena } from '../../datapath/observe/flows.ts';
import {
  addr,
  createTestDatapath,
  NODE,
  OUTSIDE,
  type TestDatapath,
  VIP,
} from '../support/datapath.ts';
import { ACK, FIN, PSH, RST, SYN, sum16, tcp4 } from '../support/packets.ts';

const URG = 32;
const CLIENTS = ['10.244.1.5', '10.244.1.6', '10.244.2.9'];
const TARGETS = [`${VIP}:80`, `${NODE}:30080`, `${OUTSIDE}:443`, '10.244.2.30:80'];

type Ends = [from: string, to: string];

interface Segment {
  client: number;
  target: number;
  back: boolean;
  flags: number;
  seq: number;
  ack: number;
  data: number[];
  partial: boolean;
  ttl: number;
  options: number[];
  /** Fragment flags and offset; nearly always "don't fragment". */
  fragment: number;
  /** Length in the TCP header, in words. 0 for the true one. */
  dataOffset: number;
  /** Error of the IPv4 length, in bytes. */
  lengthOff: number;
  /** Start of a partial checksum, nearly always after the header. */
  sumStart: number;
  broken: boolean;
}

const seldom = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 20, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );

const segment: fc.Arbitrary<Segment> = fc.record({
  client: fc.nat(CLIENTS.length - 1),
  target: fc.nat(TARGETS.length - 1),
  back: fc.boolean(),
  // Nearly all segments of a connection are of this kind.
  flags: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(ACK, ACK | PSH) },
    { weight: 1, arbitrary: fc.constantFrom(SYN, FIN | ACK, RST, SYN | ACK, ACK | URG) },
  ),
  seq: fc.integer({ min: 1000, max: 9000 }),
  ack: fc.integer({ min: 1000, max: 9000 }),
  data: fc.array(fc.nat(255), { maxLength: 30 }),
  partial: fc.boolean(),
  ttl: fc.constantFrom(1, 2, 63, 64, 254, 255),
  options: fc.oneof(
    { weight: 8, arbitrary: fc.constant<number[]>([]) },
    { weight: 1, arbitrary: fc.constant<number[]>([1, 1, 1, 0]) },
  ),
  fragment: seldom(0x4000, 0, 0x8000, 0x2000, 0x0001, 0x1fff),
  dataOffset: seldom(0, 1, 4, 6, 15),
  lengthOff: seldom(0, -1, 1, -8, 200),
  sumStart: seldom(0, 4, 18, 22, 24, 255),
  broken: seldom(false, true),
});

/** Opens every connection and returns the endpoints of the replies. */
function open(t: TestDatapath): Map<string, { from: string; to: string }> {
  const backs = new Map<string, { from: string; to: string }>();
  for (const [c, client] of CLIENTS.entries()) {
    for (const [i, target] of TARGETS.entries()) {
      const from = `${client}:${4000 + i}`;
      const { packet } = t.one(tcp4(from, target, SYN, [], { seq: 999 }));
      const back = { from: `${packet.dst}:${packet.dport}`, to: `${packet.src}:${packet.sport}` };
      t.one(tcp4(back.from, back.to, SYN | ACK, [], { seq: 999, ack: 1000 }));
      t.one(tcp4(from, target, ACK, [], { seq: 1000, ack: 1000 }));
      backs.set(`${c} ${i}`, back);
    }
  }
  return backs;
}

test('the fast path and the stages give the same packets, flow lines and counters', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(segment, { minLength: 1, maxLength: 8 }), { maxLength: 12 }),
      (batches) => {
        const [fast, slow] = [createTestDatapath(), createTestDatapath()];
        slow.d.useFastPath = false;
        const backs = open(fast);
        open(slow);
        for (const [i, batch] of batches.entries()) {
          fast.now = slow.now = 2000 + i * 300;
          const frames = batch.map((s) => frameOf(s, backs.get(`${s.client} ${s.target}`)!));
          const one = fast.send(...frames);
          const other = slow.send(...frames);
          for (const [j, { verdict, frame }] of one.entries()) {
            assert.equal(verdict, other[j]!.verdict);
            assert.deepEqual(frame, other[j]!.frame);
          }
        }
        assert.deepEqual(fast.d.lines, slow.d.lines);
        assert.deepEqual(fast.d.counters, slow.d.counters);
      },
    ),
    { numRuns: 400 },
  );
});

function frameOf(s: Segment, back: { from: string; to: string }): Uint8Array {
  const from = s.back ? back.from : `${CLIENTS[s.client]}:${4000 + s.target}`;
  const to = s.back ? back.to : TARGETS[s.target]!;
  const { seq, ack, partial, ttl, options, fragment } = s;
  const frame = tcp4(from, to, s.flags, s.data, { seq, ack, partial, ttl, options, fragment });
  if (s.dataOffset > 0) frame[10 + (frame[10]! & 15) * 4 + 12] = s.dataOffset << 4;
  if (s.lengthOff !== 0) addToLength(frame, s.lengthOff);
  if (s.sumStart > 0) frame[6] = s.sumStart;
  // A wrong header checksum must not pass in either direction.
  if (s.broken) frame[20] = frame[20]! ^ 0x55;
  return frame;
}

/** Changes the IPv4 length field, and its header's checksum with it. */
function addToLength(frame: Uint8Array, bytes: number): void {
  const view = new DataView(frame.buffer, frame.byteOffset + 10);
  view.setUint16(2, view.getUint16(2) + bytes);
  view.setUint16(10, 0);
  view.setUint16(10, 0xffff - sum16(frame.subarray(10, 10 + (frame[10]! & 15) * 4)));
}

/**
 * Two connections: the lookup of the first meets the tag of the second. The third takes the slot
 * between the two.
 */
function findTwins(t: TestDatapath): [Ends, Ends, Ends] {
  const [client, server] = [addr(CLIENTS[0]!), addr('10.244.2.30')];
  const { indexMask, tagMask } = t.d.table;
  const seen = new Map<number, Ends>();
  const homes = new Map<number, Ends>();
  for (let n = 0; n < 1_000_000; n++) {
    const [sport, dport] = [1024 + (n % 60_000), 1 + Math.floor(n / 60_000)];
    const hash = t.d.table.hash(client, server, (sport << 16) | dport, 6);
    const ends: Ends = [`${CLIENTS[0]}:${sport}`, `10.244.2.30:${dport}`];
    const home = (hash - 1) & indexMask;
    const [twin, between] = [seen.get(((hash & tagMask) | home) >>> 0), homes.get(home)];
    if (twin && between && twin !== between) return [ends, twin, between];
    seen.set(hash >>> 0, ends);
    if (!homes.has(hash & indexMask)) homes.set(hash & indexMask, ends);
  }
  throw new Error('no such connections among a million');
}

test('a segment does not match another connection with an equal hash tag', () => {
  const t = createTestDatapath();
  const [[from, to], [otherFrom, otherTo], [fillFrom, fillTo]] = findTwins(t);
  t.one(tcp4(fillFrom, fillTo, SYN));
  t.one(tcp4(from, to, SYN, [], { seq: 999 }));
  t.one(tcp4(to, from, SYN | ACK, [], { seq: 999, ack: 1000 }));
  t.one(tcp4(from, to, ACK, [], { seq: 1000, ack: 1000 }));
  t.one(tcp4(otherFrom, otherTo, ACK, [1], { seq: 1000, ack: 1000 }));
  assert.deepEqual(
    [...readArena(t.d.arena).flows()].map((row) => row.packets),
    [1, 3, 1],
  );
});

test('a steady connection takes the fast path', () => {
  const t = createTestDatapath();
  const backs = open(t);
  t.d.table.find = () => {
    throw new Error('only the slow path looks flows up');
  };
  const back = backs.get('0 0')!;
  assert.equal(
    t.one(tcp4(`${CLIENTS[0]}:4000`, TARGETS[0]!, ACK, [1], { seq: 1000, ack: 1000 })).verdict,
    'forward',
  );
  assert.equal(
    t.one(tcp4(back.from, back.to, ACK, [2], { seq: 1000, ack: 1001 })).verdict,
    'forward',
  );
});
