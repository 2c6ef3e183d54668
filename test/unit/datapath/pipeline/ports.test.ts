import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PORT_POD, PORTS_MAX } from '../../../../datapath/pipeline/batch.ts';
import { PortMap } from '../../../../datapath/pipeline/ports.ts';
import {
  addr,
  BACKEND,
  change,
  createTestDatapath,
  DEFAULT_IMAGE,
  NODE,
  OUTSIDE,
  POD,
  pairs,
  service,
  VIP,
} from '../../../support/datapath.ts';
import {
  ACK,
  decode,
  echo4,
  fragment4,
  icmpError4,
  ip4,
  SYN,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const NEAR = '10.244.1.6';
const POD_PORT = 2;
const NEAR_PORT = 3;
const FROM_POD = POD_PORT | PORT_POD;
const FROM_NEAR = NEAR_PORT | PORT_POD;
const KERNEL = 0;

/** A node with two pods by TUN, POD and NEAR. The Service web has NEAR as its endpoint. */
function podsOf() {
  const image = change({
    ...DEFAULT_IMAGE,
    upsert: [service(1, { cluster: pairs(`${NEAR}:8080`) }), ...DEFAULT_IMAGE.upsert.slice(1)],
  });
  const t = createTestDatapath({ image });
  t.d.ports.set(POD_PORT, addr(POD));
  t.d.ports.set(NEAR_PORT, addr(NEAR));
  const from = (port: number, frame: Uint8Array) => {
    t.port = port;
    return t.one(frame);
  };
  return { t, from };
}

const PROTOCOLS: [string, (from: string, to: string) => Uint8Array][] = [
  ['TCP', (from, to) => tcp4(`${from}:4000`, `${to}:80`, SYN)],
  ['UDP', (from, to) => udp4(`${from}:4000`, `${to}:80`)],
  ['ICMP', (from, to) => echo4(from, to, 7)],
];
for (const [name, packet] of PROTOCOLS) {
  test(`${name} of a pod leaves by the port of a local pod, else by the kernel`, () => {
    const { from } = podsOf();
    const outs = [NEAR, BACKEND, OUTSIDE, NODE, '10.244.1.77'].map((to) => {
      const { verdict, out } = from(FROM_POD, packet(POD, to));
      return [verdict, out];
    });
    assert.deepEqual(outs, [
      ['forward', NEAR_PORT],
      ...Array.from({ length: 4 }, () => ['forward', KERNEL]),
    ]);
  });

  test(`${name} from the kernel leaves by the port of a local pod, else by the kernel`, () => {
    const { from } = podsOf();
    const outs = [POD, BACKEND].map((to) => from(KERNEL, packet(NODE, to)).out);
    assert.deepEqual(outs, [POD_PORT, KERNEL]);
  });
}

test('a Service connection between two local pods goes from port to port, both ways', () => {
  const { t, from } = podsOf();
  const request = from(FROM_POD, tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
  assert.deepEqual([request.packet.dst, request.out], [NEAR, NEAR_PORT]);
  const answer = (flags: number, seq: number) =>
    from(FROM_NEAR, tcp4(`${NEAR}:8080`, `${POD}:4000`, flags, [], { seq, ack: 1001 }));
  const reply = answer(SYN | ACK, 9);
  assert.deepEqual([reply.packet.src, reply.out], [VIP, POD_PORT]);
  const segment = () =>
    from(
      FROM_POD,
      tcp4(`${POD}:4000`, `${VIP}:80`, ACK, [1], { seq: 1001, ack: 10, partial: true }),
    );
  segment();
  // From here on the fast path.
  const fast = segment();
  assert.deepEqual([fast.packet.dst, fast.out, fast.packet.ttl], [NEAR, NEAR_PORT, 62]);
  assert.ok(fast.packet.ipOk && fast.packet.l4Ok);
  assert.equal(answer(ACK, 10).out, POD_PORT);
  assert.equal(t.counter('forwarded'), 5);
});

test('a pod that reaches itself through a Service gets its packet back by its own port', () => {
  const { from } = podsOf();
  const request = from(FROM_NEAR, tcp4(`${NEAR}:4000`, `${VIP}:80`, SYN));
  assert.deepEqual([request.packet.src, request.packet.dst, request.out], [NODE, NEAR, NEAR_PORT]);
  const { sport } = request.packet;
  const reply = from(
    FROM_NEAR,
    tcp4(`${NEAR}:8080`, `${NODE}:${sport}`, SYN | ACK, [], { ack: 1001 }),
  );
  assert.deepEqual([reply.packet.src, reply.packet.dst, reply.out], [VIP, NEAR, NEAR_PORT]);
});

test('a refusal leaves by the port of the pod that it answers', () => {
  const { from } = podsOf();
  const { verdict, out, packet } = from(FROM_POD, tcp4(`${POD}:4000`, '10.96.0.99:80', SYN));
  assert.deepEqual([verdict, out, packet.dst], ['reply', POD_PORT, POD]);
});

test('an ICMP error about a packet of a pod leaves by its port, with the address that it used', () => {
  const { from } = podsOf();
  const sent = from(FROM_POD, udp4(`${POD}:4000`, `${OUTSIDE}:9`));
  const error = icmpError4(OUTSIDE, NODE, 3, 4, sent.frame, 1400);
  const { out, packet } = from(KERNEL, error);
  assert.deepEqual([out, packet.dst], [POD_PORT, POD]);
});

test('later fragments follow the port of their datagram', () => {
  const { t } = podsOf();
  const data = Array.from({ length: 2000 }, (_, n) => n & 255);
  const pieces = fragment4(udp4(`${POD}:4000`, `${NEAR}:9`, data, { id: 5 }), 1480);
  t.port = FROM_POD;
  assert.deepEqual(
    t.send(...pieces.toReversed()).map(({ verdict, out }) => [verdict, out]),
    [
      ['held', POD_PORT],
      ['forward', NEAR_PORT],
      ['forward', NEAR_PORT],
    ],
  );
});

for (const [name, packet] of PROTOCOLS) {
  test(`${name} with a source other than the pod's address is dropped and counted`, () => {
    const { t, from } = podsOf();
    for (const source of [NEAR, OUTSIDE, NODE, '10.244.1.7']) {
      assert.equal(from(FROM_POD, packet(source, VIP)).verdict, 'spoofed');
    }
    assert.deepEqual([t.counter('spoofed'), t.counter('flows-made')], [4, 0]);
  });
}

test('a segment of an established connection from the port of another pod is dropped', () => {
  const { t, from } = podsOf();
  from(FROM_POD, tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
  from(FROM_NEAR, tcp4(`${NEAR}:8080`, `${POD}:4000`, SYN | ACK, [], { seq: 9, ack: 1001 }));
  const segment = () => tcp4(`${POD}:4000`, `${VIP}:80`, ACK, [1], { seq: 1001, ack: 10 });
  for (let n = 0; n < 3; n++) assert.equal(from(FROM_POD, segment()).verdict, 'forward');
  assert.equal(from(FROM_NEAR, segment()).verdict, 'spoofed');
  assert.equal(t.counter('spoofed'), 1);
});

test('every packet from a port without a pod is dropped', () => {
  const { t, from } = podsOf();
  t.d.ports.set(POD_PORT, 0);
  assert.equal(from(FROM_POD, udp4(`${POD}:1`, `${VIP}:53`)).verdict, 'spoofed');
  assert.equal(from(FROM_POD, udp4('0.0.0.0:1', `${VIP}:53`)).verdict, 'spoofed');
  assert.equal(from(KERNEL, udp4(`${NODE}:1`, `${POD}:53`)).out, KERNEL);
});

test('a protocol that no policy covers is dropped at the port of a pod', () => {
  const { t, from } = podsOf();
  for (const proto of [2, 4, 41, 47, 50, 255]) {
    assert.equal(from(FROM_POD, ip4(POD, NEAR, proto, [1, 2, 3, 4])).verdict, 'protocol');
  }
  assert.equal(t.counter('protocol'), 6);
});

test('a malformed packet of a pod is dropped by its own name', () => {
  const { from } = podsOf();
  const good = tcp4(`${POD}:4000`, `${VIP}:80`, SYN);
  const six = Uint8Array.from(good);
  six[10] = 0x60;
  const damaged = Uint8Array.from(good);
  damaged[20] = damaged[20]! ^ 1;
  const verdicts = [good.subarray(0, 29), six, damaged].map((f) => from(FROM_POD, f).verdict);
  assert.deepEqual(verdicts, ['short', 'not-ipv4', 'ip-checksum']);
});

const HOPS: [string, string, number, number, number][] = [
  // Way, destination, port in, TTL in and TTL out. Behind the kernel's port the kernel takes a hop.
  ['from pod to pod', NEAR, FROM_POD, 64, 63],
  ['from pod to pod', NEAR, FROM_POD, 255, 254],
  ['from pod to pod', NEAR, FROM_POD, 2, 1],
  ['from pod to kernel', BACKEND, FROM_POD, 64, 64],
  ['from pod to kernel', BACKEND, FROM_POD, 255, 255],
  ['from pod to kernel', NODE, FROM_POD, 2, 2],
  ['from kernel to pod', NEAR, KERNEL, 63, 63],
  ['from kernel to pod', NEAR, KERNEL, 1, 1],
  ['from kernel to kernel', BACKEND, KERNEL, 63, 64],
];
for (const [way, to, port, ttl, expected] of HOPS) {
  test(`${way}, TTL ${ttl}: the datapath makes it ${expected}`, () => {
    const { t, from } = podsOf();
    const source = port === KERNEL ? OUTSIDE : POD;
    const ends = [`${source}:4000`, `${to}:80`] as const;
    for (const frame of [udp4(...ends, [1], { ttl }), tcp4(...ends, SYN, [], { ttl })]) {
      const { packet, verdict } = from(port, frame);
      assert.deepEqual([verdict, packet.ttl, packet.ipOk], ['forward', expected, true]);
    }
    assert.equal(t.counter('ttl-exceeded'), 0);
  });
}

for (const ttl of [1, 0]) {
  test(`a pod's packet with TTL ${ttl} is answered by the node and makes no flow`, () => {
    const { t, from } = podsOf();
    for (const [, packetOf] of PROTOCOLS) {
      const frame = packetOf(POD, VIP);
      frame[18] = ttl;
      const sum = (frame[20]! << 8) + frame[21]! + ((63 - ttl) << 8);
      const folded = (sum & 0xffff) + (sum >>> 16);
      frame.set([folded >> 8, folded & 255], 20);
      assert.ok(decode(frame).ipOk);
      const { verdict, out, packet } = from(FROM_POD, frame);
      assert.deepEqual([verdict, out], ['reply', POD_PORT]);
      assert.deepEqual([packet.src, packet.dst, packet.type, packet.code], [NODE, POD, 11, 0]);
      assert.ok(packet.ipOk && packet.l4Ok);
      assert.deepEqual(packet.payload.subarray(0, 28), frame.subarray(10, 38), 'as it was sent');
    }
    assert.deepEqual([t.counter('ttl-exceeded'), t.counter('flows-made')], [3, 0]);
  });
}

test('no ICMP error and no later fragment is answered when its TTL ends', () => {
  const { t, from } = podsOf();
  const error = icmpError4(POD, NEAR, 3, 3, udp4(`${NEAR}:1`, `${POD}:2`));
  const withTtlOne = (frame: Uint8Array) =>
    ip4(POD, NEAR, frame[19]!, [...frame.subarray(30)], {
      ttl: 1,
      fragment: (frame[16]! << 8) | frame[17]!,
    });
  const later = fragment4(udp4(`${POD}:1`, `${NEAR}:2`, new Array(3000).fill(1)), 1480)[1]!;
  for (const frame of [error, later]) {
    assert.equal(from(FROM_POD, withTtlOne(frame)).verdict, 'unanswerable');
  }
  assert.equal(t.counter('ttl-exceeded'), 0);
});

test('a segment of 64 KiB passes from port to port with its virtio header', () => {
  const { from } = podsOf();
  const data = Array.from({ length: 8000 }, (_, n) => n & 255);
  const frame = tcp4(`${POD}:4000`, `${NEAR}:80`, ACK, data, { partial: true, gsoSize: 1460 });
  const { verdict, out, frame: sent, packet } = from(FROM_POD, frame);
  assert.deepEqual([verdict, out, packet.l4Ok], ['forward', NEAR_PORT, true]);
  assert.deepEqual(sent.subarray(0, 10), frame.subarray(0, 10));
});

test('the route map finds a full set of ports, and no other address', () => {
  const map = new PortMap(12_345);
  const address = (n: number) => (addr('10.244.0.0') + n) | 0;
  for (let n = 1; n < PORTS_MAX; n++) map.set(n, address(n));
  assert.equal(map.count, PORTS_MAX - 1);
  for (let n = 1; n < PORTS_MAX; n++) assert.equal(map.portOf(address(n)), n);
  for (const other of [0, 1, -1, address(0), address(PORTS_MAX)]) {
    assert.equal(map.portOf(other), 0);
  }
  for (let n = 1; n < PORTS_MAX; n += 2) map.set(n, 0);
  for (let n = 1; n < PORTS_MAX; n++) assert.equal(map.portOf(address(n)), n & 1 ? 0 : n);
});
