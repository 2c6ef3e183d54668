// Feeds the pipeline with garbage. It never throws, hangs or writes outside a packet, and it counts
// every packet.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createArena } from '../../datapath/arena/arena.ts';
import type { ImageChange } from '../../datapath/image/image.ts';
import { ImageWriter } from '../../datapath/image/writer.ts';
import {
  createBatch,
  P_LENGTH,
  P_START,
  P_VERDICT,
  P_WORDS,
} from '../../datapath/pipeline/batch.ts';
import { Datapath } from '../../datapath/pipeline/datapath.ts';
import { run, tick } from '../../datapath/pipeline/run.ts';
import { COUNT_PACKETS, DROP_REASONS, VERDICT_HELD } from '../../datapath/pipeline/verdict.ts';
import { BACKEND, DEFAULT_IMAGE, NODE, OUTSIDE, POD, VIP } from '../support/datapath.ts';
import { BALANCED, GATEWAY_IMAGE, PUBLIC1 } from '../support/gateway.ts';
import {
  ACK,
  decode,
  echo4,
  FIN,
  fragment4,
  icmpError4,
  RST,
  SYN,
  tcp4,
  udp4,
} from '../support/packets.ts';

const CANARY = 0xa5;
/** A packet may use this many more bytes of a batch: an answer, and up to a cache line. */
const ROOM_EACH = 2048;

function fresh(image: ImageChange) {
  const arena = createArena({ flowsMax: 64, imageWords: 1 << 16 }, 5);
  const d = new Datapath(arena, 11);
  new ImageWriter(arena).publish(image);
  return { d, b: createBatch() };
}

/** Runs frames as one batch between canaries and checks all invariants for arbitrary bytes. */
function check({ d, b }: ReturnType<typeof fresh>, frames: Uint8Array[], now: number): void {
  b.count = 0;
  const room = frames.reduce((sum, { length }) => sum + length + ROOM_EACH, ROOM_EACH);
  b.bytes.fill(CANARY, 0, room);
  for (const frame of frames) {
    b.bytes.set(frame, b.end());
    b.push(frame.length, 0);
  }
  assert.ok(b.end() + ROOM_EACH <= room, 'the last packet has canaries behind it');
  const given = b.count;
  const before = Array.from({ length: given }, (_, i) => b.p[i * P_WORDS + P_START]!);
  const sound = frames.map((frame) => frame.length >= 30 && isSound(frame));
  const [packets, dropped] = [d.counters[COUNT_PACKETS]!, drops(d)];
  run(d, b, now);
  assert.ok(b.count >= given);
  assert.equal(d.counters[COUNT_PACKETS]! - packets, given, 'every packet is counted once');
  let lost = 0;
  for (let i = 0; i < b.count; i++) {
    const r = i * P_WORDS;
    const verdict = b.p[r + P_VERDICT]!;
    assert.ok(verdict <= VERDICT_HELD && -verdict < DROP_REASONS.length, `verdict ${verdict}`);
    if (verdict < 0) lost++;
    if (i >= given) continue;
    const start = b.p[r + P_START]!;
    const length = b.p[r + P_LENGTH]!;
    assert.equal(start, before[i], 'a packet stays where it is');
    const end = start + Math.max(length, frames[i]!.length);
    const next = i + 1 < given ? before[i + 1]! : end + 64;
    // An answer may be longer than the packet that it replaces, but never reaches the next one.
    for (let at = end; at < next; at++) {
      assert.equal(b.bytes[at], CANARY, `byte ${at - start} behind packet ${i} (${verdict})`);
    }
    if (verdict === 0 && sound[i]) {
      const { ipOk, l4Ok } = decode(b.bytes.slice(start, start + length));
      assert.ok(ipOk && l4Ok, `packet ${i} was sound before`);
    }
  }
  assert.equal(drops(d) - dropped, lost, 'every drop has its counter');
}

function drops(d: Datapath): number {
  let sum = 0;
  for (let reason = 1; reason < DROP_REASONS.length; reason++) sum += d.counters[reason]!;
  return sum;
}

