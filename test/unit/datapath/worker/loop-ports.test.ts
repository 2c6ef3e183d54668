// The loop over many ports of pods, with devices in memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDevice } from '../../../../datapath/io/memory.ts';
import { BATCH_PACKETS_MAX, createBatch } from '../../../../datapath/pipeline/batch.ts';
import { Loop } from '../../../../datapath/worker/loop.ts';
import { addr, createTestDatapath, NODE, OUTSIDE } from '../../../support/datapath.ts';
import { decode, udp4 } from '../../../support/packets.ts';

const PODS = 200;
const NOW = 5000;
const address = (n: number) => `10.244.1.${n}`;

/** kt0 as port 0, and ports 1 to PODS. What is pushed into a device makes its port ready. */
function nodeOf() {
  const t = createTestDatapath();
  const b = createBatch();
  const lost: string[] = [];
  const loop = new Loop(t.d, b, 0, NOW, {
    lost: (port) => lost.push(`lost ${port}`),
    found: (port) => lost.push(`found ${port}`),
  });
  const devices = Array.from({ length: PODS + 1 }, (_, n) => {
    const device = new MemoryDevice(`port${n}`, b.bytes);
    loop.setPort(n, { device, ...(n > 0 && { address: addr(address(n)) }) });
    return device;
  });
  loop.turn(NOW);
  const push = (port: number, ...frames: Uint8Array[]) => {
    devices[port]!.incoming.push(...frames);
    loop.markReady(port);
  };
  const kernel = () => devices[0]!.outgoing.map((frame) => decode(frame).sport);
  return { t, b, loop, devices, push, kernel, lost };
}

/** A datagram from pod `n` to the node, whose source port names it. */
const frameOf = (n: number, bytes = 8) =>
  udp4(`${address(n)}:${20_000 + n}`, `${NODE}:9`, new Array(bytes).fill(n & 255));

test('a flooding port delays the packet of each of 199 others by less than one turn', () => {
  const { loop, push, kernel } = nodeOf();
  const flood = Array.from({ length: 5000 }, () => frameOf(1));
  push(1, ...flood);
  for (let n = 2; n <= PODS; n++) push(n, frameOf(n));
  loop.turn(NOW);
  const counts = new Map<number, number>();
  for (const sport of kernel()) counts.set(sport, (counts.get(sport) ?? 0) + 1);
  assert.equal(counts.size, PODS);
  assert.equal(counts.get(20_001), 64, 'the share of one turn');
  assert.ok(loop.isReady, 'the rest is left for the next turn');
});

test('all ports flood: each gets the same share of every turn', () => {
  const { loop, push, kernel, devices } = nodeOf();
  const one = (n: number) => Array.from({ length: 200 }, () => frameOf(n));
  for (let n = 1; n <= PODS; n++) push(n, ...one(n));
  for (let turn = 1; turn <= 3; turn++) {
    loop.turn(NOW);
    const counts = new Map<number, number>();
    for (const sport of kernel()) counts.set(sport, (counts.get(sport) ?? 0) + 1);
    assert.deepEqual([...new Set(counts.values())], [64 * turn]);
    assert.equal(counts.size, PODS);
  }
  loop.turn(NOW);
  loop.turn(NOW);
  assert.equal(kernel().length, PODS * 200, 'nothing is lost');
  assert.ok(!loop.isReady && devices.every(({ incoming }) => incoming.length === 0));
});

test('large packets: a port gives 256 KiB a turn, so that small packets of others do not wait', () => {
  const { loop, push, kernel } = nodeOf();
  const large = frameOf(1, 60_000);
  push(1, ...Array.from({ length: 20 }, () => large));
  push(2, frameOf(2));
  loop.turn(NOW);
  const sent = kernel();
  assert.equal(sent.filter((sport) => sport === 20_001).length, 5);
  assert.equal(sent.filter((sport) => sport === 20_002).length, 1);
});

test('a batch that is full in the middle of a port goes on with the same port', () => {
  const { t, loop, push, kernel } = nodeOf();
  // 6 ports of 64 packets are one batch and a half.
  for (let n = 1; n <= 6; n++) push(n, ...Array.from({ length: 50 }, () => frameOf(n)));
  loop.turn(NOW);
  assert.deepEqual(
    kernel(),
    [1, 2, 3, 4, 5, 6].flatMap((n) => new Array(50).fill(20_000 + n)),
    'every packet in its order',
  );
  assert.equal(t.counter('batches'), 2);
});

