import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BACKEND, createTestDatapath, POD, VIP } from '../../../support/datapath.ts';
import { ACK, icmpError4, ip4, SYN, tcp4, udp4 } from '../../../support/packets.ts';

function patched(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const copy = frame.slice();
  copy.set(bytes, 10 + at);
  return copy;
}

/** Corrects the header's checksum after a change. */
function resummed(frame: Uint8Array): Uint8Array {
  const o = { ttl: frame[18]!, id: 7, fragment: frame[16]! * 256 + frame[17]! };
  const dotted = (n: number): string => frame.subarray(10 + n, 14 + n).join('.');
  return ip4(dotted(12), dotted(16), frame[19]!, Array.from(frame.subarray(30)), o);
}

const syn = tcp4(`${POD}:4000`, `${VIP}:80`, SYN);
const datagram = udp4(`${POD}:4000`, `${VIP}:53`);
const errorPacket = icmpError4('192.0.2.1', POD, 3, 4, syn);

const ROWS: [string, Uint8Array, string][] = [
  ['nothing behind the virtio header', syn.subarray(0, 10), 'short'],
  ['19 bytes', syn.subarray(0, 29), 'short'],
  ['version 6', patched(syn, 0, 0x65), 'not-ipv4'],
  ['a header of four words', patched(syn, 0, 0x44), 'ip-length'],
  ['a header longer than the packet', patched(syn, 0, 0x4f), 'ip-length'],
  ['a total length beyond the frame', patched(syn, 2, 0x40), 'ip-length'],
  ['a total length below the header', patched(syn, 2, 0, 19), 'ip-length'],
  ['a wrong header checksum', patched(syn, 11, (syn[21]! + 1) & 255), 'ip-checksum'],
  ['TCP cut short', ip4(POD, VIP, 6, new Array(19).fill(0)), 'l4-length'],
  ['a TCP header of four words', patched(syn, 32, 0x40), 'l4-length'],
  ['a TCP header beyond the packet', patched(syn, 32, 0xf0), 'l4-length'],
  ['SYN and FIN', tcp4(`${POD}:1`, `${VIP}:80`, 3), 'tcp-flags'],
  ['no flags at all', tcp4(`${POD}:1`, `${VIP}:80`, 0), 'tcp-flags'],
  ['FIN, PSH and URG', tcp4(`${POD}:1`, `${VIP}:80`, 0x29), 'tcp-flags'],
  ['UDP cut short', ip4(POD, VIP, 17, [0, 1, 0, 2, 0, 8, 0]), 'l4-length'],
  ['a UDP length of 7', patched(datagram, 24, 0, 7), 'l4-length'],
  ['a UDP length beyond the packet', patched(datagram, 24, 9, 0), 'l4-length'],
  ['ICMP cut short', ip4(POD, VIP, 1, [8, 0, 0, 0]), 'l4-length'],
  ['SCTP cut short', ip4(POD, VIP, 132, [0, 1, 0, 2]), 'l4-length'],
  ['an ICMP error with a wrong sum', patched(errorPacket, 30, 1), 'icmp-checksum'],
  [
    'a fragment beyond 65,535',
    ip4(POD, VIP, 17, new Array(16).fill(0), { fragment: 0x1fff }),
    'fragment-range',
  ],
];

for (const [what, frame, reason] of ROWS) {
  test(`${what} is dropped as ${reason} and counted`, () => {
    const t = createTestDatapath();
    assert.equal(t.one(frame).verdict, reason);
    assert.equal(t.counter(reason), 1);
  });
}

test('a partial checksum outside the packet is dropped', () => {
  const t = createTestDatapath();
  const frame = tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { partial: true });
  frame[8] = 200;
  assert.equal(t.one(frame).verdict, 'vnet-header');
  const early = tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { partial: true });
  early[6] = 4;
  assert.equal(t.one(early).verdict, 'vnet-header');
});

test("a partial checksum may end at the packet's last byte and starts after the header", () => {
  const bytes = syn.length - 10;
  const t = createTestDatapath();
  for (let start = 0; start <= bytes + 2; start++) {
    for (const offset of [0, 1, 16, bytes - start - 2, bytes - start - 1, 0xffff]) {
      if (offset < 0) continue;
      const frame = tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { partial: true });
      new DataView(frame.buffer).setUint16(6, start, true);
      new DataView(frame.buffer).setUint16(8, offset, true);
      const isWithin = start >= 20 && start + offset + 2 <= bytes;
      const { verdict } = t.one(frame);
      assert.equal(verdict, isWithin ? 'forward' : 'vnet-header', `${start} + ${offset}`);
    }
  }
});

test('a frame longer than its packet is cut to it', () => {
  const t = createTestDatapath();
  const { verdict, frame, packet } = t.one(Uint8Array.from([...syn, 1, 2, 3, 4]));
  assert.equal(verdict, 'forward');
  assert.equal(frame.length, syn.length);
  assert.ok(packet.l4Ok);
});

test('IP options stay, and the partial sum after them is found by the virtio header', () => {
  const t = createTestDatapath();
  const options = [1, 1, 1, 1, 1, 1, 1, 0];
  const o = { options, partial: true, gsoSize: 1400 };
  const { packet, frame } = t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], o));
  assert.deepEqual([packet.dst, packet.ipOk, packet.l4Ok], [BACKEND, true, true]);
  assert.deepEqual(Array.from(frame.subarray(30, 38)), options);
  assert.equal(frame[6], 28);
});

test('a segment of 64 KiB keeps its virtio header', () => {
  const t = createTestDatapath();
  t.send(syn, tcp4(`${BACKEND}:8080`, `${POD}:4000`, SYN | ACK, [], { ack: 1001, seq: 1 }));
  const data = new Array(65_000).fill(7);
  const o = { partial: true, gsoSize: 1448, seq: 1001, ack: 2 };
  const big = tcp4(`${POD}:4000`, `${VIP}:80`, ACK, data, o);
  const { frame, packet } = t.one(big);
  assert.deepEqual(frame.subarray(0, 10), big.subarray(0, 10));
  assert.deepEqual([packet.totalLength, packet.l4Ok], [65_040, true]);
});

test('resumming an unchanged frame changes nothing', () => {
  assert.deepEqual(resummed(syn), syn);
});
