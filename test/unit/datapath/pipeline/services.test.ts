import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FRONTEND_EXTERNAL,
  FRONTEND_LOADBALANCER,
  FRONTEND_NODEPORT,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
} from '../../../../datapath/image/image.ts';
import { parseRange } from '../../../../datapath/wire/address.ts';
import {
  BACKEND,
  change,
  createTestDatapath,
  frontend,
  NODE,
  NODE_ENTRY,
  OTHER_NODE,
  OUTSIDE,
  POD,
  pairs,
  service,
  VIP,
} from '../../../support/datapath.ts';
import { flowCount } from '../../../support/flow-count.ts';
import { ACK, echo4, PSH, RST, SYN, sum16, tcp4, udp4 } from '../../../support/packets.ts';

test('a pod reaches a ClusterIP: the endpoint becomes the destination, the source stays', () => {
  const t = createTestDatapath();
  const { verdict, packet } = t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
  assert.equal(verdict, 'forward');
  assert.deepEqual(
    [packet.src, packet.sport, packet.dst, packet.dport],
    [POD, 4000, BACKEND, 8080],
  );
  assert.ok(packet.ipOk && packet.l4Ok);
});

test('the reply comes back from the Service address', () => {
  const t = createTestDatapath();
  t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
  const { packet } = t.one(tcp4(`${BACKEND}:8080`, `${POD}:4000`, SYN | ACK, [], { ack: 1001 }));
  assert.deepEqual([packet.src, packet.sport, packet.dst, packet.dport], [VIP, 80, POD, 4000]);
  assert.ok(packet.ipOk && packet.l4Ok);
});

test('TCP and UDP Services of one address and port are kept apart', () => {
  const t = createTestDatapath();
  const { packet } = t.one(udp4(`${POD}:4000`, `${VIP}:53`));
  assert.deepEqual([packet.dst, packet.dport, packet.l4Ok], [BACKEND, 5353, true]);
});

test('a UDP datagram without a checksum stays without one', () => {
  const t = createTestDatapath();
  const { frame, packet } = t.one(udp4(`${POD}:4000`, `${VIP}:53`, [1], { noSum: true }));
  assert.equal(frame[10 + 20 + 6]! + frame[10 + 20 + 7]!, 0);
  assert.ok(packet.ipOk);
});

test('a hairpin is masqueraded to the node with a port of the SNAT range, and its reply returns', () => {
  const image = change({
    node: NODE_ENTRY,
    upsert: [service(1, { cluster: pairs(`${POD}:8080`) })],
    addFrontends: [frontend(`${VIP}:80`, 1)],
  });
  const t = createTestDatapath({ image });
  const { packet } = t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN));
  assert.deepEqual([packet.src, packet.dst, packet.dport], [NODE, POD, 8080]);
  assert.ok(packet.sport >= 40_000 && packet.sport <= 65_534);
  const back = t.one(tcp4(`${POD}:8080`, `${NODE}:${packet.sport}`, SYN | ACK, [], { ack: 1001 }));
  assert.deepEqual([back.packet.src, back.packet.dst, back.packet.dport], [VIP, POD, 4000]);
});

test("the node's own packets to a ClusterIP are masqueraded and do not count as a hop", () => {
  const t = createTestDatapath();
  const { packet } = t.one(tcp4(`${NODE}:33000`, `${VIP}:80`, SYN, [], { ttl: 64 }));
  assert.deepEqual([packet.src, packet.dst, packet.ttl], [NODE, BACKEND, 65]);
  assert.ok(packet.sport >= 40_000);
});

test('NodePort is always masqueraded, also from a pod, and costs one hop', () => {
  const t = createTestDatapath();
  for (const from of [OUTSIDE, POD]) {
    const { packet } = t.one(tcp4(`${from}:4000`, `${NODE}:30080`, SYN, [], { ttl: 60 }));
    assert.deepEqual([packet.src, packet.dst, packet.dport], [NODE, BACKEND, 8080]);
    assert.equal(packet.ttl, 61);
  }
});

