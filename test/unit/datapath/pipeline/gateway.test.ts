// Role gateway: balancers first, then a public address for every node, one to one.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { H_HELD_COUNT, H_HELD_RANGES } from '../../../../datapath/arena/layout.ts';
import { addr, change, createTestDatapath, type TestDatapath } from '../../../support/datapath.ts';
import {
  BALANCED,
  CAPTURED,
  CLOUD,
  GATEWAY_IMAGE,
  NODE1,
  NODE2,
  PUBLIC1,
  PUBLIC2,
  RANGED,
} from '../../../support/gateway.ts';
import {
  ACK,
  decode,
  echo4,
  fragment4,
  icmpError4,
  ip4,
  RST,
  SYN,
  sum16,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const CLIENT = '203.0.113.10';
const POD = '10.244.1.5';

const gateway = (): TestDatapath => createTestDatapath({ image: GATEWAY_IMAGE });

/** The tuple of a forwarded frame after a check of its checksums, or its verdict. */
function fate(t: TestDatapath, frame: Uint8Array): string {
  const { verdict, packet } = t.one(frame);
  if (verdict !== 'forward') return verdict;
  assert.ok(packet.ipOk && packet.l4Ok, 'right sums');
  return `${packet.src}:${packet.sport} > ${packet.dst}:${packet.dport}`;
}

describe('one to one', () => {
  /** A frame, and its addresses when it leaves. */
  const rows: [string, Uint8Array, string, string][] = [
    ['TCP to the outside', tcp4(`${NODE1}:4000`, `${CLIENT}:80`, SYN), PUBLIC1, CLIENT],
    ['TCP in mid-stream', tcp4(`${NODE1}:4000`, `${CLIENT}:80`, ACK), PUBLIC1, CLIENT],
    ['TCP from the outside', tcp4(`${CLIENT}:80`, `${PUBLIC2}:4000`, SYN | ACK), CLIENT, NODE2],
    ['UDP', udp4(`${NODE2}:4000`, `${CLIENT}:53`), PUBLIC2, CLIENT],
    [
      'UDP without a sum',
      udp4(`${CLIENT}:53`, `${PUBLIC1}:9`, [1], { noSum: true }),
      CLIENT,
      NODE1,
    ],
    ['partial sums', udp4(`${NODE1}:1`, `${CLIENT}:2`, [1], { partial: true }), PUBLIC1, CLIENT],
    ['echo', echo4(NODE1, CLIENT, 7), PUBLIC1, CLIENT],
    ['an unsolicited echo reply', echo4(CLIENT, PUBLIC1, 7, true), CLIENT, NODE1],
    ['TCP from a node to another', tcp4(`${NODE1}:1`, `${PUBLIC2}:80`, SYN), PUBLIC1, NODE2],
    ['TCP from a node to itself', tcp4(`${NODE1}:1`, `${PUBLIC1}:80`, SYN), PUBLIC1, NODE1],
  ];
  for (const [what, frame, src, dst] of rows) {
    test(`${what}: rewrites the addresses, keeps the ports, corrects sums, costs one hop`, () => {
      const t = gateway();
      const { verdict, packet } = t.one(frame);
      const before = decode(frame);
      assert.equal(verdict, 'forward');
      assert.deepEqual([packet.src, packet.dst], [src, dst]);
      assert.deepEqual([packet.sport, packet.dport], [before.sport, before.dport]);
      assert.ok(packet.ipOk && packet.l4Ok);
      // The kernel decrements twice: before and after the datapath.
      assert.equal(packet.ttl, before.ttl + 1);
      assert.deepEqual([t.counter('one-to-one'), t.counter('flows-made')], [1, 0]);
    });
  }

  test('all protocols pass; sums that cover addresses are patched', () => {
    const t = gateway();
    const [UDP_LITE, DCCP, GRE, SCTP] = [136, 33, 47, 132];
    for (const proto of [UDP_LITE, DCCP]) {
      const body = [0x0f, 0xa0, 0, 53, 0, 11, 0, 0, 1, 2, 3, 4];
      const pseudo = (src: string) =>
        [src, CLIENT].flatMap((a) => a.split('.').map(Number)).concat([0, proto, 0, body.length]);
      const sum = 0xffff - sum16([...pseudo(NODE1), ...body]);
      [body[6], body[7]] = [sum >> 8, sum & 255];
      const { verdict, frame } = t.one(ip4(NODE1, CLIENT, proto, body));
      assert.equal(verdict, 'forward');
      assert.equal(sum16([...pseudo(PUBLIC1), ...frame.subarray(30)]), 0xffff);
    }
    for (const proto of [GRE, SCTP, 50, 89]) {
      const body = Array.from({ length: 16 }, (_, i) => i);
      const { verdict, packet, frame } = t.one(ip4(CLIENT, PUBLIC2, proto, body));
      assert.deepEqual([verdict, packet.dst, packet.ipOk], ['forward', NODE2, true]);
      assert.deepEqual([...frame.subarray(30)], body);
    }
  });

  test('fragments in any order get the addresses of the whole datagram', () => {
    const whole = udp4(`${NODE1}:4000`, `${CLIENT}:53`, new Array(3000).fill(7), { id: 5 });
    const parts = fragment4(whole, 1480);
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const t = gateway();
      const left = order.flatMap((i) => t.send(parts[i]!)).filter((o) => o.verdict === 'forward');
      assert.equal(left.length, 3);
      for (const { packet } of left) {
        assert.deepEqual([packet.src, packet.dst, packet.ipOk], [PUBLIC1, CLIENT, true]);
      }
    }
  });

  test('translation there and back restores any packet', () => {
    const t = gateway();
    fc.assert(
      fc.property(
        fc.constantFrom('tcp', 'udp', 'echo'),
        fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 65_535 }),
        fc.boolean(),
        (proto, payload, port, partial) => {
          const make = (from: string, to: string) => {
            if (proto === 'tcp')
              return tcp4(`${from}:${port}`, `${to}:80`, ACK, payload, { partial });
            if (proto === 'udp') return udp4(`${from}:${port}`, `${to}:80`, payload, { partial });
            return echo4(from, to, port);
          };
          assert.equal(fate(t, make(NODE1, CLIENT)).split(':')[0], PUBLIC1);
          assert.match(fate(t, make(CLIENT, PUBLIC1)), new RegExp(`> ${NODE1}:`));
        },
      ),
    );
  });
});

