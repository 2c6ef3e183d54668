// Translation changes the intended fields of a packet and no others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BACKEND,
  change,
  createTestDatapath,
  DEFAULT_IMAGE,
  frontend,
  NODE,
  OUTSIDE,
  POD,
  pairs,
  service,
  VIP,
} from '../../../support/datapath.ts';
import {
  ACK,
  crc32c,
  decode,
  hopBack,
  ip4,
  PSH,
  SYN,
  sum16,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const data = (bytes: number) => Array.from({ length: bytes }, (_, i) => (i * 31) & 255);

/** Offsets from the IPv4 header at which two frames differ; negative in the virtio header. */
function changed(a: Uint8Array, b: Uint8Array): number[] {
  assert.equal(a.length, b.length);
  return [...a.keys()].filter((at) => a[at] !== b[at]).map((at) => at - 10);
}

const within = (places: number[], ...ranges: [number, number][]) =>
  places.filter((at) => !ranges.some(([from, to]) => at >= from && at < to));

const TTL: [number, number] = [8, 9];
const IP_SUM: [number, number] = [10, 12];
const ADDRESSES: [number, number] = [12, 20];

test('only addresses, ports, TTL and sums change, in a full and a partial packet', () => {
  const options = [1, 1, 1, 0x83, 1, 1, 1, 0];
  for (const o of [
    {},
    { partial: true },
    { partial: true, gsoSize: 1400 },
    { options },
    { options, partial: true, gsoSize: 9 },
  ]) {
    const t = createTestDatapath();
    const l4 = 20 + ('options' in o ? options.length : 0);
    const tcp = tcp4(`${POD}:4000`, `${VIP}:80`, SYN, data(99), {
      ...o,
      tcpOptions: [2, 4, 5, 180],
    });
    const udp = udp4(`${POD}:4000`, `${VIP}:53`, data(99), o);
    for (const [sent, sumAt] of [
      [tcp, l4 + 16],
      [udp, l4 + 6],
    ] as const) {
      const { verdict, packet, frame } = t.one(sent);
      assert.deepEqual([verdict, packet.dst, packet.ttl], ['forward', BACKEND, 64]);
      const allowed: [number, number][] = [
        TTL,
        IP_SUM,
        ADDRESSES,
        [l4, l4 + 4],
        [sumAt, sumAt + 2],
      ];
      assert.deepEqual(within(changed(sent, frame), ...allowed), [], JSON.stringify(o));
      assert.ok(packet.ipOk && packet.l4Ok);
    }
  }
});

test('an untranslated packet changes only by its hop, with a flow and to the node itself', () => {
  const t = createTestDatapath();
  const plain = udp4(`${POD}:4000`, `${BACKEND}:53`, data(9), { ttl: 9 });
  const { frame, packet } = t.one(plain);
  assert.deepEqual(within(changed(plain, frame), TTL, IP_SUM), []);
  assert.deepEqual([packet.ttl, packet.ipOk], [10, true]);
  const toNode = udp4(`${POD}:4000`, `${NODE}:53`, data(9), { ttl: 9 });
  assert.deepEqual(t.one(toNode).frame, hopBack(toNode));
  const toItself = udp4(`${NODE}:4000`, `${NODE}:53`, data(9), { ttl: 9 });
  assert.deepEqual(t.one(toItself).frame, toItself);
});

test('one hop is restored at every TTL but 255, and the header sums right', () => {
  for (let ttl = 0; ttl <= 255; ttl++) {
    const t = createTestDatapath();
    const there = t.one(udp4(`${POD}:4000`, `${VIP}:53`, [1], { ttl, id: ttl * 257 })).packet;
    assert.deepEqual([there.ttl, there.ipOk], [Math.min(ttl + 1, 255), true]);
    const back = t.one(udp4(`${BACKEND}:5353`, `${POD}:4000`, [1], { ttl })).packet;
    assert.deepEqual([back.ttl, back.ipOk], [Math.min(ttl + 1, 255), true]);
  }
});

test('packets of and to the node itself are forwarded once and do not count as a hop', () => {
  const t = createTestDatapath();
  const there = t.one(tcp4(`${NODE}:33000`, `${VIP}:80`, SYN, [], { ttl: 64 })).packet;
  assert.equal(there.ttl, 65);
  const { src, sport } = there;
  const back = t.one(
    tcp4(`${BACKEND}:8080`, `${src}:${sport}`, SYN | ACK, [], { ack: 1001, ttl: 63 }),
  );
  assert.deepEqual([back.packet.dst, back.packet.ttl], [NODE, 64]);
});

/** A datagram whose checksum is zero after translation. */
function sumsToZero(t: ReturnType<typeof createTestDatapath>): Uint8Array {
  t.one(udp4(`${POD}:4000`, `${VIP}:53`, [0, 0]));
  for (let word = 0; word < 0x10000; word++) {
    const payload = [word >> 8, word & 255];
    // The checksum of the translated datagram, with the field as zero.
    const translated = udp4(`${POD}:4000`, `${BACKEND}:5353`, payload);
    if (translated[36] === 0xff && translated[37] === 0xff)
      return udp4(`${POD}:4000`, `${VIP}:53`, payload);
  }
  throw new Error('some word sums to zero');
}

test('a UDP checksum of zero is sent as 0xffff: zero means no checksum', () => {
  const t = createTestDatapath();
  const { frame, packet } = t.one(sumsToZero(t));
  assert.deepEqual([packet.dst, packet.l4Ok], [BACKEND, true]);
  assert.deepEqual([...frame.subarray(36, 38)], [0xff, 0xff]);
});

test('a UDP datagram without a checksum stays without one, in both directions', () => {
  const t = createTestDatapath();
  for (const frame of [
    udp4(`${POD}:4000`, `${VIP}:53`, [1], { noSum: true }),
    udp4(`${BACKEND}:5353`, `${POD}:4000`, [1], { noSum: true }),
  ]) {
    const out = t.one(frame);
    assert.deepEqual([...out.frame.subarray(36, 38)], [0, 0]);
    assert.ok(out.packet.ipOk);
  }
});

test('a wrong transport checksum stays wrong: translation does not hide damage', () => {
  const t = createTestDatapath();
  t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { seq: 9 }));
  for (const frame of [
    tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [1, 2], { seq: 9 }),
    udp4(`${POD}:1`, `${VIP}:53`, [5, 6]),
  ]) {
    frame[frame.length - 1] = frame.at(-1)! ^ 0x10;
    assert.equal(decode(frame).l4Ok, false);
    const { packet } = t.one(frame);
    assert.deepEqual([packet.dst, packet.ipOk, packet.l4Ok], [BACKEND, true, false]);
  }
});