test('a TTL of 255 is not raised', () => {
  const t = createTestDatapath();
  const { packet } = t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { ttl: 255 }));
  assert.deepEqual([packet.ttl, packet.ipOk], [255, true]);
});

test('egress of a pod is masqueraded, but not to pods and node addresses', () => {
  const t = createTestDatapath();
  assert.equal(t.one(tcp4(`${POD}:4000`, `${OUTSIDE}:80`, SYN)).packet.src, NODE);
  assert.equal(t.one(tcp4(`${POD}:4000`, `${BACKEND}:80`, SYN)).packet.src, POD);
  assert.equal(t.one(tcp4(`${POD}:4000`, `${OTHER_NODE}:22`, SYN)).packet.src, POD);
});

test('an echo to the outside is masqueraded by its identifier and returns', () => {
  const t = createTestDatapath();
  const out = t.one(echo4(POD, OUTSIDE, 77));
  assert.equal(out.packet.src, NODE);
  const id = out.frame[10 + 20 + 4]! * 256 + out.frame[10 + 20 + 5]!;
  const back = t.one(echo4(OUTSIDE, NODE, id, true));
  assert.deepEqual([back.packet.dst, back.packet.l4Ok], [POD, true]);
  assert.equal(back.frame[10 + 20 + 4]! * 256 + back.frame[10 + 20 + 5]!, 77);
});

test('without an endpoint the client gets an RST that acknowledges its SYN, from the Service address', () => {
  const t = createTestDatapath();
  const { verdict, packet } = t.one(
    tcp4(`${POD}:4000`, '10.96.0.99:80', SYN, [], { seq: 0xfffffff0 }),
  );
  assert.equal(verdict, 'reply');
  assert.deepEqual(
    [packet.src, packet.sport, packet.dst, packet.dport],
    ['10.96.0.99', 80, POD, 4000],
  );
  assert.deepEqual([packet.flags, packet.seq, packet.ack], [RST | ACK, 0, 0xfffffff1]);
  assert.ok(packet.ipOk && packet.l4Ok);
  assert.equal(t.counter('reject-no-endpoint'), 1);
  assert.equal(flowCount(t.d.table), 0, 'no flow is made');
});

test('a refused UDP datagram is quoted in a port unreachable', () => {
  const t = createTestDatapath();
  const { verdict, packet, frame } = t.one(udp4(`${POD}:4000`, `${VIP}:999`, [5, 6, 7]));
  assert.equal(verdict, 'reply');
  assert.deepEqual([packet.src, packet.dst, packet.type, packet.code], [VIP, POD, 3, 3]);
  assert.equal(sum16(frame.subarray(30)), 0xffff);
  assert.deepEqual(Array.from(frame.subarray(-3)), [5, 6, 7]);
  assert.equal(t.counter('reject-wrong-port'), 1);
});

test('an echo to an allocated ClusterIP is refused, to an unallocated one dropped', () => {
  const t = createTestDatapath();
  assert.equal(t.one(echo4(POD, VIP, 1)).verdict, 'reply');
  assert.equal(t.one(echo4(POD, '10.96.7.7', 1)).verdict, 'unallocated');
});

test('a refusal never answers an RST or a packet from a multicast source', () => {
  const t = createTestDatapath();
  assert.equal(t.one(tcp4(`${POD}:4000`, '10.96.0.99:80', RST)).verdict, 'unanswerable');
  assert.equal(t.one(udp4('224.0.0.5:4000', `${VIP}:999`)).verdict, 'unanswerable');
});

test('a segment to a frontend without a flow gets an RST, never an endpoint', () => {
  const t = createTestDatapath();
  const { verdict, packet } = t.one(
    tcp4(`${POD}:4000`, `${VIP}:80`, ACK | PSH, [1, 2], { ack: 555 }),
  );
  assert.equal(verdict, 'reply');
  assert.deepEqual([packet.flags, packet.seq], [RST, 555]);
  assert.equal(t.counter('reject-midstream'), 1);
});

