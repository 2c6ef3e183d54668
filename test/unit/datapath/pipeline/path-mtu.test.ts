// The path MTU of a pod's port. test/e2e/path-mtu.test.ts shows that kernels believe the answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PORT_POD } from '../../../../datapath/pipeline/batch.ts';
import {
  addr,
  BACKEND,
  change,
  createTestDatapath,
  DEFAULT_IMAGE,
  NODE,
  OTHER_NODE,
  OUTSIDE,
  type Outcome,
  POD,
  pairs,
  service,
  VIP,
} from '../../../support/datapath.ts';
import {
  ACK,
  decode,
  fragment4,
  icmp4,
  icmpError4,
  ip4,
  SYN,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const NARROW = '10.244.1.6';
const POD_PORT = 2;
const NARROW_PORT = 3;
const FROM_POD = POD_PORT | PORT_POD;
const FROM_NARROW = NARROW_PORT | PORT_POD;
const KERNEL = 0;
const MTU = 1280;
const bytes = (count: number) => Array.from({ length: count }, (_, n) => n & 255);
/** UDP payload of a packet of this many bytes. */
const payload = (total: number) => bytes(total - 28);
const MAY_FRAGMENT = { fragment: 0 };

/** A node with two pods by TUN. NARROW has an MTU of 1280, and is the endpoint of both Services. */
function podsOf() {
  const [, dns, empty] = DEFAULT_IMAGE.upsert;
  const web = service(1, { cluster: pairs(`${NARROW}:8080`) });
  const udp = { ...dns!, cluster: pairs(`${NARROW}:5353`) };
  const t = createTestDatapath({ image: change({ ...DEFAULT_IMAGE, upsert: [web, udp, empty!] }) });
  t.d.ports.set(POD_PORT, addr(POD));
  t.d.ports.set(NARROW_PORT, addr(NARROW));
  t.d.ports.mtus[NARROW_PORT] = MTU;
  const from = (port: number, frame: Uint8Array) => {
    t.port = port;
    return t.one(frame);
  };
  return { t, from };
}

/** Checks the node's error for a frame as its sender sent it, but for TTL and checksums. */
function assertAnswer({ verdict, packet, frame }: Outcome, sent: Uint8Array, source = NODE): void {
  const { src, dst, type, code } = packet;
  const to = decode(sent).src;
  assert.deepEqual([verdict, src, dst, type, code], ['reply', source, to, 3, 4]);
  assert.ok(packet.ipOk && packet.l4Ok);
  assert.deepEqual([...frame.subarray(34, 38)], [0, 0, MTU >> 8, MTU & 255], 'the MTU');
  const [quote, original] = [packet.payload, sent.subarray(10)];
  assert.deepEqual(quote.subarray(12, 24), original.subarray(12, 24), 'addresses and ports');
  assert.equal(quote.length, Math.min(original.length, 548));
}

const LARGE: [what: string, frame: () => Uint8Array][] = [
  ['UDP to a Service', () => udp4(`${POD}:4000`, `${VIP}:53`, payload(MTU + 1))],
  ['UDP to the pod', () => udp4(`${POD}:4000`, `${NARROW}:9`, payload(1500))],
  ['a SYN with data', () => tcp4(`${POD}:4000`, `${VIP}:80`, SYN, bytes(1300))],
  ['an echo request', () => icmp4(POD, NARROW, 8, 0, [0, 7, 0, 1, ...bytes(1400)])],
  ['IP options', () => udp4(`${POD}:4000`, `${VIP}:53`, payload(MTU), { options: [1, 1, 1, 0] })],
  [
    'a train of datagrams',
    () => udp4(`${POD}:4000`, `${VIP}:53`, bytes(4000), { partial: true, gsoSize: 1253 }),
  ],
];
for (const [what, frame] of LARGE) {
  test(`${what} above the MTU of its port is answered for the address that the pod used`, () => {
    const { t, from } = podsOf();
    const answer = from(FROM_POD, frame());
    assertAnswer(answer, frame());
    assert.deepEqual([answer.out, answer.packet.ttl], [POD_PORT, 64]);
    assert.deepEqual([t.counter('too-large'), t.counter('forwarded')], [1, 0]);
  });
}

const SMALL: [what: string, frame: () => Uint8Array][] = [
  ['as large as the MTU', () => udp4(`${POD}:4000`, `${VIP}:53`, payload(MTU))],
  ['that may be fragmented', () => udp4(`${POD}:4000`, `${VIP}:53`, payload(1500), MAY_FRAGMENT)],
  [
    'of a train of datagrams that fit',
    () => udp4(`${POD}:4000`, `${VIP}:53`, bytes(4000), { partial: true, gsoSize: 1252 }),
  ],
  [
    'of a segment that is split into ones that fit',
    () => tcp4(`${POD}:4000`, `${NARROW}:80`, ACK, bytes(4000), { partial: true, gsoSize: 1240 }),
  ],
  [
    'that is an ICMP error',
    () => icmp4(POD, NARROW, 3, 3, [0, 0, 0, 0, ...udp4(`${NARROW}:1`, `${POD}:2`, bytes(1300))]),
  ],
];
for (const [what, frame] of SMALL) {
  test(`a packet ${what} reaches the pod whole`, () => {
    const { t, from } = podsOf();
    const { verdict, out, packet } = from(FROM_POD, frame());
    assert.deepEqual([verdict, out], ['forward', NARROW_PORT]);
    assert.equal(packet.totalLength, decode(frame()).totalLength);
    assert.equal(t.counter('too-large'), 0);
  });
}

test('fragments reach the pod, and of a datagram with DF the first one is answered', () => {
  const { t } = podsOf();
  t.port = FROM_POD;
  const datagram = udp4(`${POD}:4000`, `${NARROW}:9`, bytes(2900), { id: 5 });
  const verdictsOf = (df: number) => {
    const pieces = fragment4(datagram, 1480).map((piece) =>
      ip4(POD, NARROW, 17, [...piece.subarray(30)], {
        id: 5 + df,
        fragment: df | (piece[16]! << 8) | piece[17]!,
      }),
    );
    return t.send(...pieces).map(({ verdict, out }) => [verdict, out]);
  };
  const passed = ['forward', NARROW_PORT];
  assert.deepEqual(verdictsOf(0), [passed, passed]);
  assert.deepEqual(verdictsOf(0x4000), [['reply', POD_PORT], passed]);
});

for (const useFastPath of [true, false]) {
  test(`a segment of an established connection, fast path ${useFastPath}`, () => {
    const { t, from } = podsOf();
    t.d.useFastPath = useFastPath;
    const segment = (count: number, seq: number, gsoSize = 0) =>
      tcp4(`${POD}:4000`, `${VIP}:80`, ACK, bytes(count), { seq, ack: 10, partial: true, gsoSize });
    from(FROM_POD, tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
    from(FROM_NARROW, tcp4(`${NARROW}:8080`, `${POD}:4000`, SYN | ACK, [], { seq: 9, ack: 1001 }));
    for (const seq of [1001, 1002]) {
      assert.equal(from(FROM_POD, segment(1, seq)).verdict, 'forward');
    }
    for (const large of [segment(1241, 1003), segment(8000, 1003, 1241)]) {
      const answer = from(FROM_POD, large);
      assertAnswer(answer, large);
      assert.equal(answer.out, POD_PORT);
    }
    assert.equal(from(FROM_POD, segment(8000, 1003, 1240)).out, NARROW_PORT);
    assert.equal(t.counter('too-large'), 2);
  });
}

test('an answer to another node or to a client outside leaves by the kernel', () => {
  const { from } = podsOf();
  const direct = udp4(`${BACKEND}:4000`, `${NARROW}:9`, payload(1400));
  const toBackend = from(KERNEL, direct);
  assertAnswer(toBackend, direct);
  assert.equal(toBackend.out, KERNEL);
  // A masqueraded client gets it from the address that it dialled.
  const outside = tcp4(`${OUTSIDE}:4000`, `${NODE}:30080`, SYN, bytes(1300));
  const toOutside = from(KERNEL, outside);
  assertAnswer(toOutside, outside, NODE);
  assert.equal(toOutside.out, KERNEL);
});

test("the node's own socket and a pod that dials itself are answered", () => {
  const { from } = podsOf();
  const own = udp4(`${NODE}:4000`, `${NARROW}:9`, payload(1400));
  const toNode = from(KERNEL, own);
  assertAnswer(toNode, own);
  assert.deepEqual([toNode.out, toNode.packet.ttl], [KERNEL, 64], 'its kernel takes no hop');
  const hairpin = udp4(`${NARROW}:4000`, `${VIP}:53`, payload(1400));
  const toItself = from(FROM_NARROW, hairpin);
  assertAnswer(toItself, hairpin, VIP);
  assert.equal(toItself.out, NARROW_PORT);
});

test('packets to other pods and to the kernel have no limit here', () => {
  const { t, from } = podsOf();
  for (const to of [OTHER_NODE, OUTSIDE, BACKEND, POD]) {
    const sent = from(FROM_NARROW, udp4(`${NARROW}:4000`, `${to}:9`, payload(1500)));
    assert.equal(sent.verdict, 'forward', to);
  }
  assert.equal(t.counter('too-large'), 0);
});

test('an answer that a policy or its own port would stop does not loop', () => {
  const { t, from } = podsOf();
  t.d.ports.mtus[POD_PORT] = 100;
  const frame = udp4(`${POD}:4000`, `${VIP}:53`, payload(1400));
  const answer = from(FROM_POD, frame);
  assertAnswer(answer, frame);
  assert.equal(answer.out, POD_PORT);
  assert.equal(t.counter('too-large'), 1);
  // An error of the pod itself is forwarded to the sender of what it quotes.
  const error = icmpError4(NARROW, POD, 3, 3, udp4(`${POD}:4000`, `${NARROW}:5353`, payload(1000)));
  assert.equal(from(FROM_NARROW, error).verdict, 'forward');
});