/** True for an unfragmented packet with correct checksums and consistent lengths. */
function isSound(frame: Uint8Array): boolean {
  const ip = frame.subarray(10);
  const fragment = ((ip[6]! & 0x3f) << 8) | ip[7]!;
  const total = ip[2]! * 256 + ip[3]!;
  if (ip[0]! >> 4 !== 4 || fragment !== 0 || total !== ip.length) return false;
  if (![1, 6, 17].includes(ip[9]!) || ip.length < (ip[0]! & 15) * 4 + 20) return false;
  // The decoder ignores a partial checksum outside the protocol's field.
  const sumAt = ip[9] === 6 ? 16 : 6;
  const [start, offset] = [frame[6]! + frame[7]! * 256, frame[8]! + frame[9]! * 256];
  const partial = (frame[0]! & 1) !== 0;
  if (partial && (start !== (ip[0]! & 15) * 4 || offset !== sumAt)) return false;
  const { ipOk, l4Ok } = decode(frame);
  return ipOk && l4Ok;
}

const flags = fc.constantFrom(SYN, ACK, SYN | ACK, FIN | ACK, RST, RST | ACK, 0, 63);
const payload = fc.uint8Array({ maxLength: 64 }).map((bytes) => [...bytes]);
const port = fc.constantFrom(80, 53, 8080, 5353, 30_080, 4000, 4001, 40_000);
const place = fc.constantFrom(
  POD,
  BACKEND,
  VIP,
  NODE,
  OUTSIDE,
  '10.96.0.99',
  '10.96.7.7',
  '0.0.0.0',
  '255.255.255.255',
  '224.0.0.1',
  '127.0.0.1',
  PUBLIC1,
  BALANCED,
  '198.51.100.200',
);
const end = fc.tuple(place, port).map(([address, number]) => `${address}:${number}`);
const seq = fc.nat({ max: 0xffff_ffff });

const packet: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc
    .tuple(end, end, flags, payload, seq, seq, fc.boolean())
    .map(([from, to, f, data, s, a, partial]) =>
      tcp4(from, to, f, data, { seq: s, ack: a, partial }),
    ),
  fc
    .tuple(end, end, payload, fc.boolean())
    .map(([from, to, data, partial]) => udp4(from, to, data, { partial })),
  fc
    .tuple(place, place, fc.nat(0xffff), fc.boolean())
    .map(([from, to, id, reply]) => echo4(from, to, id, reply)),
);

/** A packet, a fragment of one, or an ICMP error about one. */
const related: fc.Arbitrary<Uint8Array[]> = fc.oneof(
  { weight: 4, arbitrary: packet.map((one) => [one]) },
  { weight: 1, arbitrary: packet.map((one) => fragment4(one, 16)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(packet, place, place, fc.constantFrom(3, 4, 5, 11, 12), fc.nat(15))
      .map(([one, from, to, type, code]) => [icmpError4(from, to, type, code, one)]),
  },
);

/** Bytes of a packet changed, cut off or added. */
const mutated = fc
  .tuple(packet, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }), fc.nat(90), fc.nat(5))
  .map(([one, changes, cut, how]) => {
    const bytes = Uint8Array.from(one);
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    if (how === 0) return bytes.slice(0, Math.min(cut, bytes.length));
    if (how === 1) return Uint8Array.from([...bytes, ...new Uint8Array(cut)]);
    return bytes;
  });

const junk = fc.uint8Array({ maxLength: 200 });
const frames = (one: fc.Arbitrary<Uint8Array[]>) =>
  fc.array(one, { minLength: 1, maxLength: 12 }).map((lists) => lists.flat().slice(0, 60));

const KINDS = [
  ['valid packets of every kind', related, 1500],
  ['mutated packets', mutated.map((m) => [m]), 4000],
  ['random bytes', junk.map((j) => [j]), 2000],
] as const;
for (const [role, image] of [
  ['a node', DEFAULT_IMAGE],
  ['a gateway', GATEWAY_IMAGE],
] as const) {
  for (const [what, one, runs] of KINDS) {
    test(`${role}: batches of ${what}`, () => {
      const world = fresh(image);
      let now = 0;
      fc.assert(
        fc.property(frames(one), fc.nat(5000), (batch, pause) => {
          now = (now + pause) | 0;
          check(world, batch, now);
          tick(world.d, now);
        }),
        { numRuns: runs },
      );
    });
  }
}
