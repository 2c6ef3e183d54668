// Lifetimes of flows: by name, for both roles, and through the pipeline in virtual time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { H_NOW } from '../../../../datapath/arena/layout.ts';
import { STATE_NAMES } from '../../../../datapath/flow/state.ts';
import {
  gatewayTimeouts,
  isTimeoutName,
  nodeTimeouts,
  TIMEOUT_NAMES,
  TIMEOUT_S_MAX,
  type TimeoutName,
  type Timeouts,
} from '../../../../datapath/flow/timeouts.ts';
import { readArena } from '../../../../datapath/observe/flows.ts';
import { BACKEND, createTestDatapath, POD, type TestDatapath } from '../../../support/datapath.ts';
import { flowCount } from '../../../support/flow-count.ts';
import { ACK, echo4, FIN, ip4, RST, SYN, tcp4, udp4 } from '../../../support/packets.ts';

type State = (typeof STATE_NAMES)[number];

/** Expected timeouts in seconds, in the order of STATE_NAMES. */
const NODE_S: Record<State, number> = {
  NONE: 600,
  ...{ SYN_SENT: 120, SYN_RECV: 60, ESTABLISHED: 86_400, FIN_WAIT: 120, CLOSE_WAIT: 3600 },
  ...{ LAST_ACK: 30, TIME_WAIT: 120, CLOSE: 10, SYN_SENT2: 120 },
  ...{ UNREPLIED: 30, REPLIED: 30, STREAM: 120, ECHO: 30, SCTP_NEW: 60, SCTP_ESTABLISHED: 210 },
};
const GATEWAY_S: Record<State, number> = {
  NONE: 600,
  ...{ SYN_SENT: 240, SYN_RECV: 240, ESTABLISHED: 7440, FIN_WAIT: 7440, CLOSE_WAIT: 7440 },
  ...{ LAST_ACK: 240, TIME_WAIT: 240, CLOSE: 10, SYN_SENT2: 240 },
  ...{ UNREPLIED: 300, REPLIED: 300, STREAM: 300, ECHO: 60, SCTP_NEW: 60, SCTP_ESTABLISHED: 7440 },
};

const byState = (timeouts: Timeouts) =>
  Object.fromEntries(STATE_NAMES.map((name, state) => [name, timeouts[state]! / 1000]));

test('each state has its timeout, on a node and on a gateway', () => {
  assert.deepEqual(byState(nodeTimeouts()), NODE_S);
  assert.deepEqual(byState(gatewayTimeouts()), GATEWAY_S);
});

const pod = (flags: number) => tcp4(`${POD}:4000`, `${BACKEND}:80`, flags);
const backend = (flags: number) => tcp4(`${BACKEND}:80`, `${POD}:4000`, flags);
const sctp = (from: string, to: string) => ip4(from, to, 132, new Array(20).fill(7));
const OPEN = [pod(SYN), backend(SYN | ACK), pod(ACK)];
const ask = udp4(`${POD}:5000`, `${BACKEND}:53`);
const answer = udp4(`${BACKEND}:53`, `${POD}:5000`);

/** Packets, a second apart, that bring a flow into each state. */
const WAYS: [TimeoutName, State, Uint8Array[]][] = [
  ['tcp-syn-sent', 'SYN_SENT', [pod(SYN)]],
  // The backend's SYN renews nothing, like any SYN before a reply. The client's next SYN does.
  ['tcp-syn-sent', 'SYN_SENT2', [pod(SYN), backend(SYN), pod(SYN)]],
  ['tcp-syn-recv', 'SYN_RECV', [pod(SYN), backend(SYN | ACK)]],
  ['tcp-established', 'ESTABLISHED', OPEN],
  ['tcp-fin-wait', 'FIN_WAIT', [...OPEN, pod(FIN | ACK)]],
  ['tcp-close-wait', 'CLOSE_WAIT', [...OPEN, pod(FIN | ACK), backend(ACK)]],
  ['tcp-last-ack', 'LAST_ACK', [...OPEN, pod(FIN | ACK), backend(ACK), backend(FIN | ACK)]],
  [
    'tcp-time-wait',
    'TIME_WAIT',
    [...OPEN, pod(FIN | ACK), backend(ACK), backend(FIN | ACK), pod(ACK)],
  ],
  ['tcp-close', 'CLOSE', [...OPEN, tcp4(`${POD}:4000`, `${BACKEND}:80`, RST, [], { seq: 1001 })]],
  ['udp', 'UNREPLIED', [ask]],
  ['udp', 'REPLIED', [ask, answer]],
  ['udp-stream', 'STREAM', [ask, answer, ask]],
  ['icmp', 'ECHO', [echo4(POD, BACKEND, 9), echo4(BACKEND, POD, 9, true)]],
  ['sctp', 'SCTP_NEW', [sctp(POD, BACKEND)]],
  ['sctp-established', 'SCTP_ESTABLISHED', [sctp(POD, BACKEND), sctp(BACKEND, POD)]],
  ['other', 'NONE', [ip4(POD, BACKEND, 47, [1, 2, 3, 4])]],
];