test('an established connection with offloads keeps its virtio header in both directions', () => {
  const t = createTestDatapath();
  t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { seq: 999 }));
  t.one(tcp4(`${BACKEND}:8080`, `${POD}:4000`, SYN | ACK, [], { seq: 99, ack: 1000 }));
  t.one(tcp4(`${POD}:4000`, `${VIP}:80`, ACK, [], { seq: 1000, ack: 100 }));
  const o = { partial: true, gsoSize: 1448, tcpOptions: [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8] };
  for (const sent of [
    tcp4(`${POD}:4000`, `${VIP}:80`, ACK | PSH, data(30_000), { ...o, seq: 1000, ack: 100 }),
    tcp4(`${BACKEND}:8080`, `${POD}:4000`, ACK, data(30_000), { ...o, seq: 100, ack: 31_000 }),
  ]) {
    const { frame, packet } = t.one(sent);
    assert.deepEqual(frame.subarray(0, 10), sent.subarray(0, 10));
    assert.ok(packet.ipOk && packet.l4Ok);
    assert.deepEqual(frame.subarray(62), sent.subarray(62), 'data');
  }
});

/** An SCTP packet whose field holds its CRC, lowest byte first: RFC 9260 appendix A. */
function sctp4(from: string, to: string, ports: number[], chunks: number[]): Uint8Array {
  const body = [...ports, 1, 2, 3, 4, 0, 0, 0, 0, ...chunks];
  const crc = crc32c(body);
  return ip4(from, to, 132, [
    ...body.slice(0, 8),
    crc & 255,
    (crc >>> 8) & 255,
    (crc >>> 16) & 255,
    crc >>> 24,
    ...chunks,
  ]);
}

test('SCTP: ports change and the CRC is right for the packet; a wrong one stays wrong', () => {
  const image = change({
    ...DEFAULT_IMAGE,
    upsert: [service(9, { proto: 132, cluster: pairs(`${BACKEND}:9999`) })],
    addFrontends: [frontend(`${VIP}:3868`, 9, 0, 132)],
  });
  for (const bytes of [0, 4, 40, 1400]) {
    const t = createTestDatapath({ image });
    const sent = sctp4(POD, VIP, [0x0f, 0xa0, 0x0f, 0x1c], data(bytes));
    const { frame } = t.one(sent);
    const expected = sctp4(POD, BACKEND, [0x0f, 0xa0, 0x27, 0x0f], data(bytes));
    assert.deepEqual(frame.subarray(30), expected.subarray(30));
    const back = t.one(sctp4(BACKEND, POD, [0x27, 0x0f, 0x0f, 0xa0], data(bytes)));
    assert.deepEqual(
      back.frame.subarray(30),
      sctp4(VIP, POD, [0x0f, 0x1c, 0x0f, 0xa0], data(bytes)).subarray(30),
    );
    sent[40] = sent[40]! ^ 1; // In the CRC itself.
    assert.notDeepEqual(t.one(sent).frame.subarray(30), expected.subarray(30));
  }
});

test('SCTP with changed addresses only keeps its CRC, which does not cover them', () => {
  const t = createTestDatapath();
  const body = [0x0f, 0xa0, 0x0f, 0x1c, 1, 2, 3, 4, 0xaa, 0xbb, 0xcc, 0xdd, ...data(8)];
  const { frame } = t.one(ip4(POD, BACKEND, 132, body));
  assert.deepEqual([...frame.subarray(30)], body);
});

test('a packet of another protocol keeps its payload', () => {
  const t = createTestDatapath();
  const sent = ip4(POD, OUTSIDE, 50, data(64));
  const { packet, frame } = t.one(sent);
  assert.deepEqual([packet.src, packet.ipOk], [NODE, true]);
  assert.deepEqual(frame.subarray(30), sent.subarray(30));
  assert.equal(sum16(frame.subarray(10, 30)), 0xffff);
});