describe('drops', () => {
  const rows: [string, string, string, string][] = [
    ['a pod that was not masqueraded', POD, CLIENT, 'foreign-source'],
    ['a pod to a balancer', POD, BALANCED, 'foreign-source'],
    ['an inside host that is not a node', '172.18.0.200', CLIENT, 'foreign-source'],
    ['a stranger to a private address', CLIENT, NODE1, 'foreign-source'],
    ['a stranger to another stranger', CLIENT, '192.0.2.1', 'foreign-source'],
    ['an unused public address', CLIENT, '198.51.100.200', 'unallocated'],
  ];
  for (const [what, from, to, why] of rows) {
    test(`${what}: ${why}`, () => {
      const t = gateway();
      assert.equal(fate(t, tcp4(`${from}:4000`, `${to}:80`, SYN)), why);
      assert.equal(fate(t, ip4(from, to, 47, [0, 0, 8, 0])), why);
      assert.equal(t.counter(why), 2);
      assert.equal(t.counter('flows-made'), 0);
    });
  }

  test('before the first image no packet leaves with a private address', () => {
    const t = createTestDatapath({ image: null });
    t.d.header[H_HELD_COUNT] = 1;
    t.d.header[H_HELD_RANGES] = addr('172.18.0.0');
    t.d.header[H_HELD_RANGES + 1] = addr('255.255.0.0');
    assert.equal(fate(t, tcp4(`${NODE1}:4000`, `${CLIENT}:80`, SYN)), 'no-image');
  });
});