test('the sequences of packets cover every timeout and every state', () => {
  assert.deepEqual([...new Set(WAYS.map(([name]) => name))], TIMEOUT_NAMES);
  assert.deepEqual(new Set(WAYS.map(([, state]) => state)), new Set(STATE_NAMES));
});

/**
 * Runs a sequence of packets. Returns the flow's row, and the number of flows 1 ms before its
 * timeout and at it.
 */
function live(t: TestDatapath, way: Uint8Array[], seconds: number) {
  for (const packet of way) {
    t.now += 1000;
    t.one(packet);
  }
  const last = t.now;
  t.d.header[H_NOW] = t.now;
  const [row] = readArena(t.d.arena).flows();
  const left = [last + seconds * 1000 - 1, last + seconds * 1000].map((now) => {
    t.tick(now);
    return flowCount(t.d.table);
  });
  return { state: row!.state, timeoutS: row!.timeoutS, left };
}

const ROLES: [string, Timeouts, Record<string, number>][] = [
  ['a node', nodeTimeouts(), NODE_S],
  ['a gateway', gatewayTimeouts(), GATEWAY_S],
];
for (const [role, timeouts, seconds] of ROLES) {
  for (const [, state, way] of WAYS) {
    test(`on ${role} a flow in ${state} lives ${seconds[state]} s and no longer`, () => {
      const t = createTestDatapath({ timeouts });
      const timeoutS = seconds[state]!;
      assert.deepEqual(live(t, way, timeoutS), { state, timeoutS, left: [1, 0] });
    });
  }
}

test('a half-closed connection through a gateway has the timeout of an established one', () => {
  const t = createTestDatapath({ timeouts: gatewayTimeouts() });
  for (const packet of [...OPEN, pod(FIN | ACK), backend(ACK)]) t.one(packet);
  for (let hours = 0; hours < 10; hours += 2) {
    t.tick(t.now + 7_200_000);
    const data = tcp4(`${BACKEND}:80`, `${POD}:4000`, ACK, [1, 2, 3], { seq: 1000 + hours });
    assert.equal(t.one(data).verdict, 'forward');
    assert.equal([...readArena(t.d.arena).flows()][0]?.state, 'CLOSE_WAIT', `${hours} h`);
  }
});

for (const name of TIMEOUT_NAMES) {
  test(`${name} sets the timeouts of its states and no others`, () => {
    const own = WAYS.filter(([n]) => n === name).map(([, state]) => state);
    const expected = { ...NODE_S, ...Object.fromEntries(own.map((state) => [state, 77])) };
    assert.deepEqual(byState(nodeTimeouts({ [name]: 77 })), expected);
    for (const [, state, way] of WAYS.filter(([n]) => n === name)) {
      const t = createTestDatapath({ timeouts: gatewayTimeouts({ [name]: 77 }) });
      assert.deepEqual(live(t, way, 77), { state, timeoutS: 77, left: [1, 0] });
    }
  });
}

test('the longest timeout works wherever the clock starts and wraps', () => {
  for (const start of [1000, 0x7fff_ffff - 5000]) {
    const t = createTestDatapath({ timeouts: nodeTimeouts({ 'tcp-established': TIMEOUT_S_MAX }) });
    t.now = start;
    for (const packet of OPEN) t.one(packet);
    const end = start + TIMEOUT_S_MAX * 1000;
    for (let at = start; at < end; at += 3_600_000) {
      t.tick(at | 0);
      assert.equal(flowCount(t.d.table), 1);
    }
    t.tick((end - 1) | 0);
    assert.equal(flowCount(t.d.table), 1);
    t.tick(end | 0);
    assert.equal(flowCount(t.d.table), 0);
  }
});

test('without timeouts a datapath keeps those of its arena', () => {
  const told = createTestDatapath({ timeouts: nodeTimeouts({ udp: 5 }) });
  const { d } = createTestDatapath({ arena: told.d.arena });
  assert.equal(byState(d.timeouts).UNREPLIED, 5);
});

test('an inherited property such as toString is not a timeout name', () => {
  assert.deepEqual(['udp', 'toString', ''].map(isTimeoutName), [true, false, false]);
});