test('packets of several ports share a batch', () => {
  const { t, loop, push, kernel } = nodeOf();
  for (let n = 1; n <= 100; n++) push(n, frameOf(n));
  loop.turn(NOW);
  assert.equal(kernel().length, 100);
  assert.equal(t.counter('batches'), 1);
});

test('the port of the kernel may fill a batch, and cannot starve a pod', () => {
  const { loop, push, devices } = nodeOf();
  const inbound = Array.from({ length: 3 * BATCH_PACKETS_MAX }, () =>
    udp4(`${OUTSIDE}:9`, `${address(7)}:53`),
  );
  push(0, ...inbound);
  push(3, frameOf(3));
  loop.turn(NOW);
  assert.equal(devices[7]!.outgoing.length, BATCH_PACKETS_MAX);
  assert.equal(devices[0]!.outgoing.length, 1);
});

test('a full or lost port drops only its own packets', () => {
  const { t, loop, push, devices, lost } = nodeOf();
  devices[7]!.isFull = true;
  devices[8]!.isLost = true;
  const to = (n: number) => udp4(`${OUTSIDE}:9`, `${address(n)}:53`);
  push(0, to(6), to(7), to(8), to(9));
  loop.markReady(8);
  loop.turn(NOW);
  assert.deepEqual(
    [6, 7, 8, 9].map((n) => devices[n]!.outgoing.length),
    [1, 0, 0, 1],
  );
  assert.deepEqual([t.counter('write-errors'), t.counter('read-errors')], [2, 1]);
  assert.deepEqual(lost, ['lost 8']);
  // A tick tries it again.
  devices[8]!.isLost = false;
  devices[8]!.incoming.push(frameOf(8));
  loop.turn(NOW + 100);
  loop.turn(NOW + 101);
  assert.deepEqual(lost, ['lost 8', 'found 8']);
  assert.equal(devices[0]!.outgoing.length, 1);
});

test('a removed port is read no longer, and packets to it go to the kernel', () => {
  const { loop, push, devices } = nodeOf();
  push(5, frameOf(5));
  loop.setPort(5, null);
  push(0, udp4(`${OUTSIDE}:9`, `${address(5)}:53`));
  loop.turn(NOW);
  assert.equal(devices[5]!.incoming.length, 1);
  assert.equal(devices[5]!.outgoing.length, 0);
  assert.deepEqual(
    devices[0]!.outgoing.map((frame) => decode(frame).dst),
    [address(5)],
  );
});

test('the MTU of a device is read when its port begins, and again after a change', () => {
  const { t, b, loop, push, devices } = nodeOf();
  const large = udp4(`${OUTSIDE}:9`, `${address(7)}:53`, new Array(1400).fill(7));
  const answers = () => devices[0]!.outgoing.map((frame) => decode(frame).type);
  push(0, large);
  loop.turn(NOW);
  assert.equal(devices[7]!.outgoing.length, 1);
  devices[7]!.mtuBytes = 1280;
  loop.measure(7);
  push(0, large);
  loop.turn(NOW);
  assert.deepEqual([devices[7]!.outgoing.length, answers()], [1, [3]]);
  loop.setPort(7, null);
  const other = new MemoryDevice('other', b.bytes);
  loop.setPort(7, { device: other, address: addr(address(7)) });
  push(0, large);
  loop.turn(NOW);
  assert.equal(other.outgoing.length, 1, 'the next port of the number has its own');
  assert.equal(t.counter('too-large'), 1);
});

test('a new pod gets the packets of its address at once, also by the port of an old one', () => {
  const { loop, push, devices } = nodeOf();
  loop.setPort(5, null);
  loop.setPort(5, { device: devices[5]!, address: addr('10.244.1.250') });
  push(0, udp4(`${OUTSIDE}:9`, '10.244.1.250:53'), udp4(`${OUTSIDE}:9`, `${address(5)}:53`));
  push(5, frameOf(5));
  loop.turn(NOW);
  assert.equal(devices[5]!.outgoing.length, 1);
  assert.equal(
    devices[0]!.outgoing.length,
    1,
    'the old address has no port, the old source no way',
  );
});
