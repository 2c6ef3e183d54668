import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createArena } from '../../../../datapath/arena/arena.ts';
import { H_FLOW_FREE, H_FLOW_HIGH } from '../../../../datapath/arena/layout.ts';
import {
  LINE_SHIFT,
  NO_SIDE,
  W_DST,
  W_META,
  W_PORTS,
  W_SERVICE,
  W_SRC,
} from '../../../../datapath/flow/line.ts';
import { FlowTable } from '../../../../datapath/flow/table.ts';
import { flowCount } from '../../../support/flow-count.ts';

const FLOWS = 16;
const TCP = 6;

function make(seed = 3): FlowTable {
  return new FlowTable(createArena({ flowsMax: FLOWS, imageWords: 1024 }, seed));
}

/** Writes both lines of a flow: `n` -> -1, and back. */
function fill(t: FlowTable, flow: number, n: number, service = 0): void {
  for (const side of [0, 1]) {
    const at = ((flow << 1) | side) << LINE_SHIFT;
    t.lines[at | W_SRC] = side ? -1 : n;
    t.lines[at | W_DST] = side ? n : -1;
    t.lines[at | W_PORTS] = 0x1000_0050;
    t.lines[at | W_SERVICE] = service;
    t.lines[at | W_META] = TCP;
  }
}

function insert(t: FlowTable, n: number, service = 0): number {
  const flow = t.allocate();
  fill(t, flow, n, service);
  assert.ok(t.link(flow));
  return flow;
}

const find = (t: FlowTable, n: number) =>
  t.find(t.hash(n, -1, 0x1000_0050, TCP), n, -1, 0x1000_0050, TCP);
const findBack = (t: FlowTable, n: number) =>
  t.find(t.hash(-1, n, 0x1000_0050, TCP), -1, n, 0x1000_0050, TCP);

/** Numbers of flows whose client sides have the same home slot. */
function crowd(t: FlowTable, count: number): number[] {
  const found: number[] = [];
  for (let n = 1; found.length < count; n++) {
    if ((t.hash(n, -1, 0x1000_0050, TCP) & t.indexMask) === t.indexMask) found.push(n);
  }
  return found;
}

test('finds both sides of a flow, and no tuple that differs in one word', () => {
  const t = make();
  const flow = insert(t, 5);
  assert.deepEqual([find(t, 5), findBack(t, 5)], [flow << 1, (flow << 1) | 1]);
  const words: [number, number, number, number][] = [
    [6, -1, 0x1000_0050, TCP],
    [5, -2, 0x1000_0050, TCP],
    [5, -1, 0x1000_0051, TCP],
    [5, -1, 0x1000_0050, 17],
  ];
  for (const [src, dst, ports, proto] of words) {
    assert.equal(t.find(t.hash(src, dst, ports, proto), src, dst, ports, proto), NO_SIDE);
    // The hash of the stored flow with another tuple: the tag matches, and the line must not.
    assert.equal(t.find(t.hash(5, -1, 0x1000_0050, TCP), src, dst, ports, proto), NO_SIDE);
  }
});

test('closes the gap in a run across the end of the index, whichever entry is removed', () => {
  const reference = crowd(make(), 6);
  for (let leaves = 0; leaves < 6; leaves++) {
    const t = make();
    const flows = reference.map((n) => insert(t, n));
    t.remove(flows[leaves]!);
    for (const [i, n] of reference.entries()) {
      assert.equal(find(t, n), i === leaves ? NO_SIDE : flows[i]! << 1);
      assert.equal(findBack(t, n), i === leaves ? NO_SIDE : (flows[i]! << 1) | 1);
    }
    const used = t.index.filter((slot) => slot !== 0).length;
    assert.equal(used, 10, 'two slots a flow and no tombstone');
  }
});

test('a full table allocates no flow, and a released number is used again', () => {
  const t = make();
  for (let n = 1; n <= FLOWS; n++) insert(t, n);
  assert.equal(t.allocate(), -1);
  t.remove(find(t, 7) >> 1);
  assert.ok(t.allocate() >= 0);
  assert.equal(t.allocate(), -1);
});

