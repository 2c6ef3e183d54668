// Compares the datapath's TCP states with the kernel's rules, written independently in
// conntrack-oracle.ts. On random walks of segments the state, the opener and the time left are
// equal after each one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { H_NOW } from '../../datapath/arena/layout.ts';
import { defaultTimeoutS, type TimeoutName } from '../../datapath/flow/timeouts.ts';
import { readArena } from '../../datapath/observe/flows.ts';
import { ConntrackOracle, type Segment } from '../support/conntrack-oracle.ts';
import { BACKEND, createTestDatapath, POD, type TestDatapath } from '../support/datapath.ts';
import { tcp4 } from '../support/packets.ts';
import { createDice, type Dice, walkTcp } from '../support/tcp-walk.ts';

const WALKS = 3600;
const SEGMENTS = 24;
/** ms between two segments: mostly short, sometimes about a timeout. */
const PAUSES = [1, 1, 1, 1, 40, 900, 2000, 9000, 11_000, 31_000, 61_000, 119_000, 121_000];
const TIMEOUTS = Object.fromEntries(
  [
    'SYN_SENT',
    'SYN_RECV',
    'ESTABLISHED',
    'FIN_WAIT',
    'CLOSE_WAIT',
    'LAST_ACK',
    'TIME_WAIT',
    'CLOSE',
  ]
    .map((state) => [state, state.toLowerCase().replace('_', '-')] as const)
    .map(([state, name]) => [state, defaultTimeoutS(`tcp-${name}` as TimeoutName)]),
);

function frameOf({ from, flags, seq, ack, bytes }: Segment): Uint8Array {
  const [a, b] = [`${POD}:4000`, `${BACKEND}:80`];
  const data = new Array<number>(bytes).fill(7);
  return from === 'a'
    ? tcp4(a, b, flags, data, { seq, ack })
    : tcp4(b, a, flags, data, { seq, ack });
}

/** The datapath's state of the connection. */
function seen(t: TestDatapath) {
  t.d.header[H_NOW] = t.now;
  const [flow] = readArena(t.d.arena).flows();
  if (!flow) return null;
  const client = flow.original.src === POD ? 'a' : 'b';
  return { state: flow.state, client, left: flow.timeoutS };
}

function expected(oracle: ConntrackOracle) {
  const { entry } = oracle;
  return entry && { ...entry, left: Math.ceil(entry.left - 1e-6) };
}

/** Walks until the two differ, and returns the segments so far. Null if they do not differ. */
function part(dice: Dice): string | null {
  const t = createTestDatapath({ flowsMax: 16 });
  const oracle = new ConntrackOracle({ ...TIMEOUTS, SYN_SENT2: TIMEOUTS.SYN_SENT! });
  const walk = walkTcp(dice);
  const log: string[] = [];
  for (let n = 0; n < SEGMENTS; n++) {
    const pause = PAUSES[dice(PAUSES.length)]!;
    oracle.advance(pause / 1000);
    t.tick(t.now + pause);
    const segment = walk.next().value as Segment;
    oracle.send(segment);
    assert.equal(t.one(frameOf(segment)).verdict, 'forward');
    const [own, right] = [seen(t), expected(oracle)];
    log.push(JSON.stringify({ pause, ...segment, own, right }));
    if (JSON.stringify(own) !== JSON.stringify(right)) return log.join('\n');
  }
  return null;
}

test(`${WALKS} random walks of TCP segments move the states as the kernel's rules do`, () => {
  const parted: string[] = [];
  for (let n = 0; n < WALKS; n++) {
    const at = part(createDice(n * 7919 + 1));
    if (at) parted.push(`walk ${n}:\n${at}`);
  }
  const first = parted.slice(0, 2).join('\n');
  assert.equal(parted.length, 0, `${parted.length} walks differ: ${first}`);
});
