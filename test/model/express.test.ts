// The express lane against the ordinary way: the same packets, the same flows, the same counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createTestDatapath, NODE, OUTSIDE, type TestDatapath, VIP } from '../support/datapath.ts';
import { ACK, FIN, PSH, RST, SYN, tcp4 } from '../support/packets.ts';

const CLIENTS = ['10.244.1.5', '10.244.1.6', '10.244.2.9'];
const TARGETS = [`${VIP}:80`, `${NODE}:30080`, `${OUTSIDE}:443`, '10.244.2.30:80'];

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
  broken: boolean;
}

const segment: fc.Arbitrary<Segment> = fc.record({
  client: fc.nat(CLIENTS.length - 1),
  target: fc.nat(TARGETS.length - 1),
  back: fc.boolean(),
  // Nearly all of a connection's segments are these.
  flags: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(ACK, ACK | PSH) },
    { weight: 1, arbitrary: fc.constantFrom(SYN, FIN | ACK, RST, SYN | ACK) },
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
  broken: fc.oneof(
    { weight: 20, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
});

/** Opens every connection; the endpoints that the replies come from. */
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

test('any segments leave the same packets, lines and counters behind, express or not', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(segment, { minLength: 1, maxLength: 8 }), { maxLength: 12 }),
      (batches) => {
        const [fast, slow] = [createTestDatapath(), createTestDatapath()];
        slow.d.useExpress = false;
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
  const { seq, ack, partial, ttl, options } = s;
  const frame = tcp4(from, to, s.flags, s.data, { seq, ack, partial, ttl, options });
  // A wrong header sum must not slip through either way.
  if (s.broken) frame[20] = frame[20]! ^ 0x55;
  return frame;
}

test('the express lane is what a steady connection takes', () => {
  const t = createTestDatapath();
  const backs = open(t);
  t.d.table.find = () => {
    throw new Error('the ordinary way looks flows up');
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
