import assert from 'node:assert/strict';
import { test } from 'node:test';
import { H_NOW } from '../../../../datapath/arena/layout.ts';
import { STATE_NAMES } from '../../../../datapath/flow/state.ts';
import { readArena } from '../../../../datapath/observe/flows.ts';
import {
  BACKEND,
  createTestDatapath,
  POD,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import { flowCount } from '../../../support/flow-count.ts';
import { ACK, FIN, RST, SYN, tcp4 } from '../../../support/packets.ts';

const client = (flags: number, seq = 1001, ack = 5001, data: number[] = []) =>
  tcp4(`${POD}:4000`, `${VIP}:80`, flags, data, { seq, ack });
const backend = (flags: number, seq = 5001, ack = 1001, data: number[] = []) =>
  tcp4(`${BACKEND}:8080`, `${POD}:4000`, flags, data, { seq, ack });

function state(t: TestDatapath): string {
  const [flow] = [...readArena(t.d.arena).flows()];
  return flow ? flow.state : 'none';
}

function open(): TestDatapath {
  const t = createTestDatapath();
  t.send(client(SYN, 1000, 0), backend(SYN | ACK, 5000, 1001), client(ACK));
  return t;
}

test('a handshake is SYN_SENT, SYN_RECV, ESTABLISHED and assured', () => {
  const t = createTestDatapath();
  t.one(client(SYN, 1000, 0));
  assert.equal(state(t), 'SYN_SENT');
  t.one(backend(SYN | ACK, 5000, 1001));
  assert.equal(state(t), 'SYN_RECV');
  t.one(client(ACK));
  assert.equal(state(t), 'ESTABLISHED');
  assert.deepEqual([...readArena(t.d.arena).flows()][0]!.flags, ['dnat', 'assured']);
});

test('an orderly close is FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT', () => {
  const t = open();
  const steps: [Uint8Array, string][] = [
    [client(FIN | ACK), 'FIN_WAIT'],
    [backend(ACK, 5001, 1002), 'CLOSE_WAIT'],
    [backend(FIN | ACK, 5001, 1002), 'LAST_ACK'],
    [client(ACK, 1002, 5002), 'TIME_WAIT'],
  ];
  for (const [frame, expected] of steps) {
    t.one(frame);
    assert.equal(state(t), expected);
  }
});

test('simultaneous open goes through SYN_SENT2 to ESTABLISHED', () => {
  const t = createTestDatapath();
  t.one(client(SYN, 1000, 0));
  t.one(backend(SYN, 5000, 0));
  assert.equal(state(t), 'SYN_SENT2');
  t.one(client(SYN | ACK, 1000, 5001));
  t.one(backend(ACK, 5001, 1001));
  t.one(client(ACK));
  assert.equal(state(t), 'ESTABLISHED');
});

test('an RST at the sequence that the peer expects closes', () => {
  const t = open();
  t.one(backend(RST, 5001, 0));
  assert.equal(state(t), 'CLOSE');
});

// Initial sequence numbers are random int32 values: the result must not depend on their sign or
// size.
for (const [isnClient, isnBackend] of [
  [0x10, 0x58_4f_00_00],
  [0x90_00_00_00, 0xb0_00_00_00],
  [0x58_4f_00_00, 0xff_ff_ff_ff],
  [0xff_ff_ff_ff, 0x7f_ff_ff_ff],
] as const) {
  test(`an RST closes at any initial sequence numbers: ${isnClient}, ${isnBackend}`, () => {
    for (const byBackend of [true, false]) {
      const t = createTestDatapath();
      const [c, b] = [(isnClient + 1) >>> 0, (isnBackend + 1) >>> 0];
      t.send(client(SYN, isnClient, 0), backend(SYN | ACK, isnBackend, c), client(ACK, c, b));
      t.one(client(ACK, c, b, [1, 2, 3]));
      assert.equal(state(t), 'ESTABLISHED');
      t.one(byBackend ? backend(RST | ACK, b, c + 3) : client(RST | ACK, c + 3, b));
      assert.equal(state(t), 'CLOSE');
    }
  });
}

test('a blind RST passes, is counted and closes nothing', () => {
  const t = open();
  for (const seq of [0, 4000, 6000, 2 ** 31, 2 ** 32 - 1]) {
    assert.equal(t.one(backend(RST, seq, 0)).verdict, 'forward');
  }
  assert.equal(state(t), 'ESTABLISHED');
  assert.equal(t.counter('rst-implausible'), 5);
});

for (const leap of [2 ** 24, 2 ** 30]) {
  for (const useFastPath of [true, false]) {
    test(`a spoofed segment ${leap} ahead does not make a later RST plausible, fast path ${useFastPath}`, () => {
      const t = open();
      t.d.useFastPath = useFastPath;
      t.one(backend(ACK, 5001 + leap, 1001));
      t.one(client(ACK, 1001, 5001 + leap));
      t.one(backend(RST, 5001 + leap - 1, 0));
      t.one(backend(RST, 5001 + leap, 0));
      assert.equal(state(t), 'ESTABLISHED');
    });
  }
}

test('accepts sequence numbers that are nearly 16 MiB ahead', () => {
  const t = open();
  t.one(backend(ACK, 5001 + 2 ** 24 - 1, 1001));
  t.one(backend(RST, 5001 + 2 ** 24 - 1, 0));
  assert.equal(state(t), 'CLOSE');
});

// Numbers far from those that a reused line has left.
for (const [seq, ack] of [
  [100, 50],
  [0x9000_0000, 0xb000_0000],
  [0x5000_0000, 0xd000_0000],
] as const) {
  for (const closes of ['client', 'backend']) {
    test(`a connection picked up at ${seq}, ${ack} is established, assured after a reply, and closed by the ${closes}`, () => {
      const t = createTestDatapath();
      const there = (flags: number, n: number, data: number[]) =>
        t.one(tcp4(`${POD}:1`, `${BACKEND}:9`, flags, data, { seq: n, ack }));
      const back = (flags: number, n: number, data: number[]) =>
        t.one(tcp4(`${BACKEND}:9`, `${POD}:1`, flags, data, { seq: n, ack: seq + 2 }));
      there(ACK, seq, [1]);
      there(ACK, seq + 1, [1]);
      const flow = () => [...readArena(t.d.arena).flows()][0]!;
      assert.deepEqual([flow().state, flow().flags], ['ESTABLISHED', ['unreplied']]);
      back(ACK, ack, [1]);
      assert.deepEqual([flow().state, flow().flags], ['ESTABLISHED', ['assured']]);
      if (closes === 'client') there(RST, seq + 2, []);
      else back(RST, ack + 1, []);
      assert.equal(flow().state, 'CLOSE', 'its sequence numbers were picked up as well');
    });
  }
}

test('a connection picked up midway can be reset before its first reply, and is deleted', () => {
  const t = createTestDatapath();
  t.one(tcp4(`${POD}:1`, `${BACKEND}:9`, ACK, [1], { seq: 0x9000_0000, ack: 0xb000_0000 }));
  t.one(tcp4(`${BACKEND}:9`, `${POD}:1`, RST, [], { seq: 0xb000_0001 }));
  assert.equal(state(t), 'ESTABLISHED');
  t.one(tcp4(`${BACKEND}:9`, `${POD}:1`, RST, [], { seq: 0xb000_0000 }));
  assert.equal(state(t), 'none');
});

test('a segment other than a plain ACK is not picked up, but passes and is counted', () => {
  const t = createTestDatapath();
  for (const flags of [SYN | ACK, FIN | ACK, RST]) {
    const { verdict, packet } = t.one(tcp4(`${POD}:1`, `${BACKEND}:9`, flags));
    assert.deepEqual([verdict, packet.ttl, packet.ipOk], ['forward', 64, true], 'one hop');
  }
  assert.equal(state(t), 'none');
  assert.equal(t.counter('passed-untracked'), 3);
});

test('only an RST that acknowledges the SYN deletes a refused connection', () => {
  const t = createTestDatapath();
  t.one(client(SYN, 1000, 0));
  t.one(backend(RST | ACK, 0, 999));
  assert.equal(state(t), 'SYN_SENT');
  const { packet, verdict } = t.one(backend(RST | ACK, 0, 1001));
  assert.equal(state(t), 'none');
  assert.deepEqual(
    [verdict, packet.src, packet.sport],
    ['forward', VIP, 80],
    'the RST is still translated',
  );
});

test('a SYN after TIME_WAIT opens a new flow in place of the old one', () => {
  const t = open();
  t.send(client(FIN | ACK), backend(FIN | ACK, 5001, 1002), client(ACK, 1002, 5002));
  assert.equal(state(t), 'TIME_WAIT');
  const before = [...readArena(t.d.arena).flows()][0]!;
  assert.ok(before.packets > 3);
  t.one(client(SYN, 90_000, 0));
  const [after, ...more] = [...readArena(t.d.arena).flows()];
  assert.deepEqual([after!.state, after!.packets, more.length], ['SYN_SENT', 1, 0]);
  assert.equal(t.counter('flows-reopened'), 1);
});

test('a repeated SYN keeps its endpoint', () => {
  const t = createTestDatapath();
  const first = t.one(client(SYN, 1000, 0)).packet;
  const second = t.one(client(SYN, 1000, 0)).packet;
  assert.deepEqual([first.dst, first.sport], [second.dst, second.sport]);
  assert.equal(t.counter('flows-made'), 1);
});

test('a SYN and its repetition in one batch make one flow', () => {
  const t = createTestDatapath();
  t.send(client(SYN, 1000, 0), client(SYN, 1000, 0));
  assert.equal(flowCount(t.d.table), 1);
});

test('every state has a name and a timeout', () => {
  const { timeouts } = createTestDatapath().d;
  assert.equal(STATE_NAMES.length, timeouts.length);
  for (const timeout of timeouts) assert.ok(timeout > 0 && timeout < 2 ** 31);
});

test('an established flow lives a day of silence and no longer, while the clock wraps', () => {
  const t = createTestDatapath();
  t.now = 2 ** 31 - 1000;
  t.send(client(SYN, 1000, 0), backend(SYN | ACK, 5000, 1001), client(ACK));
  const start = t.now;
  t.tick((start + 86_399_000) | 0);
  assert.equal(state(t), 'ESTABLISHED');
  t.tick((start + 86_400_000) | 0);
  assert.equal(state(t), 'none');
  assert.equal(t.counter('flows-expired'), 1);
});

test('no segment is dropped for its sequence: far ahead of the window, far behind, or in a closed one', () => {
  const t = open();
  for (const [seq, ack] of [
    [1001 + 0x3000_0000, 5001],
    [1001 - 70_000, 5001],
    [1001, 5001 - 70_000],
    [1001, 5001 + 0x3000_0000],
  ] as const) {
    const { verdict, packet } = t.one(client(ACK, seq, ack, [1, 2, 3]));
    assert.deepEqual([verdict, packet.dst, packet.l4Ok], ['forward', BACKEND, true]);
  }
  assert.equal(state(t), 'ESTABLISHED');
});

test('repeated segments, from the SYN to the last ACK, do not change the state', () => {
  const t = createTestDatapath();
  const steps: [Uint8Array, string, times?: number][] = [
    [client(SYN, 1000, 0), 'SYN_SENT'],
    [backend(SYN | ACK, 5000, 1001), 'SYN_RECV'],
    [client(ACK), 'ESTABLISHED'],
    [client(ACK, 1001, 5001, [1, 2, 3]), 'ESTABLISHED'],
    // A repeated FIN would count as the other side's, as in the kernel's table.
    [client(FIN | ACK, 1004, 5001), 'FIN_WAIT', 1],
    [backend(ACK, 5001, 1005), 'CLOSE_WAIT'],
    [backend(FIN | ACK, 5001, 1005), 'LAST_ACK'],
    [client(ACK, 1005, 5002), 'TIME_WAIT'],
  ];
  for (const [frame, expected, times = 3] of steps) {
    for (let n = 0; n < times; n++) assert.equal(t.one(frame).verdict, 'forward');
    assert.equal(state(t), expected);
  }
  assert.equal(t.counter('flows-made'), 1);
});

test("a repeated FIN ends no flow: the other side's segments still pass", () => {
  const t = open();
  for (let n = 0; n < 3; n++) t.one(client(FIN | ACK));
  const { packet } = t.one(backend(ACK, 5001, 1002, [1, 2, 3]));
  assert.deepEqual([packet.src, packet.sport], [VIP, 80]);
  assert.equal(t.counter('flows-made'), 1);
});

/** Seconds until the flow expires. */
function left(t: TestDatapath): number {
  t.d.header[H_NOW] = t.now;
  return [...readArena(t.d.arena).flows()][0]!.timeoutS;
}

test('a SYN over a connection that the ends forgot is remembered, and the RST that answers it closes', () => {
  const t = open();
  t.now += 60_000;
  t.one(client(SYN, 70_000, 0));
  assert.deepEqual([state(t), left(t)], ['ESTABLISHED', 86_340]);
  const { packet } = t.one(backend(RST | ACK, 0, 70_001));
  assert.deepEqual([packet.src, packet.sport, packet.ack], [VIP, 80, 70_001]);
  assert.deepEqual([state(t), left(t), t.counter('rst-implausible')], ['CLOSE', 10, 0]);
  // Further SYNs pass and renew nothing. The first one after 10 s gets an endpoint again.
  for (let n = 0; n < 4; n++) {
    t.now += 2000;
    t.one(client(SYN, 70_000, 0));
  }
  assert.deepEqual([state(t), left(t)], ['CLOSE', 2]);
  t.tick(t.now + 2000);
  t.one(client(SYN, 70_000, 0));
  assert.deepEqual([state(t), t.counter('flows-made')], ['SYN_SENT', 2]);
});

test('a connection that starts in LAST_ACK is established, and later segments count for it', () => {
  const t = open();
  t.send(client(FIN | ACK), backend(FIN | ACK, 5001, 1002));
  assert.equal(state(t), 'LAST_ACK');
  t.one(client(SYN, 70_000, 0));
  assert.equal(state(t), 'LAST_ACK');
  // RFC 5961 4: the backend challenges the SYN. This is not the last ACK.
  t.one(backend(ACK, 5002, 1002));
  assert.equal(state(t), 'LAST_ACK');
  const steps: [Uint8Array, string][] = [
    [client(SYN, 70_000, 0), 'LAST_ACK'],
    [backend(SYN | ACK, 9000, 70_001), 'SYN_RECV'],
    [client(ACK, 70_001, 9001), 'ESTABLISHED'],
    [client(ACK, 70_001, 9001, [1, 2, 3]), 'ESTABLISHED'],
    [backend(ACK, 9001, 70_004), 'ESTABLISHED'],
    [backend(RST, 9001, 0), 'CLOSE'],
  ];
  for (const [frame, expected] of steps) {
    assert.equal(t.one(frame).verdict, 'forward');
    assert.equal(state(t), expected);
  }
});

const SILENT: [string, (t: TestDatapath) => void, Uint8Array, string, number][] = [
  ['a repeated SYN', () => {}, client(SYN, 1000, 0), 'SYN_SENT', 120],
  ['a repeated SYN-ACK', () => {}, backend(SYN | ACK, 5000, 1001), 'SYN_RECV', 60],
  ['an ignored SYN', (t) => t.one(client(ACK)), client(SYN, 9, 0), 'ESTABLISHED', 86_400],
  ['a late SYN-ACK', (t) => t.one(client(ACK)), backend(SYN | ACK, 9, 9), 'ESTABLISHED', 86_400],
  ['an implausible RST', (t) => t.one(client(ACK)), backend(RST, 9, 0), 'ESTABLISHED', 86_400],
  ['a blind RST to one half', (t) => t.one(client(FIN | ACK)), backend(RST, 9, 0), 'FIN_WAIT', 120],
];
for (const [what, prepare, frame, expected, seconds] of SILENT) {
  test(`${what} passes and renews nothing`, () => {
    const t = createTestDatapath();
    t.one(client(SYN, 1000, 0));
    if (expected !== 'SYN_SENT') t.one(backend(SYN | ACK, 5000, 1001));
    prepare(t);
    assert.deepEqual([state(t), left(t)], [expected, seconds]);
    t.now += 20_000;
    assert.equal(t.one(frame).verdict, 'forward');
    assert.deepEqual([state(t), left(t)], [expected, seconds - 20]);
    t.tick(t.now + (seconds - 20) * 1000);
    assert.equal(state(t), 'none');
  });
}

test("an RST in the window but not exact leaves 10 s, and the peer's answer restores the timeout", () => {
  const t = open();
  t.one(backend(ACK, 5001, 1001, [1, 2, 3, 4]));
  t.one(backend(RST, 5003, 0));
  assert.deepEqual([state(t), left(t)], ['ESTABLISHED', 10]);
  t.now += 9000;
  t.one(client(ACK, 1001, 5005));
  assert.deepEqual([state(t), left(t)], ['ESTABLISHED', 86_400]);
  t.one(backend(ACK, 5005, 1001, [1, 2, 3, 4]));
  t.one(backend(RST, 5007, 0));
  t.tick(t.now + 10_000);
  assert.equal(state(t), 'none');
});

test("a SYN after a backend's RST passes, and its answer reopens the flow to the same endpoint", () => {
  const t = open();
  t.one(backend(RST, 5001, 0));
  t.one(client(SYN, 70_000, 0));
  assert.deepEqual([state(t), t.counter('flows-reopened')], ['CLOSE', 0]);
  t.one(backend(SYN | ACK, 9000, 70_001));
  assert.equal(state(t), 'SYN_RECV');
  t.one(client(RST, 70_001, 0));
  t.one(client(SYN, 80_000, 0));
  assert.deepEqual(
    [state(t), t.counter('flows-reopened')],
    ['SYN_SENT', 1],
    'the earlier RST is forgotten',
  );
});