test('mid-stream: pod to pod is picked up, a packet that needs translation is dropped', () => {
  const t = createTestDatapath();
  assert.equal(t.one(tcp4(`${POD}:4000`, `${BACKEND}:80`, ACK, [1])).verdict, 'forward');
  assert.equal(flowCount(t.d.table), 1);
  assert.equal(t.one(tcp4(`${POD}:4000`, `${OUTSIDE}:80`, ACK, [1])).verdict, 'midstream-nat');
});

test("the node's own traffic passes without a flow", () => {
  const t = createTestDatapath();
  assert.equal(t.one(tcp4(`${POD}:4000`, `${NODE}:22`, SYN)).packet.dst, NODE);
  assert.equal(t.one(tcp4(`${NODE}:22`, `${POD}:4000`, SYN | ACK)).packet.src, NODE);
  assert.equal(flowCount(t.d.table), 0);
  assert.equal(t.counter('passed-host'), 2);
});

test('before the first image all packets pass untracked', () => {
  const t = createTestDatapath({ image: null });
  const { verdict, packet } = t.one(tcp4(`${OUTSIDE}:443`, `${NODE}:33000`, ACK, [1]));
  assert.deepEqual([verdict, packet.dst], ['forward', NODE]);
});

test("policy Local uses this node only: internal always, external by the packet's source", () => {
  const image = change({
    node: NODE_ENTRY,
    upsert: [
      service(1, {
        flags: SERVICE_FLAG_INTERNAL_LOCAL | SERVICE_FLAG_EXTERNAL_LOCAL,
        cluster: pairs(`${BACKEND}:8080`, '10.244.1.9:8080'),
        local: pairs('10.244.1.9:8080'),
      }),
      service(2, { flags: SERVICE_FLAG_INTERNAL_LOCAL | SERVICE_FLAG_EXTERNAL_LOCAL }),
    ],
    addFrontends: [
      frontend(`${VIP}:80`, 1),
      frontend(`${NODE}:30080`, 1, FRONTEND_NODEPORT),
      frontend('10.96.0.51:80', 2),
      frontend(`${NODE}:30081`, 2, FRONTEND_NODEPORT),
    ],
  });
  const t = createTestDatapath({ image });
  for (let port = 5000; port < 5020; port++) {
    assert.equal(t.one(tcp4(`${POD}:${port}`, `${VIP}:80`, SYN)).packet.dst, '10.244.1.9');
    const outside = t.one(tcp4(`${OUTSIDE}:${port}`, `${NODE}:30080`, SYN)).packet;
    assert.deepEqual([outside.src, outside.dst], [OUTSIDE, '10.244.1.9']);
  }
  assert.equal(t.one(tcp4(`${POD}:1`, '10.96.0.51:80', SYN)).verdict, 'no-local-endpoint');
  assert.equal(t.one(tcp4(`${OUTSIDE}:1`, `${NODE}:30081`, SYN)).verdict, 'no-local-endpoint');
  const fromPod = t.one(tcp4(`${POD}:1`, `${NODE}:30081`, SYN)).packet;
  assert.deepEqual([fromPod.src, fromPod.dst], [POD, BACKEND]);
  const fromNode = t.one(tcp4(`${NODE}:33001`, `${NODE}:30081`, SYN)).packet;
  assert.deepEqual([fromNode.src, fromNode.dst], [NODE, BACKEND]);
  assert.ok(fromNode.sport >= 40_000, 'address and port are masqueraded');
});

