// Expiry and eviction on bare lines, with an injected clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createArena } from '../../../../datapath/arena/arena.ts';
import { evict, remainingMs, sweep } from '../../../../datapath/flow/expire.ts';
import {
  FLAG_ASSURED,
  LINE_SHIFT,
  META_STATE_SHIFT,
  W_DST,
  W_META,
  W_SEEN,
  W_SRC,
} from '../../../../datapath/flow/line.ts';
import {
  STATE_CLOSE,
  STATE_ESTABLISHED,
  STATE_LAST_ACK,
  STATE_NAMES,
  STATE_SYN_SENT,
  STATE_TIME_WAIT,
  STATE_UDP_UNREPLIED,
} from '../../../../datapath/flow/state.ts';
import { FlowTable } from '../../../../datapath/flow/table.ts';
import { nodeTimeouts } from '../../../../datapath/flow/timeouts.ts';
import { flowCount } from '../../../support/flow-count.ts';

const timeouts = nodeTimeouts();
const DAY = 86_400_000;

const make = (flowsMax = 16) => new FlowTable(createArena({ flowsMax, imageWords: 1024 }, 3));

/** Makes a flow in this state; each side was last seen at its time. */
function add(t: FlowTable, state: number, seen: [number, number], flags = 0): number {
  const flow = t.allocate();
  for (const side of [0, 1]) {
    const at = ((flow << 1) | side) << LINE_SHIFT;
    t.lines[at | W_SRC] = side ? -1 : flow;
    t.lines[at | W_DST] = side ? flow : -1;
    t.lines[at | W_SEEN] = seen[side]!;
    t.lines[at | W_META] = 6 | (state << META_STATE_SHIFT) | flags;
  }
  assert.ok(t.link(flow));
  return flow;
}

const flows = (t: FlowTable) => flowCount(t);

test('the side with the later packet decides, at any clock', () => {
  for (const base of [0, -5, 0x7fff_ffff, -0x8000_0000]) {
    for (const seen of [
      [0, 5000],
      [5000, 0],
    ]) {
      const t = make();
      add(t, STATE_SYN_SENT, [(base + seen[0]!) | 0, (base + seen[1]!) | 0]);
      assert.equal(remainingMs(t, 0, (base + 6000) | 0, timeouts), 119_000);
    }
  }
});

for (const [state, name] of STATE_NAMES.entries()) {
  test(`${name} ends at its timeout and not a ms earlier`, () => {
    const t = make();
    add(t, state, [100, 100]);
    assert.equal(sweep(t, (100 + timeouts[state]! - 1) | 0, timeouts, 100), 0);
    assert.equal(sweep(t, (100 + timeouts[state]!) | 0, timeouts, 100), 1);
    assert.equal(flows(t), 0);
  });
}

test('a sweep visits its slice, continues there next time, and starts over at the end', () => {
  const t = make();
  for (let n = 0; n < 10; n++) add(t, STATE_UDP_UNREPLIED, [0, 0]);
  assert.deepEqual(
    [4, 4, 4].map((slice) => sweep(t, 40_000, timeouts, slice)),
    [4, 4, 2],
  );
  assert.equal(flows(t), 0);
  add(t, STATE_UDP_UNREPLIED, [0, 0]);
  assert.equal(sweep(t, 40_000, timeouts, 1000), 1, 'a slice larger than the table ends');
  assert.equal(sweep(make(), 0, timeouts, 100), 0, 'an empty table too');
});

test('a stream of one direction that lasts for weeks expires after its last packet', () => {
  // The silent side's time would wrap after 24.8 days and look like the future.
  const t = make();
  add(t, STATE_UDP_UNREPLIED, [0, 0]);
  let now = 0;
  for (let day = 0; day < 40; day++) {
    for (let part = 0; part < 4; part++) {
      now += DAY / 4;
      t.lines[W_SEEN] = now | 0;
      assert.equal(sweep(t, (now + 10_000) | 0, timeouts, 100), 0, `day ${day}`);
      assert.equal(remainingMs(t, 0, now | 0, timeouts), 30_000, `day ${day}`);
    }
  }
  assert.equal(sweep(t, (now + 30_000) | 0, timeouts, 100), 1);
});

test('evicts unreplied, closing and expired flows, not established ones', () => {
  const ways: [number, number, boolean][] = [
    [STATE_SYN_SENT, 0, true],
    [STATE_ESTABLISHED, 0, true],
    [STATE_ESTABLISHED, FLAG_ASSURED, false],
    [STATE_TIME_WAIT, FLAG_ASSURED, true],
    [STATE_CLOSE, FLAG_ASSURED, true],
    [STATE_LAST_ACK, FLAG_ASSURED, true],
  ];
  for (const [state, flags, gives] of ways) {
    const t = make();
    for (let n = 0; n < 8; n++) add(t, STATE_ESTABLISHED, [0, 0], FLAG_ASSURED);
    const flow = add(t, state, [0, 0], flags);
    assert.equal(evict(t, 1000, timeouts), gives, STATE_NAMES[state]);
    assert.equal(t.lines[(flow << (LINE_SHIFT + 1)) | W_META] === 0, gives);
    assert.equal(flows(t), gives ? 8 : 9);
  }
  const t = make();
  add(t, STATE_ESTABLISHED, [0, 0], FLAG_ASSURED);
  assert.equal(evict(t, DAY, timeouts), true, 'an expired established flow');
});

test('the search for a flow to evict is bounded, and the next search continues after it', () => {
  const t = make(512);
  for (let n = 0; n < 300; n++) add(t, STATE_ESTABLISHED, [0, 0], FLAG_ASSURED);
  add(t, STATE_SYN_SENT, [0, 0]);
  const tries = Array.from({ length: 5 }, () => evict(t, 1000, timeouts));
  assert.deepEqual(tries, [false, false, false, false, true]);
});

test('evicts flows in turn', () => {
  const t = make();
  for (let n = 0; n < 4; n++) add(t, STATE_SYN_SENT, [0, 0]);
  const gone = () =>
    [0, 1, 2, 3].filter((flow) => t.lines[(flow << (LINE_SHIFT + 1)) | W_META] === 0);
  for (let n = 1; n <= 4; n++) {
    assert.ok(evict(t, 1000, timeouts));
    assert.equal(gone().length, n);
    assert.ok(gone().includes(n - 1));
  }
  assert.equal(evict(t, 1000, timeouts), false);
});
