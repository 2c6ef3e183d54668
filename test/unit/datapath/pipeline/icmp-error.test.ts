import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BACKEND,
  createTestDatapath,
  NODE,
  OTHER_NODE,
  OUTSIDE,
  POD,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import { ACK, decode, echo4, icmpError4, SYN, tcp4, udp4 } from '../../../support/packets.ts';

const ROUTER = '172.18.0.2';
const FRAGMENTATION_NEEDED: [number, number] = [3, 4];
const PORT_UNREACHABLE: [number, number] = [3, 3];
const TIME_EXCEEDED: [number, number] = [11, 0];

/** The packet that an ICMP error quotes. */
function quoted(frame: Uint8Array) {
  const quote = Uint8Array.from([...new Uint8Array(10), ...frame.subarray(10 + 28)]);
  return decode(quote);
}

/** Row: packet, source of the error, that source as the sender sees it, ICMP type and code. */
const ROWS: [string, (t: TestDatapath) => Uint8Array, string, string, [number, number]][] = [
  [
    'ClusterIP, a router on the way',
    () => tcp4(`${POD}:4000`, `${VIP}:80`, SYN),
    ROUTER,
    ROUTER,
    FRAGMENTATION_NEEDED,
  ],
  [
    'ClusterIP, the endpoint itself',
    () => udp4(`${POD}:4000`, `${VIP}:53`),
    BACKEND,
    VIP,
    PORT_UNREACHABLE,
  ],
  [
    'masqueraded, a router on the way',
    () => udp4(`${POD}:4000`, `${OUTSIDE}:53`),
    ROUTER,
    ROUTER,
    TIME_EXCEEDED,
  ],
  [
    'masqueraded, the server itself',
    () => udp4(`${POD}:4000`, `${OUTSIDE}:53`),
    OUTSIDE,
    OUTSIDE,
    PORT_UNREACHABLE,
  ],
  [
    'NodePort, the endpoint itself',
    () => tcp4(`${OUTSIDE}:4000`, `${NODE}:30080`, SYN),
    BACKEND,
    NODE,
    PORT_UNREACHABLE,
  ],
  [
    'an echo request, a router on the way',
    () => echo4(POD, OUTSIDE, 77),
    ROUTER,
    ROUTER,
    TIME_EXCEEDED,
  ],
];

for (const [what, make, from, heardFrom, [type, code]] of ROWS) {
  test(`an error about ${what} goes to the sender, and quotes what the sender sent`, () => {
    const t = createTestDatapath();
    const frame = make(t);
    const sent = decode(frame);
    const left = t.one(frame);
    assert.equal(left.verdict, 'forward');
    const {
      verdict,
      packet,
      frame: heard,
    } = t.one(icmpError4(from, left.packet.src, type, code, left.frame, 1280));
    assert.equal(verdict, 'forward');
    assert.deepEqual([packet.src, packet.dst], [heardFrom, sent.src]);
    assert.deepEqual([packet.type, packet.code], [type, code]);
    assert.ok(packet.ipOk && packet.l4Ok, 'checksums of the error');
    assert.equal(packet.ttl, 64, 'the kernel lowers it twice, but a node is one hop');
    const inside = quoted(heard);
    assert.deepEqual(
      [inside.src, inside.dst, inside.sport, inside.dport],
      [sent.src, sent.dst, sent.sport, sent.dport],
    );
    assert.ok(inside.ipOk, 'header checksum of the quote');
    assert.equal(t.counter('icmp-translated'), 1);
  });
}

test("a client's error about a reply goes to the endpoint and quotes what the endpoint sent", () => {
  const t = createTestDatapath();
  t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
  const reply = tcp4(`${BACKEND}:8080`, `${POD}:4000`, SYN | ACK, [], { ack: 1001 });
  const { frame: heard } = t.one(reply);
  const { packet, frame } = t.one(icmpError4(POD, VIP, 3, 4, heard, 1280));
  assert.equal(packet.dst, BACKEND);
  const inside = quoted(frame);
  assert.deepEqual([inside.src, inside.sport, inside.dst], [BACKEND, 8080, POD]);
});

test('an error neither refreshes nor ends the flow', () => {
  const t = createTestDatapath();
  const { frame } = t.one(udp4(`${POD}:4000`, `${VIP}:53`));
  t.now += 20_000;
  t.one(icmpError4(BACKEND, POD, 3, 3, frame));
  assert.equal(
    t.one(udp4(`${BACKEND}:5353`, `${POD}:4000`)).packet.src,
    VIP,
    'the flow still exists',
  );
  const u = createTestDatapath();
  const other = u.one(udp4(`${POD}:4000`, `${VIP}:53`));
  u.now += 20_000;
  u.one(icmpError4(BACKEND, POD, 3, 3, other.frame));
  u.tick(u.now + 10_001);
  assert.equal(u.counter('flows-expired'), 1, '30 s after the datagram, not after the error');
});

test("a node's error about a masqueraded client has the address that the client knows", () => {
  // The node that reports the error may be the client's. There, a packet from the wire with the
  // node's own source address is a martian and is dropped.
  for (const client of [POD, OTHER_NODE]) {
    const t = createTestDatapath();
    const left = t.one(tcp4(`${client}:4000`, `${NODE}:30080`, SYN));
    assert.deepEqual([left.packet.src, left.packet.dst], [NODE, BACKEND]);
    const { packet, frame } = t.one(icmpError4(OTHER_NODE, NODE, 11, 0, left.frame));
    assert.deepEqual([packet.src, packet.dst], [NODE, client]);
    assert.deepEqual([quoted(frame).src, quoted(frame).dst], [client, NODE]);
  }
  const t = createTestDatapath();
  const left = t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
  const { packet } = t.one(icmpError4(OTHER_NODE, POD, 11, 0, left.frame));
  assert.equal(
    packet.src,
    OTHER_NODE,
    'without masquerade the error keeps the address of its node',
  );
});

test('an error to a host other than the source of its quote matches no flow', () => {
  const t = createTestDatapath();
  const left = t.one(udp4(`${POD}:4000`, `${OUTSIDE}:53`));
  const error = icmpError4(OUTSIDE, POD, 3, 3, left.frame);
  const { packet } = t.one(error);
  assert.deepEqual([packet.src, packet.dst], [OUTSIDE, POD]);
  assert.equal(t.counter('icmp-translated'), 0);
});

test('an error that matches no flow passes unchanged', () => {
  const t = createTestDatapath();
  const about = udp4(`${POD}:9999`, `${BACKEND}:1234`);
  const error = icmpError4(BACKEND, POD, 3, 3, about);
  const { verdict, frame, packet } = t.one(error);
  assert.equal(verdict, 'forward');
  assert.deepEqual(frame.subarray(30), error.subarray(30));
  assert.deepEqual([packet.ttl, packet.ipOk], [64, true], 'one hop');
  assert.equal(
    t.one(icmpError4(NODE, POD, 3, 3, about)).packet.ttl,
    64,
    "the node's own error is no hop: the kernel lowers its TTL behind the datapath",
  );
});

test('an error with a wrong checksum is dropped: translation would hide the damage', () => {
  const t = createTestDatapath();
  const { frame } = t.one(udp4(`${POD}:4000`, `${VIP}:53`));
  const error = icmpError4(BACKEND, POD, 3, 3, frame);
  error[error.length - 1] = error.at(-1)! ^ 1;
  assert.equal(t.one(error).verdict, 'icmp-checksum');
});