test('source ranges apply to load balancer addresses, not to external ones', () => {
  const ranges = pairs('203.0.113.0:0');
  ranges[1] = -256; // A netmask of 24 bits in place of the port.
  const image = change({
    node: NODE_ENTRY,
    upsert: [service(1, { sourceRanges: ranges, local: pairs(`${BACKEND}:8080`) })],
    addFrontends: [
      frontend('198.51.100.9:80', 1, FRONTEND_LOADBALANCER),
      frontend('198.51.100.8:80', 1, FRONTEND_EXTERNAL),
    ],
  });
  const t = createTestDatapath({ image });
  assert.equal(t.one(tcp4(`${OUTSIDE}:1`, '198.51.100.9:80', SYN)).verdict, 'forward');
  assert.equal(t.one(tcp4('192.0.2.1:1', '198.51.100.9:80', SYN)).verdict, 'source-range');
  assert.equal(t.one(tcp4('192.0.2.1:1', '198.51.100.8:80', SYN)).verdict, 'forward');
});

test('source ranges may be in any order and nested', () => {
  const ranges = ['203.0.113.0/24', '10.0.0.0/8', '192.0.2.64/26', '10.9.0.0/16', '192.0.2.0/26'];
  const words = ranges.flatMap((text) => {
    const { address, mask } = parseRange(text)!;
    return [address, mask];
  });
  const image = change({
    node: NODE_ENTRY,
    upsert: [service(1, { sourceRanges: Int32Array.from(words) })],
    addFrontends: [frontend('198.51.100.9:80', 1, FRONTEND_LOADBALANCER)],
  });
  const t = createTestDatapath({ image });
  const verdictOf = (client: string) => t.one(tcp4(`${client}:1`, '198.51.100.9:80', SYN)).verdict;
  for (const client of ['10.1.2.3', '10.255.0.1', '192.0.2.127', '203.0.113.255']) {
    assert.equal(verdictOf(client), 'forward', client);
  }
  for (const client of ['9.255.255.255', '11.0.0.0', '192.0.2.128', '203.0.112.255']) {
    assert.equal(verdictOf(client), 'source-range', client);
  }
});

test('two Services with a common backend work from one source port: one source port moves', () => {
  const image = change({
    node: NODE_ENTRY,
    upsert: [service(1), service(2)],
    addFrontends: [frontend(`${VIP}:80`, 1), frontend('10.96.0.51:80', 2)],
  });
  const t = createTestDatapath({ image });
  const first = t.one(tcp4(`${POD}:4000`, `${VIP}:80`, SYN)).packet;
  const second = t.one(tcp4(`${POD}:4000`, '10.96.0.51:80', SYN)).packet;
  assert.equal(first.sport, 4000);
  assert.notEqual(second.sport, 4000);
  assert.equal(second.src, POD);
  const answer = (port: number) =>
    t.one(tcp4(`${BACKEND}:8080`, `${POD}:${port}`, SYN | ACK, [], { ack: 1001 })).packet;
  assert.deepEqual([answer(4000).src, answer(4000).dport], [VIP, 4000]);
  assert.deepEqual([answer(second.sport).src, answer(second.sport).dport], ['10.96.0.51', 4000]);
  assert.equal(t.counter('port-moved'), 1);
});

test('selection is even: 20,000 connections over five endpoints, chi-square', () => {
  const cluster = pairs(...[1, 2, 3, 4, 5].map((n) => `10.244.2.${n}:80`));
  const image = change({
    node: NODE_ENTRY,
    upsert: [service(1, { cluster })],
    addFrontends: [frontend(`${VIP}:80`, 1)],
  });
  const t = createTestDatapath({ image, flowsMax: 32_768 });
  const counts = new Map<string, number>();
  for (let i = 0; i < 20_000; i++) {
    const { dst } = t.one(tcp4(`10.244.1.${i % 200}:${1000 + i}`, `${VIP}:80`, SYN)).packet;
    counts.set(dst, (counts.get(dst) ?? 0) + 1);
  }
  const chi = [...counts.values()].reduce((sum, n) => sum + (n - 4000) ** 2 / 4000, 0);
  assert.equal(counts.size, 5);
  assert.ok(chi < 33.4, `chi-square ${chi}: p < 1e-6 at four degrees of freedom`);
});