describe('ICMP errors without a flow', () => {
  const ROUTER = '203.0.113.1';
  const quotedOf = (frame: Uint8Array) =>
    decode(Uint8Array.from([...new Uint8Array(10), ...frame.subarray(10 + 28)]));

  test('an error about an outgoing packet goes to the node and quotes what the node sent', () => {
    const t = gateway();
    const sent = t.one(tcp4(`${NODE1}:4000`, `${CLIENT}:80`, SYN)).frame;
    const { verdict, frame, packet } = t.one(icmpError4(ROUTER, PUBLIC1, 3, 4, sent, 1280));
    assert.deepEqual(
      [verdict, packet.src, packet.dst, packet.l4Ok],
      ['forward', ROUTER, NODE1, true],
    );
    const inner = quotedOf(frame);
    assert.deepEqual([inner.src, inner.sport, inner.dst, inner.ipOk], [NODE1, 4000, CLIENT, true]);
    // All but the TTL is as the node sent it: the quoted sum is right again for the whole segment.
    const whole = Uint8Array.from([...new Uint8Array(10), ...frame.subarray(38)]);
    assert.equal(decode(whole).l4Ok, true);
    assert.equal(t.counter('icmp-translated'), 1);
  });

  test('an error about an incoming packet has the public address and quotes what the client sent', () => {
    const t = gateway();
    const came = t.one(udp4(`${CLIENT}:4000`, `${PUBLIC2}:9`)).frame;
    const { verdict, frame, packet } = t.one(icmpError4(NODE2, CLIENT, 3, 3, came));
    assert.deepEqual([verdict, packet.src, packet.dst], ['forward', PUBLIC2, CLIENT]);
    assert.deepEqual([quotedOf(frame).src, quotedOf(frame).dst], [CLIENT, PUBLIC2]);
    assert.ok(quotedOf(frame).l4Ok);
  });

  test('an error about a later fragment is translated', () => {
    const t = gateway();
    const [, later] = fragment4(udp4(`${NODE1}:1`, `${CLIENT}:2`, new Array(64).fill(1)), 32);
    const left = Uint8Array.from(later!);
    left.set([198, 51, 100, 11], 10 + 12);
    const { verdict, packet } = t.one(icmpError4(ROUTER, PUBLIC1, 11, 1, left));
    assert.deepEqual([verdict, packet.dst, packet.l4Ok], ['forward', NODE1, true]);
  });

  test('unrelated errors and truncated quotes are dropped', () => {
    const t = gateway();
    const strangers = tcp4(`${CLIENT}:1`, '192.0.2.1:2', SYN);
    const nodes = tcp4(`${PUBLIC2}:1`, `${CLIENT}:2`, SYN);
    assert.equal(fate(t, icmpError4(ROUTER, PUBLIC1, 3, 1, strangers)), 'icmp-without-flow');
    // This error does not go to the source of its quote.
    assert.equal(fate(t, icmpError4(ROUTER, PUBLIC1, 3, 1, nodes)), 'icmp-without-flow');
    for (let bytes = 0; bytes < 20; bytes++) {
      const cut = icmpError4(ROUTER, PUBLIC2, 3, 1, nodes.subarray(0, 10 + bytes));
      assert.equal(fate(t, cut), 'icmp-without-flow', `${bytes} bytes`);
    }
    const garbled = Uint8Array.from(nodes);
    garbled[10] = 0x40;
    assert.equal(fate(t, icmpError4(ROUTER, PUBLIC2, 3, 1, garbled)), 'icmp-without-flow');
  });
});

