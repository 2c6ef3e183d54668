// What leaves a device without offloads is the same with and without merging on write.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DROP_SPOOFED, VERDICT_REPLY } from '../../datapath/pipeline/verdict.ts';
import { type Packet, split, writeMerged } from '../support/merge.ts';
import { ACK, FIN, PSH, tcp4, udp4 } from '../support/packets.ts';

const CLIENTS = ['10.244.1.5:4000', '10.244.1.5:4001', '10.244.1.6:4000'];
const SERVER = '10.244.2.30:80';
const DATA_VALID = 2;
const DF = 0x4000;

/** A run of packets of one flow. Each differs from the expected next one by chance. */
interface Run {
  client: number;
  tcp: boolean;
  fragment: number;
  ttl: number;
  size: number;
  sum: 'partial' | 'valid' | 'unknown';
  fixedId: boolean;
  packets: { bytes: number; odd: number; value: number }[];
}

const USUAL = { weight: 8, arbitrary: fc.constant(0) };

const run = (fixedIds: boolean): fc.Arbitrary<Run> =>
  fc.record({
    client: fc.nat(CLIENTS.length - 1),
    tcp: fc.boolean(),
    fragment: fc.constantFrom(DF, DF, DF, 0, 0x2000),
    ttl: fc.constantFrom(63, 63, 64),
    size: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1000, 1400)),
    sum: fc.constantFrom('partial', 'partial', 'valid', 'unknown'),
    fixedId: fixedIds ? fc.boolean() : fc.constant(false),
    packets: fc.array(
      fc.record({
        // Change of the size.
        bytes: fc.oneof(USUAL, { weight: 1, arbitrary: fc.integer({ min: -40, max: 2 }) }),
        odd: fc.oneof(USUAL, { weight: 1, arbitrary: fc.nat(8) }),
        value: fc.nat(255),
      }),
      { minLength: 1, maxLength: 80, size: 'max' },
    ),
  });

/** The packets of a run, and how its batch treats them. */
function packetsOf({ client, tcp, packets, ...o }: Run, nth: number): Packet[] {
  let seq = 0xffff_ff00;
  // Runs of a flow do not repeat an identification, unless they keep one.
  let id = 65_500 + nth * 16_000;
  return packets.map(({ bytes, odd, value }) => {
    const size = Math.max(0, o.size + bytes);
    const data = Array.from({ length: size }, (_, i) => (value + i * 7) & 255);
    if (odd === 1) id += value;
    if (odd === 2) seq += value;
    const given = {
      ...{ id: id & 0xffff, ttl: o.ttl + (odd === 3 ? 1 : 0), fragment: o.fragment },
      ...{ partial: o.sum === 'partial', seq: seq >>> 0, ack: odd === 4 ? value : 7 },
      gsoSize: odd === 5 && o.sum === 'partial' ? 8 : 0,
    };
    const flags = ACK | (odd === 6 ? PSH : 0) | (odd === 7 && value % 8 === 0 ? FIN : 0);
    const from = CLIENTS[client]!;
    const frame = tcp ? tcp4(from, SERVER, flags, data, given) : udp4(from, SERVER, data, given);
    if (o.sum === 'valid') frame[0] = DATA_VALID;
    if (!o.fixedId) id++;
    seq += size;
    const verdict = odd === 8 ? [-DROP_SPOOFED, VERDICT_REPLY][value & 1]! : 0;
    return { frame, verdict, port: value === 9 ? 1 : 0 };
  });
}

/** What a device without offloads sends. `ignoreIds` zeroes identifications of packets with DF. */
function leaving(frames: Uint8Array[], ignoreIds: boolean): string[] {
  return frames.flatMap(split).map((frame) => {
    const hasDf = (frame[16]! & (DF >> 8)) !== 0;
    if (ignoreIds && hasDf) frame.fill(0, 14, 16).fill(0, 20, 22); // And the header's checksum.
    return Buffer.from(frame).toString('hex');
  });
}

for (const fixedIds of [false, true]) {
  const what = fixedIds ? ', but for the identification of packets with DF' : '';
  test(`the split output of a merged batch is the unmerged output byte for byte${what}`, () => {
    let merged = 0;
    fc.assert(
      fc.property(fc.array(run(fixedIds), { minLength: 1, maxLength: 4 }), (runs) => {
        const packets = runs.flatMap(packetsOf);
        const plain = writeMerged(packets, 0);
        const { written, ...counted } = writeMerged(packets);
        merged += counted.packets;
        const [left, expected] = [written, plain.written].map((one) => leaving(one, fixedIds));
        assert.equal(left!.length, expected!.length);
        for (const [n, frame] of left!.entries()) assert.equal(frame, expected![n]);
        const spared = plain.written.length - written.length;
        assert.equal(counted.packets - counted.trains, spared, 'counters tell the spared writes');
      }),
      { numRuns: 60 },
    );
    assert.ok(merged > 500, `${merged} packets were merged`);
  });
}
