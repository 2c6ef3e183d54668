// ICMP at the edge: errors of the gateway's own kernel, errors of others, and misplaced ones.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTestDatapath, type TestDatapath } from '../../../support/datapath.ts';
import {
  BALANCED,
  CLOUD,
  CLOUD_OUTSIDE,
  GATEWAY_OUTSIDE,
  NODE1,
  NODE2,
  PUBLIC1,
  PUBLIC2,
} from '../../../support/gateway.ts';
import {
  type Decoded,
  decode,
  echo4,
  icmp4,
  icmpError4,
  SYN,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const CLIENT = '203.0.113.10';
const OTHER = '203.0.113.77';
const TTL = 63;

const gateway = (): TestDatapath => createTestDatapath({ image: GATEWAY_OUTSIDE });

function quoted(frame: Uint8Array): Decoded {
  return decode(Uint8Array.from([...new Uint8Array(10), ...frame.subarray(10 + 28)]));
}

/** The error as it leaves: outer tuple, quoted tuple, hops. */
function passage(t: TestDatapath, error: Uint8Array): string {
  const { verdict, packet, frame } = t.one(error);
  if (verdict !== 'forward') return verdict;
  assert.ok(packet.ipOk && packet.l4Ok && quoted(frame).ipOk, 'right sums');
  const { src, dst } = quoted(frame);
  return `${packet.src} > ${packet.dst} about ${src} > ${dst}, ${packet.ttl - TTL}`;
}

const TO_NODE = udp4(`${CLIENT}:4000`, `${PUBLIC1}:53`);
const TO_BALANCER = udp4(`${CLIENT}:4000`, `${BALANCED}:53`);

describe("the gateway's own kernel", () => {
  for (const [what, frame, dst] of [
    ['a packet to a node', TO_NODE, PUBLIC1],
    ['a packet to a balancer', TO_BALANCER, BALANCED],
    ['a packet to itself', udp4(`${CLIENT}:4000`, `${CLOUD_OUTSIDE}:53`), CLOUD_OUTSIDE],
  ] as const) {
    test(`sends an error about ${what} before translation, from its outside address`, () => {
      for (const from of [CLOUD, CLOUD_OUTSIDE]) {
        const error = icmpError4(from, CLIENT, 3, 4, frame, 1280);
        const expected = `${CLOUD_OUTSIDE} > ${CLIENT} about ${CLIENT} > ${dst}, 1`;
        assert.equal(passage(gateway(), error), expected);
      }
    });
  }

  test('sends an error after translation: the sender gets its own packet quoted, from outside', () => {
    for (const [frame, dst] of [
      [TO_NODE, PUBLIC1],
      [TO_BALANCER, BALANCED],
    ] as const) {
      const t = gateway();
      const sent = t.one(frame).frame;
      const error = icmpError4(CLOUD, CLIENT, 11, 0, sent);
      const expected = `${CLOUD_OUTSIDE} > ${CLIENT} about ${CLIENT} > ${dst}, 1`;
      assert.equal(passage(t, error), expected);
    }
  });

  test('sends an error to a node from its inside address', () => {
    const t = gateway();
    const sent = t.one(udp4(`${NODE1}:4000`, `${CLIENT}:53`)).frame;
    const error = icmpError4(CLOUD, PUBLIC1, 3, 4, sent, 1280);
    assert.equal(passage(t, error), `${CLOUD} > ${NODE1} about ${NODE1} > ${CLIENT}, 1`);
  });

  test('answers an echo to its outside address from both sides, and can ping', () => {
    const t = gateway();
    const rows: [Uint8Array, string, string][] = [
      [echo4(CLOUD_OUTSIDE, CLIENT, 7, true), CLOUD_OUTSIDE, CLIENT],
      [echo4(CLOUD, PUBLIC1, 7, true), CLOUD, NODE1],
      [echo4(CLOUD, CLIENT, 7), CLOUD_OUTSIDE, CLIENT],
      [echo4(NODE1, CLOUD_OUTSIDE, 7), PUBLIC1, CLOUD],
    ];
    for (const [frame, src, dst] of rows) {
      const { verdict, packet } = t.one(frame);
      assert.deepEqual(
        [verdict, packet.src, packet.dst, packet.ttl],
        ['forward', src, dst, TTL + 1],
      );
      assert.ok(packet.ipOk && packet.l4Ok);
    }
  });
});

test('errors of others pass if they are about a packet of or to a node', () => {
  const t = gateway();
  const out = t.one(udp4(`${NODE1}:4000`, `${CLIENT}:53`)).frame;
  const inward = t.one(TO_NODE).frame;
  const between = t.one(udp4(`${NODE1}:4000`, `${PUBLIC2}:53`)).frame;
  const rows: [Uint8Array, string][] = [
    [icmpError4(OTHER, PUBLIC1, 11, 0, out), `${OTHER} > ${NODE1} about ${NODE1} > ${CLIENT}, 1`],
    [
      icmpError4(NODE1, CLIENT, 3, 3, inward),
      `${PUBLIC1} > ${CLIENT} about ${CLIENT} > ${PUBLIC1}, 1`,
    ],
    [
      icmpError4(NODE2, PUBLIC1, 3, 3, between),
      `${PUBLIC2} > ${NODE1} about ${NODE1} > ${PUBLIC2}, 1`,
    ],
  ];
  for (const [error, expected] of rows) assert.equal(passage(t, error), expected);
});

const BETWEEN_NODES = tcp4(`${NODE1}:4000`, `${NODE2}:80`, SYN);
const UNRELATED: [string, Uint8Array][] = [
  [
    'from outside, to the private address of a node',
    icmpError4(CLIENT, NODE1, 3, 4, BETWEEN_NODES, 600),
  ],
  ['between nodes, by way of the gateway', icmpError4(NODE2, NODE1, 3, 3, BETWEEN_NODES)],
  [
    'from outside to outside, about a node',
    icmpError4(CLIENT, OTHER, 3, 3, udp4(`${OTHER}:1`, `${NODE1}:2`)),
  ],
  ['to a host other than the source of its quote', icmpError4(NODE1, OTHER, 3, 3, TO_NODE)],
  ['about an unknown host', icmpError4(CLIENT, OTHER, 3, 3, udp4(`${OTHER}:1`, '192.0.2.1:2'))],
];
for (const [what, error] of UNRELATED) {
  test(`an error ${what} is dropped and counted`, () => {
    const t = gateway();
    t.one(TO_NODE);
    assert.equal(t.one(error).verdict, 'icmp-without-flow');
    assert.equal(t.counter('icmp-without-flow'), 1);
  });
}

test('an error about a balanced packet to a host other than its sender is dropped', () => {
  const t = gateway();
  const { frame, packet } = t.one(TO_BALANCER);
  assert.equal(t.one(icmpError4(packet.dst, OTHER, 3, 3, frame)).verdict, 'icmp-without-flow');
  assert.equal(t.one(icmpError4(packet.dst, CLIENT, 3, 3, frame)).packet.src, BALANCED);
});

test('redirects and source quenches are dropped from either side, to nodes, balancers and clients', () => {
  for (const type of [4, 5]) {
    for (const [from, to] of [
      [CLIENT, PUBLIC1],
      [CLIENT, BALANCED],
      [NODE1, CLIENT],
      [NODE1, PUBLIC2],
    ] as const) {
      const t = gateway();
      const message = icmp4(from, to, type, 1, [203, 0, 113, 9, ...BETWEEN_NODES.subarray(10, 38)]);
      assert.equal(t.one(message).verdict, 'icmp-without-flow', `${type} ${from} > ${to}`);
    }
  }
});
