import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MERGE_TCP, MERGE_UDP } from '../../../../datapath/merge/merge.ts';
import {
  DROP_SPOOFED,
  VERDICT_HELD,
  VERDICT_REPLY,
} from '../../../../datapath/pipeline/verdict.ts';
import { type Packet, split, writeMerged } from '../../../support/merge.ts';
import { ACK, FIN, PSH, RST, SYN, type TcpOptions, tcp4, udp4 } from '../../../support/packets.ts';

const URG = 32;
const ECE = 64;
const CWR = 128;
const DATA_VALID = 2;
const FROM = '10.244.1.5:4000';
const TO = '10.244.2.30:5353';
const data = (bytes: number, first = 0) =>
  Array.from({ length: bytes }, (_, i) => (first + i) & 255);

type Change = Partial<TcpOptions & { noSum: boolean }> & {
  bytes?: number;
  from?: string;
  to?: string;
  flags?: number;
  /** Bytes to put into the frame: [offset, value]. */
  poke?: [number, number][];
};

function poked(frame: Uint8Array, poke: [number, number][] = []): Uint8Array {
  for (const [at, value] of poke) frame[at] = value;
  return frame;
}

/** Datagram `n` of a flow, as a pod's kernel sends it. */
function datagram(n: number, { bytes = 100, from = FROM, to = TO, poke, ...o }: Change = {}) {
  return poked(udp4(from, to, data(bytes, n), { id: 100 + n, partial: true, ...o }), poke);
}

/** Segment `n` of a stream, 100 bytes each. */
function segment(
  n: number,
  { bytes = 100, from = FROM, to = TO, flags = ACK, poke, ...o }: Change = {},
) {
  const options = { id: 100 + n, seq: 5000 + n * 100, ack: 77, partial: true, ...o };
  return poked(tcp4(from, to, flags, data(bytes, n), options), poke);
}

const frames = (...list: Uint8Array[]): Packet[] => list.map((frame) => ({ frame }));
const lengths = (packets: Packet[], kinds?: number) =>
  writeMerged(packets, kinds).written.map((frame) => frame.length);

test('datagrams of one flow become one train, which splits into them', () => {
  const packets = [0, 1, 2].map((n) => datagram(n));
  const { written, trains, packets: carried } = writeMerged(frames(...packets));
  assert.deepEqual([written.length, trains, carried], [1, 1, 3]);
  const [train] = written as [Uint8Array];
  const view = new DataView(train.buffer);
  assert.deepEqual([train[0], train[1]], [1, 5], 'a partial checksum; VIRTIO_NET_HDR_GSO_UDP_L4');
  const vnet = [2, 4, 6, 8].map((at) => view.getUint16(at, true));
  assert.deepEqual(vnet, [28, 100, 20, 6], 'headers, segment size, checksum start and offset');
  assert.equal(view.getUint16(12), 28 + 300);
  assert.equal(view.getUint16(34), 8 + 300);
  assert.deepEqual(split(train), packets.flatMap(split));
});

test('segments of one flow become one segment, which splits into them', () => {
  const packets = [segment(0), segment(1), segment(2, { bytes: 40, flags: ACK | PSH })];
  const { written } = writeMerged(frames(...packets));
  const [train] = written as [Uint8Array];
  assert.deepEqual([written.length, train[0], train[1]], [1, 1, 1]);
  assert.deepEqual(split(train), packets.flatMap(split));
});

const PAIRS: [what: string, first: Change, second: Change, merged: boolean][] = [
  ['equal size', {}, {}, true],
  ['a shorter last one', {}, { bytes: 1 }, true],
  ['a longer one', {}, { bytes: 101 }, false],
  ['no payload', {}, { bytes: 0 }, false],
  ['another source port', {}, { from: '10.244.1.5:4001' }, false],
  ['another source', {}, { from: '10.244.1.6:4000' }, false],
  ['another destination port', {}, { to: '10.244.2.30:5354' }, false],
  ['another destination', {}, { to: '10.244.2.31:5353' }, false],
  ['another TTL', {}, { ttl: 62 }, false],
  ['another TOS', {}, { poke: [[11, 4]] }, false],
  ['DF on one only', {}, { fragment: 0 }, false],
  ['DF on none', { fragment: 0 }, { fragment: 0 }, true],
  ['a reserved flag', {}, { fragment: 0xc000 }, false],
  ['a fragment', {}, { fragment: 0x2000 }, false],
  ['a later fragment', {}, { fragment: 0x0010 }, false],
  ['IP options', { options: [1, 1, 1, 0] }, { options: [1, 1, 1, 0] }, false],
  ['identification that jumps', {}, { id: 102 }, false],
  ['equal identification with DF', {}, { id: 100 }, true],
  ['equal identification without DF', { fragment: 0 }, { fragment: 0, id: 100 }, false],
  ['identification that wraps', { id: 0xffff }, { id: 0 }, true],
  ['a checksum that nothing has verified', {}, { partial: false }, false],
  [
    'a checksum that the kernel has verified',
    {},
    { partial: false, poke: [[0, DATA_VALID]] },
    true,
  ],
  ['a train already', {}, { gsoSize: 50 }, false],
  ['a train before', { gsoSize: 50 }, {}, false],
  ['a partial checksum elsewhere', {}, { poke: [[8, 4]] }, false],
];

for (const [what, first, second, merged] of PAIRS) {
  const verb = merged ? 'merges' : 'does not merge';
  for (const [kind, make] of [
    ['datagrams', datagram],
    ['segments', segment],
  ] as const) {
    test(`${verb} ${kind}: ${what}`, () => {
      const { written } = writeMerged(frames(make(0, first), make(1, second)));
      assert.equal(written.length, merged ? 1 : 2);
    });
  }
}