describe('balancers', () => {
  test('a client reaches a NodePort with its own address, and the answer comes from the balancer', () => {
    const t = gateway();
    const reached = new Set<string>();
    for (let port = 4000; port < 4040; port++) {
      const { packet } = t.one(tcp4(`${CLIENT}:${port}`, `${BALANCED}:80`, SYN));
      assert.deepEqual([packet.src, packet.sport, packet.dport], [CLIENT, port, 30_080]);
      reached.add(packet.dst);
      const answer = tcp4(`${packet.dst}:30080`, `${CLIENT}:${port}`, SYN | ACK);
      assert.equal(fate(t, answer), `${BALANCED}:80 > ${CLIENT}:${port}`);
    }
    assert.deepEqual([...reached].sort(), [NODE1, NODE2]);
    assert.equal(t.counter('one-to-one'), 0);
  });

  test('a frontend that every node captures passes unchanged, in a flow', () => {
    const t = gateway();
    const way = `${CLIENT}:4000 > ${CAPTURED}:80`;
    assert.equal(fate(t, tcp4(`${CLIENT}:4000`, `${CAPTURED}:80`, SYN)), way);
    const back = `${CAPTURED}:80 > ${CLIENT}:4000`;
    assert.equal(fate(t, tcp4(`${CAPTURED}:80`, `${CLIENT}:4000`, SYN | ACK)), back);
    assert.equal(t.counter('flows-made'), 1);
  });

  test('source ranges are enforced', () => {
    const t = gateway();
    assert.match(fate(t, tcp4(`${CLIENT}:1`, `${RANGED}:80`, SYN)), /30080$/);
    assert.equal(fate(t, tcp4('203.0.113.200:1', `${RANGED}:80`, SYN)), 'source-range');
  });

  test("a node's packet to a balancer gets its public address as source, even if its own NodePort answers", () => {
    const t = gateway();
    for (let port = 1; port < 20; port++) {
      const { packet } = t.one(tcp4(`${NODE1}:${port}`, `${BALANCED}:80`, SYN));
      assert.deepEqual([packet.src, packet.sport], [PUBLIC1, port]);
      const answer = tcp4(`${packet.dst}:30080`, `${PUBLIC1}:${port}`, SYN | ACK);
      assert.equal(fate(t, answer), `${BALANCED}:80 > ${NODE1}:${port}`);
    }
  });

  test('refuses another port of a balancer and resets an unknown connection', () => {
    const t = gateway();
    const wrong = t.one(tcp4(`${CLIENT}:1`, `${BALANCED}:81`, SYN));
    assert.deepEqual([wrong.verdict, wrong.packet.flags & RST], ['reply', RST]);
    assert.equal(t.one(tcp4(`${CLIENT}:1`, `${BALANCED}:80`, ACK)).verdict, 'reply');
    assert.equal(t.counter('reject-midstream'), 1);
  });

  test('a client with affinity keeps its node', () => {
    const t = gateway();
    const dsts = Array.from(
      { length: 20 },
      (_, i) => t.one(udp4(`${CLIENT}:${i + 1}`, `${BALANCED}:53`)).packet.dst,
    );
    assert.equal(new Set(dsts).size, 1);
  });

  test("an error about a balanced packet reaches the client as the balancer's", () => {
    const t = gateway();
    const { frame, packet } = t.one(udp4(`${CLIENT}:4000`, `${BALANCED}:53`));
    const error = t.one(icmpError4(packet.dst, CLIENT, 3, 3, frame));
    assert.deepEqual([error.packet.src, error.packet.dst], [BALANCED, CLIENT]);
  });
});

test("the gateway's own packets keep address and TTL: pings and ICMP errors", () => {
  const t = gateway();
  const ping = t.one(echo4(CLOUD, CLIENT, 7));
  assert.deepEqual([ping.verdict, ping.packet.src, ping.packet.ttl], ['forward', CLOUD, 64]);
  const sent = t.one(tcp4(`${NODE1}:4000`, `${CLIENT}:80`, SYN)).frame;
  const { verdict, packet } = t.one(icmpError4(CLOUD, PUBLIC1, 3, 4, sent, 1280));
  assert.deepEqual([verdict, packet.src, packet.dst, packet.ttl], ['forward', CLOUD, NODE1, 64]);
});

test('a changed or removed public address of a node takes effect', () => {
  const t = gateway();
  const syn = tcp4(`${NODE1}:4000`, `${CLIENT}:80`, SYN);
  assert.match(fate(t, syn), new RegExp(`^${PUBLIC1}:`));
  const moved = {
    ...GATEWAY_IMAGE.node!,
    gateway: Int32Array.of(addr(NODE1), addr('198.51.100.99')),
  };
  t.writer.publish(change({ node: moved }));
  assert.match(fate(t, syn), /^198\.51\.100\.99:/);
  assert.equal(fate(t, tcp4(`${CLIENT}:1`, `${PUBLIC1}:80`, SYN)), 'unallocated');
  assert.equal(fate(t, tcp4(`${NODE2}:1`, `${CLIENT}:80`, SYN)), 'foreign-source');
});
