// The flows and counters that the commands show, read from the arena alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { H_NOW } from '../../../../datapath/arena/layout.ts';
import { LINE_WORDS, W_BYTES, W_BYTES_HIGH, W_PACKETS } from '../../../../datapath/flow/line.ts';
import { readCounters } from '../../../../datapath/observe/counters.ts';
import { type FlowRow, readArena } from '../../../../datapath/observe/flows.ts';
import {
  BACKEND,
  change,
  createTestDatapath,
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
import { ACK, echo4, ip4, SYN, tcp4, udp4 } from '../../../support/packets.ts';

const rows = (t: TestDatapath): FlowRow[] => [...readArena(t.d.arena).flows()];

test('a connection through a Service has both tuples as on the wire', () => {
  const t = createTestDatapath();
  t.one(tcp4(`${POD}:40000`, `${VIP}:80`, SYN, [], { seq: 999 }));
  t.one(tcp4(`${BACKEND}:8080`, `${POD}:40000`, SYN | ACK, [], { seq: 9, ack: 1000 }));
  t.one(tcp4(`${POD}:40000`, `${VIP}:80`, ACK, new Array(60).fill(1), { seq: 1000, ack: 10 }));
  t.d.header[H_NOW] = t.now + 400;
  assert.deepEqual(rows(t), [
    {
      id: 0,
      proto: 'tcp',
      state: 'ESTABLISHED',
      original: { src: POD, sport: 40_000, dst: VIP, dport: 80 },
      reply: { src: BACKEND, sport: 8080, dst: POD, dport: 40_000 },
      timeoutS: 86_400,
      packets: 3,
      bytes: 40 + 40 + 100,
      service: 'default/web1:80',
      flags: ['dnat', 'assured'],
    },
  ]);
});

test('a masqueraded echo has its identifiers, an unreplied datagram its flag', () => {
  const t = createTestDatapath();
  const { frame } = t.one(echo4(POD, OUTSIDE, 0xbeef));
  t.one(udp4(`${POD}:1`, `${BACKEND}:2`));
  const [echo, datagram] = rows(t);
  const id = frame[34]! * 256 + frame[35]!;
  assert.deepEqual(echo!.original, { src: POD, sport: 0xbeef, dst: OUTSIDE, dport: 0xbeef });
  assert.deepEqual(echo!.reply, { src: OUTSIDE, sport: id, dst: NODE, dport: id });
  assert.deepEqual([echo!.proto, echo!.state, echo!.service], ['icmp', 'ECHO', null]);
  assert.deepEqual(echo!.flags, ['snat', 'unreplied']);
  assert.deepEqual([datagram!.state, datagram!.flags], ['UNREPLIED', ['unreplied']]);
});

test('a hairpin has its flag, and a protocol without a name its number', () => {
  const image = change({
    node: NODE_ENTRY,
    upsert: [service(1, { cluster: pairs(`${POD}:8080`) })],
    addFrontends: [frontend(`${VIP}:80`, 1)],
  });
  const t = createTestDatapath({ image });
  t.one(tcp4(`${POD}:1`, `${VIP}:80`, SYN));
  t.one(ip4(POD, BACKEND, 47, [1, 2, 3, 4]));
  assert.deepEqual(
    rows(t).map((row) => [row.proto, row.state, row.flags.includes('hairpin')]),
    [
      ['tcp', 'SYN_SENT', true],
      ['47', 'NONE', false],
    ],
  );
});

test('the time left of a flow counts down to zero and not below', () => {
  const t = createTestDatapath();
  t.one(udp4(`${POD}:1`, `${VIP}:53`));
  for (const [ms, left] of [
    [0, 30],
    [1, 30],
    [29_001, 1],
    [30_000, 0],
    [99_000, 0],
  ] as const) {
    t.d.header[H_NOW] = t.now + ms;
    assert.equal(rows(t)[0]!.timeoutS, left);
  }
});

test('a flow without its Service keeps all other fields', () => {
  const t = createTestDatapath();
  t.one(tcp4(`${POD}:1`, `${VIP}:80`, SYN));
  t.one(tcp4(`${BACKEND}:8080`, `${POD}:1`, SYN | ACK));
  assert.equal(t.writer.flowsOf(1), 1);
  t.writer.publish(change({ remove: [1] }));
  assert.deepEqual([rows(t)[0]!.service, rows(t)[0]!.packets], [null, 2]);
});

test('counts bytes in 64 bits, on the fast path and off it', () => {
  for (const useFastPath of [true, false]) {
    const t = createTestDatapath();
    t.d.useFastPath = useFastPath;
    t.one(tcp4(`${POD}:1`, `${VIP}:80`, SYN, [], { seq: 999 }));
    t.one(tcp4(`${BACKEND}:8080`, `${POD}:1`, SYN | ACK, [], { seq: 9, ack: 1000 }));
    t.one(tcp4(`${POD}:1`, `${VIP}:80`, ACK, [], { seq: 1000, ack: 10 }));
    t.d.lines[W_BYTES] = -41;
    t.one(tcp4(`${POD}:1`, `${VIP}:80`, ACK, [], { seq: 1000, ack: 10 }));
    assert.equal(rows(t)[0]!.bytes, 2 ** 32 - 1 + 40);
    t.one(tcp4(`${POD}:1`, `${VIP}:80`, ACK, [], { seq: 1000, ack: 10 }));
    assert.equal(rows(t)[0]!.bytes, 2 ** 32 + 39 + 40);
  }
});

test('a flow that replaces another counts from zero', () => {
  const t = createTestDatapath();
  t.one(udp4(`${POD}:1`, `${VIP}:53`));
  t.d.lines.fill(-1, W_PACKETS, W_BYTES_HIGH + 1);
  t.d.lines.fill(-1, LINE_WORDS + W_PACKETS, LINE_WORDS + W_BYTES_HIGH + 1);
  t.d.table.remove(0);
  t.one(udp4(`${POD}:2`, `${VIP}:53`, [1, 2]));
  assert.deepEqual(
    rows(t).map((row) => [row.packets, row.bytes]),
    [[1, 30]],
  );
});

test('the number of flows is the sum over their states, without free slots', () => {
  const t = createTestDatapath();
  for (let n = 0; n < 5; n++) t.one(udp4(`${POD}:${n + 1}`, `${VIP}:53`));
  t.one(tcp4(`${POD}:1`, `${VIP}:80`, SYN));
  t.d.table.remove(2);
  for (let n = 0; n < 2; n++) t.one(udp4(`${POD}:1`, '10.96.7.7:53'));
  assert.deepEqual(readArena(t.d.arena).count(), {
    flows: 5,
    capacity: 1024,
    byState: { UNREPLIED: 4, SYN_SENT: 1 },
    drops: { unallocated: 2 },
  });
  assert.equal(rows(t).length, 5);
  assert.equal(readArena(t.d.arena).generation(), t.writer.generation);
});

test('every counter has its name, drops first', () => {
  const t = createTestDatapath();
  t.one(udp4(`${POD}:1`, '10.96.7.7:53'));
  t.one(udp4(`${POD}:1`, `${VIP}:53`));
  const counters = readCounters(t.d.arena);
  const of = (name: string) => counters.find((row) => row.name === name)!;
  assert.deepEqual([of('unallocated').value, of('unallocated').drop], [1, true]);
  assert.deepEqual([of('packets').value, of('packets').drop], [2, false]);
  assert.equal(of('forwarded').value, 1);
  const isDrop = counters.map((row) => row.drop);
  assert.ok(isDrop.lastIndexOf(true) < isDrop.indexOf(false));
  assert.ok(counters.every((row) => row.name !== 'none' && row.help !== ''));
});