test('a flow whose second side finds no room is not in the table', () => {
  const t = make();
  const flow = t.allocate();
  fill(t, flow, 5);
  // Other sides take every slot but the client side's home.
  const home = t.hash(5, -1, 0x1000_0050, TCP) & t.indexMask;
  t.index.fill(31);
  t.index[home] = 0;
  assert.equal(t.link(flow), false);
  assert.equal(t.index.filter((slot) => slot === 31).length, t.index.length - 1);
  assert.equal(t.index.indexOf(0), t.index.lastIndexOf(0));
  assert.equal(find(t, 5), NO_SIDE);
  assert.equal(t.serviceFlows[0], 0);
});

test('counts flows per Service', () => {
  const t = make();
  insert(t, 1, 9);
  const second = insert(t, 2, 9);
  assert.equal(t.serviceFlows[9], 2);
  t.remove(second);
  assert.equal(t.serviceFlows[9], 1);
  t.serviceFlows[9] = 77;
  t.rescan();
  assert.equal(t.serviceFlows[9], 1, 'counted again');
});

test('a rescan repairs the table after a kill between any two words of a new flow', () => {
  // Words of the newest flow that the killed writer had written: keys and META per side, index.
  const deaths: [what: string, write: (t: FlowTable, flow: number) => void, lives: boolean][] = [
    ['nothing', () => {}, false],
    ['keys without META', (t, f) => wipe(t, f, true, true), false],
    ['the client side alone', (t, f) => wipe(t, f, false, true), false],
    ['the backend side alone', (t, f) => wipe(t, f, true, false), false],
    ['both sides, not in the index', (t, f) => fill(t, f, 99), true],
  ];
  function wipe(t: FlowTable, flow: number, client: boolean, backend: boolean): void {
    fill(t, flow, 99);
    if (client) t.lines[(flow << (LINE_SHIFT + 1)) | W_META] = 0;
    if (backend) t.lines[(((flow << 1) | 1) << LINE_SHIFT) | W_META] = 0;
  }
  for (const [what, write, lives] of deaths) {
    const t = make();
    insert(t, 1);
    insert(t, 2);
    t.remove(find(t, 1) >> 1); // So that the new flow gets a line with old words.
    write(t, t.allocate());
    const half = what.endsWith('alone') ? 1 : 0;
    assert.equal(t.rescan(), half, what);
    assert.equal(find(t, 99) !== NO_SIDE, lives, what);
    assert.notEqual(find(t, 2), NO_SIDE, what);
    assert.equal(find(t, 1), NO_SIDE, what);
    assert.equal(flowCount(t), lives ? 2 : 1, what);
    assert.equal(flowCount(t) + t.header[H_FLOW_FREE]!, t.header[H_FLOW_HIGH], what);
  }
});

test('a rescan completes a removal that ended after the first of its two sides', () => {
  const t = make();
  const flow = insert(t, 1);
  insert(t, 2);
  t.lines[(flow << (LINE_SHIFT + 1)) | W_META] = 0;
  assert.equal(t.rescan(), 1);
  assert.deepEqual([find(t, 1), findBack(t, 1)], [NO_SIDE, NO_SIDE]);
  assert.equal(t.lines[(((flow << 1) | 1) << LINE_SHIFT) | W_META], 0);
});

test('a rescan repairs damaged counts', () => {
  const t = make();
  insert(t, 1);
  t.header[H_FLOW_HIGH] = 0x7fff_ffff;
  t.header[H_FLOW_FREE] = 12345;
  t.index.fill(-1);
  assert.equal(t.rescan(), 0);
  assert.notEqual(find(t, 1), NO_SIDE);
  for (let n = 2; n <= FLOWS; n++) insert(t, n);
  assert.equal(t.allocate(), -1, 'no flow beyond the capacity');
});
