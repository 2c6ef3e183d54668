// Masquerade: each connection has a unique source.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FRONTEND_CLUSTER } from '../../../../datapath/image/image.ts';
import { PROTO_SCTP, PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';
import {
  addr,
  BACKEND,
  change,
  createTestDatapath,
  DEFAULT_IMAGE,
  frontend,
  NODE,
  NODE_ENTRY,
  OUTSIDE,
  POD,
  pairs,
  service,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import {
  ACK,
  type Decoded,
  echo4,
  hopBack,
  ip4,
  RST,
  SYN,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const range = (snatPortMin: number, snatPortMax: number) =>
  change({
    node: { ...NODE_ENTRY, snatPortMin, snatPortMax },
    upsert: [service(1), service(2)],
    addFrontends: [frontend(`${VIP}:80`, 1), frontend('10.96.0.51:80', 2)],
  });

/** Sends the reply to a packet from where it arrived to its visible source. */
const answer = (t: TestDatapath, { src, dst, sport, dport }: Decoded) =>
  t.one(tcp4(`${dst}:${dport}`, `${src}:${sport}`, SYN | ACK, [], { ack: 1001 })).packet;

test('a port is free again when its connection is gone', () => {
  const t = createTestDatapath({ image: range(50_000, 50_000) });
  const first = t.one(udp4(`${POD}:1`, `${OUTSIDE}:53`));
  assert.deepEqual([first.verdict, first.packet.sport], ['forward', 50_000]);
  assert.equal(t.one(udp4(`${POD}:2`, `${OUTSIDE}:53`)).verdict, 'snat-ports');
  t.tick(t.now + 30_000);
  assert.equal(t.one(udp4(`${POD}:2`, `${OUTSIDE}:53`)).packet.sport, 50_000);
});

test('TCP, UDP and echo do not share a port space', () => {
  const t = createTestDatapath({ image: range(50_000, 50_000) });
  assert.equal(t.one(udp4(`${POD}:1`, `${OUTSIDE}:53`)).verdict, 'forward');
  assert.equal(t.one(tcp4(`${POD}:1`, `${OUTSIDE}:53`, SYN)).verdict, 'forward');
  assert.equal(t.one(echo4(POD, OUTSIDE, 1)).verdict, 'forward');
  assert.equal(t.one(echo4('10.244.1.6', OUTSIDE, 1)).verdict, 'snat-ports');
});

test('the last port, 65,535, is usable', () => {
  const t = createTestDatapath({ image: range(65_535, 65_535) });
  const sent = t.one(tcp4(`${POD}:1`, `${OUTSIDE}:65535`, SYN));
  assert.equal(sent.packet.sport, 65_535);
  assert.ok(sent.packet.l4Ok);
  assert.deepEqual([answer(t, sent.packet).dst, answer(t, sent.packet).dport], [POD, 1]);
});

test("the node's own connections and hairpins share the range without a collision", () => {
  const t = createTestDatapath({ image: range(50_000, 50_001) });
  const ports = [33_000, 33_001].map(
    (port) => t.one(tcp4(`${NODE}:${port}`, `${VIP}:80`, SYN)).packet.sport,
  );
  assert.deepEqual(ports.sort(), [50_000, 50_001]);
  assert.equal(t.one(tcp4(`${NODE}:33002`, '10.96.0.51:80', SYN)).verdict, 'snat-ports');
});

test('a refused connection keeps no flow and no port', () => {
  const t = createTestDatapath({ image: range(50_000, 50_000) });
  assert.equal(t.one(tcp4(`${NODE}:1`, `${VIP}:81`, SYN)).verdict, 'reply');
  assert.equal(t.one(tcp4(`${NODE}:1`, `${VIP}:80`, SYN)).packet.sport, 50_000);
});

test('a moved source port is restored in replies and freed with its connection', () => {
  const t = createTestDatapath({ image: range(50_000, 50_000) });
  const first = t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN)).packet;
  const second = t.one(tcp4(`${POD}:4000`, '10.96.0.51:80', SYN)).packet;
  assert.deepEqual([first.sport, second.sport], [4000, 50_000]);
  assert.equal(answer(t, second).src, '10.96.0.51');
  assert.equal(t.one(tcp4(`${POD}:4000`, `${BACKEND}:8080`, SYN)).verdict, 'snat-ports', 'a third');
  t.one(tcp4(`${BACKEND}:8080`, `${POD}:50000`, RST, [], { seq: 1001 }));
  t.tick(t.now + 10_000);
  assert.equal(t.one(tcp4(`${POD}:4000`, `${BACKEND}:8080`, SYN)).packet.sport, 50_000);
});

test('a masquerade port is random over the whole range and not the source port', () => {
  const t = createTestDatapath();
  const ports = Array.from({ length: 200 }, (_, n) => {
    const { sport } = t.one(udp4(`${POD}:${41_000 + n}`, `${OUTSIDE}:53`)).packet;
    assert.notEqual(sport, 41_000 + n);
    return sport;
  });
  // The chance that one of eight parts of the range has no port is 8 * (7/8)^200, 2 in 10^11.
  const parts = new Set(ports.map((port) => Math.floor(((port - 40_000) * 8) / 25_535)));
  assert.equal(parts.size, 8);
  const steps = new Set(ports.slice(1).map((port, n) => port - ports[n]!));
  assert.ok(steps.size > 190, 'a port does not determine the next one');
});

test('UDP and SCTP from one port to two Services with a common backend: one source port moves', () => {
  for (const [proto, send] of [
    [PROTO_UDP, (to: string) => udp4(`${POD}:4000`, `${to}:53`)],
    [
      PROTO_SCTP,
      (to: string) => ip4(POD, to, PROTO_SCTP, [15, 160, 0, 53, ...new Array(8).fill(0)]),
    ],
  ] as const) {
    const image = change({
      node: NODE_ENTRY,
      upsert: [1, 2].map((id) => service(id, { proto })),
      addFrontends: [VIP, '10.96.0.51'].map((to, n) =>
        frontend(`${to}:53`, n + 1, FRONTEND_CLUSTER, proto),
      ),
    });
    const t = createTestDatapath({ image });
    const [first, second] = t.send(send(VIP), send('10.96.0.51'));
    assert.deepEqual([first!.packet.dst, second!.packet.dst], [BACKEND, BACKEND]);
    assert.equal(first!.packet.sport, 4000);
    assert.notEqual(second!.packet.sport, 4000);
    assert.equal(t.counter('port-moved'), 1);
  }
});

test('a protocol without ports is masqueraded once per destination', () => {
  const t = createTestDatapath();
  const gre = (from: string, to: string) => ip4(from, to, 47, [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(t.one(gre(POD, OUTSIDE)).packet.src, NODE);
  assert.equal(t.one(gre(POD, OUTSIDE)).packet.src, NODE, 'the same flow');
  assert.equal(
    t.one(gre('10.244.1.6', OUTSIDE)).verdict,
    'snat-ports',
    'replies would be ambiguous',
  );
  assert.equal(t.one(gre('10.244.1.6', '203.0.113.11')).packet.src, NODE);
  const back = t.one(gre(OUTSIDE, NODE));
  assert.deepEqual([back.packet.dst, back.packet.ipOk], [POD, true]);
});

test('every reply is the reverse of what was sent, for random connections', () => {
  const client = fc.constantFrom(POD, '10.244.1.6', NODE, OUTSIDE);
  const target = fc.constantFrom(`${VIP}:80`, '10.96.0.51:80', `${BACKEND}:8080`, `${OUTSIDE}:80`);
  const connection = fc.tuple(client, fc.integer({ min: 4000, max: 4003 }), target);
  fc.assert(
    fc.property(fc.array(connection, { maxLength: 60 }), (connections) => {
      // The range is small, so that its ports run out.
      const t = createTestDatapath({ image: range(50_000, 50_003), flowsMax: 64 });
      const arrived = new Map<string, string>();
      for (const [from, port, to] of connections) {
        const { verdict, side, packet } = t.one(tcp4(`${from}:${port}`, to, SYN));
        if (verdict !== 'forward' || side < 0) continue;
        const { src, sport, dst, dport } = packet;
        arrived.set(`${from}:${port} ${to}`, `${src}:${sport} ${dst}:${dport}`);
      }
      assert.equal(
        new Set(arrived.values()).size,
        arrived.size,
        'each connection arrives with a unique tuple',
      );
      for (const [sent, seen] of arrived) {
        const [src, dst] = seen.split(' ');
        const { packet } = t.one(tcp4(dst!, src!, SYN | ACK, [], { ack: 1001 }));
        const back = `${packet.dst}:${packet.dport} ${packet.src}:${packet.sport}`;
        assert.equal(back, sent);
        assert.ok(packet.l4Ok);
      }
    }),
    { numRuns: 200 },
  );
});

/** An address on lo of every node, and one of a DNS cache. */
const LOCALS = ['169.254.1.1', '169.254.20.10'];
const withLocals = () =>
  change({ ...DEFAULT_IMAGE, node: { ...NODE_ENTRY, localAddresses: LOCALS.map(addr) } });

for (const local of LOCALS) {
  test(`pod packets to ${local}, a node address, and the replies keep addresses and TTL`, () => {
    const t = createTestDatapath({ image: withLocals() });
    const frames = [
      udp4(`${POD}:4000`, `${local}:53`),
      tcp4(`${POD}:4000`, `${local}:53`, SYN),
      tcp4(`${POD}:4000`, `${local}:53`, ACK),
      echo4(POD, local, 7),
      udp4(`${local}:53`, `${POD}:4000`),
      tcp4(`${local}:53`, `${POD}:4000`, SYN | ACK),
      echo4(local, POD, 7, true),
    ];
    for (const frame of frames) {
      const { verdict, frame: left } = t.one(frame);
      assert.equal(verdict, 'forward');
      // The kernel lowers the TTL once, before or after the datapath, which restores it.
      assert.deepEqual(left, hopBack(frame));
    }
    assert.deepEqual([t.counter('passed-host'), t.counter('flows-made')], [frames.length, 0]);
  });
}

test('an address that the node removes is outside again; one of a Service stays captured', () => {
  const t = createTestDatapath({ image: withLocals() });
  t.writer.publish(change({ node: { ...NODE_ENTRY, localAddresses: [addr(VIP)] } }));
  assert.equal(t.one(udp4(`${POD}:4000`, `${LOCALS[0]}:53`)).packet.src, NODE);
  assert.equal(t.one(udp4(`${POD}:4000`, `${VIP}:53`)).packet.dst, BACKEND);
  assert.equal(t.one(udp4(`${POD}:4000`, `${VIP}:54`)).verdict, 'reply');
});

test('packets of a pod to an endpoint outside of the cluster are masqueraded, and replies come back', () => {
  const t = createTestDatapath({
    image: change({
      ...DEFAULT_IMAGE,
      upsert: [service(1, { cluster: pairs(`${OUTSIDE}:9091`) })],
      addFrontends: [frontend(`${VIP}:80`, 1)],
    }),
  });
  const { packet } = t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
  assert.deepEqual([packet.src, packet.dst, packet.dport], [NODE, OUTSIDE, 9091]);
  const back = answer(t, packet);
  assert.deepEqual([back.src, back.sport, back.dst, back.dport], [VIP, 80, POD, 4000]);
});
