// Compares the flow table with a Map under random operations.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Arena, createArena } from '../../datapath/arena/arena.ts';
import {
  LINE_SHIFT,
  LINE_WORDS,
  NO_SIDE,
  W_DST,
  W_META,
  W_PORTS,
  W_SERVICE,
  W_SRC,
} from '../../datapath/flow/line.ts';
import { FlowTable } from '../../datapath/flow/table.ts';
import { flowCount } from '../support/flow-count.ts';

const FLOWS = 64;

/** A tuple with so few values that random ones collide. */
interface Tuple {
  src: number;
  dst: number;
  ports: number;
  proto: number;
}

const tuple = fc.record({
  src: fc.integer({ min: -3, max: 3 }),
  dst: fc.integer({ min: 10, max: 14 }),
  ports: fc.constantFrom(0, 1, -1, 0x7fff_ffff, -0x8000_0000),
  proto: fc.constantFrom(6, 17),
});

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('insert' as const), tuple }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), tuple }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rescan' as const), tuple }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), tuple }) },
);

const key = ({ src, dst, ports, proto }: Tuple) => `${src} ${dst} ${ports} ${proto}`;
/** The reply's tuple. `tuple` never makes it, because sources and destinations are disjoint. */
const reply = ({ src, dst, ports, proto }: Tuple): Tuple => ({ src: dst, dst: src, ports, proto });

function find(t: FlowTable, { src, dst, ports, proto }: Tuple): number {
  return t.find(t.hash(src, dst, ports, proto), src, dst, ports, proto);
}

function fill(t: FlowTable, side: number, { src, dst, ports, proto }: Tuple): void {
  const at = side << LINE_SHIFT;
  t.lines[at | W_SRC] = src;
  t.lines[at | W_DST] = dst;
  t.lines[at | W_PORTS] = ports;
  t.lines[at | W_SERVICE] = 0;
  t.lines[at | W_META] = proto;
}

/** Inserts like commit. False if the table is full. */
function insert(t: FlowTable, one: Tuple): boolean {
  const flow = t.allocate();
  if (flow < 0) return false;
  fill(t, flow << 1, one);
  fill(t, (flow << 1) | 1, reply(one));
  assert.ok(t.link(flow));
  return true;
}

function assertSame(t: FlowTable, model: Map<string, Tuple>, arena: Arena): void {
  assert.equal(flowCount(arena), model.size);
  for (const one of model.values()) {
    const side = find(t, one);
    assert.notEqual(side, NO_SIDE, `${key(one)} is found`);
    assert.equal(side & 1, 0);
    assert.equal(find(t, reply(one)), side | 1, 'the other side is its twin');
  }
}

test('the table equals a Map through inserts, removals, rescans and kills during an insert', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.integer(), (steps, seed) => {
      const arena = createArena({ flowsMax: FLOWS, imageWords: 1024 }, seed);
      let t = new FlowTable(arena);
      const model = new Map<string, Tuple>();
      for (const { do: what, tuple: one } of steps) {
        const side = find(t, one);
        assert.equal(side !== NO_SIDE, model.has(key(one)));
        if (what === 'insert' && side === NO_SIDE) {
          const done = insert(t, one);
          assert.equal(done, model.size < FLOWS, 'it refuses only when it is full');
          if (done) model.set(key(one), one);
        } else if (what === 'remove' && side !== NO_SIDE) {
          t.remove(side >> 1);
          model.delete(key(one));
        } else if (what === 'rescan') {
          assert.equal(t.rescan(), 0);
        } else if (what === 'die' && side === NO_SIDE) {
          // Killed while it creates a flow: one line is written, the other and the index are not.
          const flow = t.allocate();
          if (flow >= 0) fill(t, flow << 1, one);
          t = new FlowTable(arena);
          assert.equal(t.rescan(), flow >= 0 ? 1 : 0);
        }
      }
      assertSame(t, model, arena);
    }),
    { numRuns: 300 },
  );
});

test('a table that is filled and emptied many times keeps its capacity', () => {
  const arena = createArena({ flowsMax: FLOWS, imageWords: 1024 }, 7);
  const t = new FlowTable(arena);
  for (let round = 0; round < 200; round++) {
    const tuples = Array.from({ length: FLOWS }, (_, i) => ({
      src: round * 1000 + i,
      dst: -1 - i,
      ports: i << 16,
      proto: 6,
    }));
    for (const one of tuples) assert.ok(insert(t, one));
    assert.equal(t.allocate(), -1);
    for (const one of tuples) t.remove(find(t, one) >> 1);
    assert.equal(flowCount(arena), 0);
    assert.ok(
      t.index.every((slot) => slot === 0),
      'no tombstone is left',
    );
  }
});

test('each flow line fills one cache line', () => {
  assert.equal(LINE_WORDS * 4, 64);
  assert.equal(1 << LINE_SHIFT, LINE_WORDS);
});
