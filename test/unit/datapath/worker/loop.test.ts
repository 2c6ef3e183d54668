import assert from 'node:assert/strict';
import { test } from 'node:test';
import { H_NOW } from '../../../../datapath/arena/layout.ts';
import { MemoryDevice } from '../../../../datapath/io/memory.ts';
import { MERGE_UDP, Merger } from '../../../../datapath/merge/merge.ts';
import { BATCH_PACKETS_MAX, createBatch } from '../../../../datapath/pipeline/batch.ts';
import { Loop } from '../../../../datapath/worker/loop.ts';
import { addr, BACKEND, createTestDatapath, OUTSIDE, POD, VIP } from '../../../support/datapath.ts';
import { flowCount } from '../../../support/flow-count.ts';
import { ACK, decode, fragment4, RST, SYN, tcp4, udp4 } from '../../../support/packets.ts';

const NOW = 5000;
const data = (bytes: number) => Array.from({ length: bytes }, (_, i) => i & 255);
const syn = (port = 40_000) => tcp4(`${POD}:${port}`, `${VIP}:80`, SYN);

/** A loop over two devices, kt0 and kt1. Both are always ready, as for a spinning thread. */
function loopOf({ spoofed = false, now = NOW } = {}) {
  const t = createTestDatapath();
  const b = createBatch();
  const first = new MemoryDevice('kt0', b.bytes);
  const second = new MemoryDevice('kt1', b.bytes);
  const inner = new Loop(t.d, b, 0, now);
  inner.setPort(0, { device: first });
  inner.setPort(1, { device: second, spoofed });
  const loop = {
    lost: () => [...inner.lost.subarray(0, 2)],
    merge: (merger: Merger) => {
      inner.merger = merger;
    },
    turn(now: number) {
      for (const port of [0, 1]) if (inner.lost[port] === 0) inner.markReady(port);
      return inner.turn(now);
    },
  };
  return { t, loop, first, second };
}

test('writes forwarded packets to the device that they came from', () => {
  const { t, loop, first, second } = loopOf();
  first.incoming.push(syn());
  second.incoming.push(udp4(`${POD}:4000`, `${VIP}:53`, [1]));
  assert.equal(loop.turn(NOW), true);
  assert.deepEqual(
    [first, second].map(({ outgoing }) => outgoing.map((frame) => decode(frame).dst)),
    [[BACKEND], [BACKEND]],
  );
  assert.equal(t.counter('forwarded'), 2);
  assert.equal(loop.turn(NOW), false, 'there is nothing left to read');
});

test('writes answers and no dropped packets', () => {
  const { t, loop, first } = loopOf();
  first.incoming.push(
    tcp4(`${POD}:40000`, `${VIP}:80`, ACK),
    tcp4(`${POD}:40001`, '10.96.0.77:80', SYN),
  );
  loop.turn(NOW);
  const answers = first.outgoing.map((frame) => decode(frame));
  assert.deepEqual(
    answers.map(({ src, dst, flags }) => [src, dst, flags! & RST]),
    [[VIP, POD, RST]],
  );
  assert.equal(t.counter('unallocated'), 1);
});

test('reads at most one full batch per device and turn', () => {
  const { loop, first } = loopOf();
  for (let n = 0; n < BATCH_PACKETS_MAX + 3; n++) first.incoming.push(syn(20_000 + n));
  loop.turn(NOW);
  assert.equal(first.outgoing.length, BATCH_PACKETS_MAX);
  loop.turn(NOW);
  assert.equal(first.outgoing.length, BATCH_PACKETS_MAX + 3);
});

test('drops every packet of a spoofed port, even one of an established connection', () => {
  const { t, loop, first, second } = loopOf({ spoofed: true });
  const back = (flags: number) =>
    tcp4(`${BACKEND}:8080`, `${POD}:40000`, flags, [], { seq: 9, ack: 1 });
  const segment = () => tcp4(`${POD}:40000`, `${VIP}:80`, ACK, [], { seq: 1, ack: 10 });
  for (const packet of [syn(), back(SYN | ACK), segment(), segment()]) {
    first.incoming.push(packet);
    loop.turn(NOW);
  }
  assert.equal(first.outgoing.length, 4);
  second.incoming.push(segment(), syn(40_001), udp4(`${OUTSIDE}:1`, `${VIP}:53`, [1]));
  loop.turn(NOW);
  assert.deepEqual(second.outgoing, []);
  assert.equal(t.counter('spoofed'), 3);
  assert.equal(flowCount(t.d.table), 1, 'no flow is made of them');
});