test('does not merge datagrams without a checksum', () => {
  const without = (n: number) =>
    datagram(n, { noSum: true, partial: false, poke: [[0, DATA_VALID]] });
  assert.equal(writeMerged(frames(without(0), without(1))).written.length, 2);
});

test('does not merge datagrams whose UDP length is not that of the packet', () => {
  const wrong = (n: number) => datagram(n, { poke: [[35, 9]] });
  assert.equal(writeMerged(frames(wrong(0), wrong(1))).written.length, 2);
});

const TIMESTAMPS = (value: number) => [1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 9];
const SEGMENTS: [what: string, first: Change, second: Change, merged: boolean][] = [
  ['a gap in sequence', {}, { seq: 5101 }, false],
  ['a repeated segment', {}, { seq: 5000 }, false],
  ['sequence that wraps', { seq: 0xffff_ffce }, { seq: 50 }, true],
  ['another acknowledgement', {}, { ack: 78 }, false],
  ['another window', {}, { poke: [[44, 1]] }, false],
  ['another urgent pointer', {}, { poke: [[49, 1]] }, false],
  ['equal options', { tcpOptions: TIMESTAMPS(1) }, { tcpOptions: TIMESTAMPS(1) }, true],
  ['other options', { tcpOptions: TIMESTAMPS(1) }, { tcpOptions: TIMESTAMPS(2) }, false],
  ['options on one only', {}, { tcpOptions: [1, 1, 1, 1] }, false],
  ['PSH on the last', {}, { flags: ACK | PSH }, true],
  ['PSH on the first', { flags: ACK | PSH }, {}, false],
  ...[FIN, SYN, RST, URG, ECE, CWR].flatMap((flag): typeof SEGMENTS => [
    [`flag ${flag} on the last`, {}, { flags: ACK | flag }, false],
    [`flag ${flag} on the first`, { flags: ACK | flag }, {}, false],
    [`flag ${flag} on both`, { flags: ACK | flag }, { flags: ACK | flag }, false],
  ]),
  ['no ACK', { flags: 0 }, { flags: 0 }, false],
];

for (const [what, first, second, merged] of SEGMENTS) {
  test(`${merged ? 'merges' : 'does not merge'} segments: ${what}`, () => {
    const { written } = writeMerged(frames(segment(0, first), segment(1, second)));
    assert.equal(written.length, merged ? 1 : 2);
  });
}

test('a shorter packet or PSH ends a train', () => {
  const sent = frames(datagram(0), datagram(1, { bytes: 99 }), datagram(2, { bytes: 99 }));
  assert.deepEqual(lengths(sent), [38 + 199, 38 + 99]);
  const pushed = frames(segment(0), segment(1, { flags: ACK | PSH }), segment(2));
  assert.deepEqual(lengths(pushed), [50 + 200, 50 + 100]);
});

test('the identification of a train stays fixed or grows by one', () => {
  const ids = (...list: number[]) => frames(...list.map((id, n) => datagram(n, { id })));
  assert.deepEqual(lengths(ids(7, 7, 7)), [38 + 300]);
  assert.deepEqual(lengths(ids(7, 7, 8)), [38 + 200, 38 + 100]);
  assert.deepEqual(lengths(ids(7, 8, 8)), [38 + 200, 38 + 100]);
});

test('a train has at most 64 packets and 65,535 bytes', () => {
  const small = Array.from({ length: 130 }, (_, n) => datagram(n, { bytes: 1 }));
  assert.deepEqual(lengths(frames(...small)), [38 + 64, 38 + 64, 38 + 2]);
  const large = Array.from({ length: 50 }, (_, n) => datagram(n, { bytes: 1472 }));
  const [first] = lengths(frames(...large)) as [number];
  assert.equal(first, 38 + 44 * 1472);
  const pair = (bytes: number) => frames(datagram(0, { bytes: 32_754 }), datagram(1, { bytes }));
  assert.deepEqual(lengths(pair(32_753)), [10 + 65_535]);
  assert.equal(lengths(pair(32_754)).length, 2);
});

test('dropped and held packets are no part of a train and do not end it', () => {
  const sent: Packet[] = [
    { frame: datagram(0) },
    { frame: datagram(50), verdict: -DROP_SPOOFED },
    { frame: datagram(51), verdict: VERDICT_HELD },
    { frame: datagram(1) },
  ];
  assert.deepEqual(lengths(sent), [38 + 200]);
});

test('an answer and another flow end a train', () => {
  const answer = { frame: datagram(1), verdict: VERDICT_REPLY };
  assert.equal(lengths([{ frame: datagram(0) }, answer, { frame: datagram(1) }]).length, 3);
  const other = datagram(0, { from: '10.244.1.9:1' });
  assert.equal(lengths(frames(datagram(0), other, datagram(1))).length, 3);
});

test('packets that leave by different ports are not merged', () => {
  const sent = [0, 1, 1].map((port, n) => ({ frame: datagram(n), port }));
  assert.deepEqual(lengths(sent), [38 + 100, 38 + 200]);
});

test('merges only the kinds that are switched on', () => {
  const sent = () => frames(datagram(0), datagram(1), segment(0), segment(1));
  assert.equal(lengths(sent()).length, 2);
  assert.deepEqual(lengths(sent(), MERGE_UDP), [38 + 200, 50 + 100, 50 + 100]);
  assert.deepEqual(lengths(sent(), MERGE_TCP), [38 + 100, 38 + 100, 50 + 200]);
  assert.equal(lengths(sent(), 0).length, 4);
});
