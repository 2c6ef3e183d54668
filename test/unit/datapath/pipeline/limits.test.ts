// Limits: a full table, no free port, expired time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readArena } from '../../../../datapath/observe/flows.ts';
import {
  BACKEND,
  change,
  createTestDatapath,
  NODE_ENTRY,
  OUTSIDE,
  POD,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import { flowCount } from '../../../support/flow-count.ts';
import { ACK, echo4, FIN, ip4, RST, SYN, tcp4, udp4 } from '../../../support/packets.ts';

const flows = (t: TestDatapath) => flowCount(t.d.table);

/** A connection whose handshake is complete. */
function establish(t: TestDatapath, sport: number): void {
  t.one(tcp4(`${POD}:${sport}`, `${VIP}:80`, SYN, [], { seq: 999 }));
  t.one(tcp4(`${BACKEND}:8080`, `${POD}:${sport}`, SYN | ACK, [], { seq: 99, ack: 1000 }));
  t.one(tcp4(`${POD}:${sport}`, `${VIP}:80`, ACK, [], { seq: 1000, ack: 100 }));
}

test('refuses a new flow when the table is full of established ones, counts it and loses none', () => {
  const t = createTestDatapath({ flowsMax: 16 });
  for (let i = 0; i < 16; i++) establish(t, 4000 + i);
  assert.equal(flows(t), 16);
  assert.equal(t.one(tcp4(`${POD}:5000`, `${VIP}:80`, SYN)).verdict, 'table-full');
  assert.equal(t.counter('table-full'), 1);
  assert.equal(t.counter('flows-evicted'), 0);
  for (let i = 0; i < 16; i++) {
    const { packet } = t.one(
      tcp4(`${POD}:${4000 + i}`, `${VIP}:80`, ACK, [1], { seq: 1000, ack: 100 }),
    );
    assert.equal(packet.dst, BACKEND);
  }
});

test('evicts unreplied flows for a new one, not established ones', () => {
  const t = createTestDatapath({ flowsMax: 16 });
  for (let i = 0; i < 8; i++) establish(t, 4000 + i);
  for (let i = 0; i < 8; i++) t.one(tcp4(`${POD}:${4100 + i}`, `${VIP}:80`, SYN));
  for (let i = 0; i < 50; i++) {
    assert.equal(t.one(tcp4(`${POD}:${5000 + i}`, `${VIP}:80`, SYN)).verdict, 'forward');
  }
  assert.equal(t.counter('flows-evicted'), 50);
  const states = [...readArena(t.d.arena).flows()].map((flow) => flow.state);
  assert.equal(states.filter((state) => state === 'ESTABLISHED').length, 8);
});

test('evicts closed connections too', () => {
  const t = createTestDatapath({ flowsMax: 16 });
  for (let i = 0; i < 16; i++) establish(t, 4000 + i);
  t.one(tcp4(`${BACKEND}:8080`, `${POD}:4003`, RST, [], { seq: 100 }));
  assert.equal(t.one(tcp4(`${POD}:5000`, `${VIP}:80`, SYN)).verdict, 'forward');
  assert.equal(
    t.one(tcp4(`${POD}:5001`, `${VIP}:80`, SYN)).verdict,
    'forward',
    'the closed connection is evicted',
  );
});

test('SNAT ports are in the range, serve several destinations, and can run out for one of them', () => {
  const image = change({ node: { ...NODE_ENTRY, snatPortMin: 50_000, snatPortMax: 50_015 } });
  const t = createTestDatapath({ image });
  const ports = new Set<number>();
  for (let i = 0; i < 16; i++) {
    const { verdict, packet } = t.one(udp4(`${POD}:${4000 + i}`, `${OUTSIDE}:53`));
    assert.equal(verdict, 'forward');
    ports.add(packet.sport);
  }
  assert.deepEqual(
    [...ports].sort(),
    Array.from({ length: 16 }, (_, i) => 50_000 + i),
  );
  assert.equal(t.one(udp4(`${POD}:5000`, `${OUTSIDE}:53`)).verdict, 'snat-ports');
  assert.equal(t.counter('snat-ports'), 1);
  assert.equal(
    t.one(udp4(`${POD}:5000`, `${OUTSIDE}:54`)).verdict,
    'forward',
    'another destination port',
  );
  assert.equal(t.one(udp4(`${POD}:5000`, '203.0.113.11:53')).verdict, 'forward', 'another host');
  assert.equal(t.one(udp4(`${POD}:4003`, `${OUTSIDE}:53`)).verdict, 'forward', 'an old flow');
});

/** Row: the actions at time 0, and the flow's lifetime in silence. */
const LIVES: [what: string, seconds: number, act: (t: TestDatapath) => void][] = [
  ['a SYN without an answer', 120, (t) => t.one(tcp4(`${POD}:1`, `${VIP}:80`, SYN))],
  ['an established connection', 86_400, (t) => establish(t, 1)],
  [
    'a half-closed connection',
    3600,
    (t) => {
      establish(t, 1);
      t.one(tcp4(`${POD}:1`, `${VIP}:80`, FIN | ACK, [], { seq: 1000, ack: 100 }));
      t.one(tcp4(`${BACKEND}:8080`, `${POD}:1`, ACK, [], { seq: 100, ack: 1001 }));
    },
  ],
  [
    'a connection that was reset',
    10,
    (t) => {
      establish(t, 1);
      t.one(tcp4(`${BACKEND}:8080`, `${POD}:1`, RST, [], { seq: 100 }));
    },
  ],
  ['a datagram without an answer', 30, (t) => t.one(udp4(`${POD}:1`, `${VIP}:53`))],
  [
    'an exchange of datagrams',
    30,
    (t) => {
      t.one(udp4(`${POD}:1`, `${VIP}:53`));
      t.one(udp4(`${BACKEND}:5353`, `${POD}:1`));
    },
  ],
  ['an echo request', 30, (t) => t.one(echo4(POD, OUTSIDE, 7))],
];

for (const [what, seconds, act] of LIVES) {
  // The clock is a wrapping int32 of ms: once midway, once across the wrap.
  for (const begin of [1000, 0x7fff_ff00]) {
    test(`${what} lives ${seconds} s and no longer, from clock ${begin}`, () => {
      const t = createTestDatapath();
      t.tick(begin | 0);
      act(t);
      t.tick((begin + seconds * 1000 - 1) | 0);
      assert.equal(flows(t), 1);
      t.tick((begin + seconds * 1000) | 0);
      assert.equal(flows(t), 0);
      assert.equal(t.counter('flows-expired'), 1);
    });
  }
}

test('replied UDP that lasts beyond 2 s is a stream and lives 120 s', () => {
  const t = createTestDatapath();
  t.one(udp4(`${POD}:1`, `${VIP}:53`));
  t.now += 2500;
  t.one(udp4(`${BACKEND}:5353`, `${POD}:1`));
  const begun = t.now;
  const [flow] = [...readArena(t.d.arena).flows()];
  assert.deepEqual([flow!.state, flow!.flags], ['STREAM', ['dnat', 'assured']]);
  t.tick(begun + 119_999);
  assert.equal(flows(t), 1);
  t.tick(begun + 120_000);
  assert.equal(flows(t), 0);
});

test('replied UDP that lasts less than 2 s is not a stream and may be evicted', () => {
  const t = createTestDatapath({ flowsMax: 16 });
  for (const wait of [0, 1000, 999]) {
    t.now += wait;
    t.one(udp4(`${POD}:1`, `${VIP}:53`));
    t.one(udp4(`${BACKEND}:5353`, `${POD}:1`));
  }
  const [flow] = [...readArena(t.d.arena).flows()];
  assert.deepEqual([flow!.state, flow!.flags], ['REPLIED', ['dnat']]);
});

test('an SCTP association is assured after a reply and lives 210 s from then', () => {
  const t = createTestDatapath({ flowsMax: 16 });
  const ports = [0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
  t.one(ip4(POD, BACKEND, 132, ports));
  t.one(ip4(BACKEND, POD, 132, [0, 2, 0, 1, ...ports.slice(4)]));
  const [flow] = [...readArena(t.d.arena).flows()];
  assert.deepEqual([flow!.state, flow!.flags], ['SCTP_ESTABLISHED', ['assured']]);
  t.tick(t.now + 209_999);
  assert.equal(flows(t), 1);
  t.tick(t.now + 1);
  assert.equal(flows(t), 0);
});

test('expiry visits a bounded part of a large table at a time, and all of it finally', () => {
  const t = createTestDatapath({ flowsMax: 16_384 });
  for (let i = 0; i < 10_000; i++) {
    t.one(udp4(`10.244.1.${2 + (i % 200)}:${1000 + Math.floor(i / 200)}`, `${VIP}:53`));
  }
  t.tick(t.now + 60_000);
  const left = flows(t);
  assert.ok(left > 5000 && left < 10_000, `${left} are left after one slice`);
  for (let i = 0; i < 10; i++) t.tick(t.now + 100);
  assert.equal(flows(t), 0);
});