test('counts a device that cannot be read and tries it again at the next tick', () => {
  const { t, loop, first, second } = loopOf();
  loop.turn(NOW);
  first.isLost = true;
  second.incoming.push(syn());
  loop.turn(NOW + 10);
  loop.turn(NOW + 20);
  assert.deepEqual(loop.lost(), [1, 0]);
  assert.equal(t.counter('read-errors'), 1, 'it is read once');
  assert.equal(second.outgoing.length, 1, 'the other device is served');
  first.isLost = false;
  first.incoming.push(syn(40_001));
  loop.turn(NOW + 99);
  assert.equal(first.outgoing.length, 0);
  loop.turn(NOW + 100);
  loop.turn(NOW + 101);
  assert.equal(first.outgoing.length, 1);
  assert.deepEqual(loop.lost(), [0, 0]);
});

test('serves the packets that it read before its device was lost', () => {
  const { t, loop, first } = loopOf();
  const { read } = first;
  let reads = 0;
  first.read = (at, bytes) => {
    if (++reads === 2) first.isLost = true;
    return read.call(first, at, bytes);
  };
  first.incoming.push(syn(), syn(40_001));
  assert.equal(loop.turn(NOW), true);
  assert.deepEqual([t.counter('packets'), t.counter('write-errors')], [1, 1]);
});

test('writes datagrams of one flow as one packet if it merges', () => {
  const { t, loop, first } = loopOf();
  const send = () => {
    for (const id of [1, 2]) {
      const datagram = udp4(`${POD}:4000`, `${VIP}:53`, [id, 0], { id, partial: true });
      first.incoming.push(datagram);
    }
    loop.turn(NOW);
    return first.outgoing.splice(0).map((frame) => decode(frame).payload);
  };
  assert.deepEqual(send(), [Uint8Array.of(1, 0), Uint8Array.of(2, 0)]);
  loop.merge(new Merger(MERGE_UDP));
  assert.deepEqual(send(), [Uint8Array.of(1, 0, 2, 0)]);
  assert.equal(t.counter('forwarded'), 4);
  assert.deepEqual([t.counter('merged-trains'), t.counter('merged-packets')], [1, 2]);
});

test('counts packets that a device refuses', () => {
  const { t, loop, first } = loopOf();
  first.isFull = true;
  first.incoming.push(syn(), syn(40_001));
  loop.turn(NOW);
  assert.deepEqual([t.counter('write-errors'), t.counter('forwarded')], [2, 2]);
});

test('a held fragment leaves by the port that it came from', () => {
  const { t, loop, first, second } = loopOf();
  const datagram = udp4(`${POD}:4000`, `${VIP}:53`, data(2000), { id: 7 });
  const [head, tail] = fragment4(datagram, 1480) as [Uint8Array, Uint8Array];
  second.incoming.push(tail);
  loop.turn(NOW);
  assert.equal(second.outgoing.length, 0);
  first.incoming.push(head);
  loop.turn(NOW);
  assert.deepEqual([first.outgoing.length, second.outgoing.length], [1, 1]);
  assert.equal(addr(decode(second.outgoing[0]!).dst), addr(BACKEND));
  assert.equal(t.counter('forwarded'), 2);
});

for (const now of [0, 1, 2 ** 31 - 1, -(2 ** 31), -1]) {
  test(`ticks in its first turn at clock ${now} and then every 100 ms`, () => {
    const { t, loop } = loopOf({ now });
    t.d.header[H_NOW] = 77;
    loop.turn(now);
    assert.equal(t.d.header[H_NOW], now);
    loop.turn((now + 99) | 0);
    assert.equal(t.d.header[H_NOW], now);
    loop.turn((now + 100) | 0);
    assert.equal(t.d.header[H_NOW], (now + 100) | 0);
  });
}
