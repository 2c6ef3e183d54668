import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createArena, isFormatted, viewArena } from '../../../../datapath/arena/arena.ts';
import {
  AFFINITY_WORDS,
  COUNTERS_MAX,
  FLOWS_DEFAULT,
  FLOWS_LIMIT,
  HEADER_BYTES,
  hashLayout,
  IMAGE_WORDS_DEFAULT,
  layoutArena,
  POLICY_COUNTER_WORDS,
  TRACE_RECORDS,
  TRACE_WORDS,
} from '../../../../datapath/arena/layout.ts';
import { SERVICE_ID_MAX } from '../../../../datapath/image/image.ts';
import { COUNTER_BASE, COUNTERS, DROP_REASONS } from '../../../../datapath/pipeline/verdict.ts';

for (const flows of [16, 1024, FLOWS_DEFAULT, FLOWS_LIMIT]) {
  test(`the sections of ${flows} flows follow one another, lines on cache lines`, () => {
    const l = layoutArena(flows, 4096);
    const sections = [
      [0, HEADER_BYTES],
      [l.counters, COUNTERS_MAX * 8],
      [l.services, (SERVICE_ID_MAX + 1) * 4],
      [l.index, l.indexSlots * 4],
      [l.lines, flows * 128],
      [l.free, flows * 4],
      [l.image, 4096 * 4],
      [l.trace, TRACE_RECORDS * TRACE_WORDS * 4],
      [l.affinity, l.affinitySlots * AFFINITY_WORDS * 4],
      [l.policies, POLICY_COUNTER_WORDS * 8],
    ].sort((a, b) => a[0]! - b[0]!);
    let end = 0;
    for (const [start, bytes] of sections) {
      assert.ok(start! >= end, 'no two overlap');
      end = start! + bytes!;
    }
    assert.equal(l.bytes, end);
    assert.equal(l.lines % 4096, 0);
    assert.equal(l.indexSlots, flows * 4);
  });
}

test('an arena of the default size has 222 MiB, as its comment says', () => {
  assert.equal(FLOWS_DEFAULT, 1_048_576);
  assert.equal(Math.round(layoutArena(FLOWS_DEFAULT, IMAGE_WORDS_DEFAULT).bytes / 2 ** 20), 222);
});

for (const flows of [0, 8, 1000, -16, FLOWS_LIMIT * 2, 16.5, Number.NaN]) {
  test(`refuses ${flows} flows`, () => {
    assert.throws(() => layoutArena(flows, 4096), RangeError);
  });
}

test('other sizes have another hash', () => {
  const hashes = [
    [16, 4096],
    [32, 4096],
    [16, 8192],
    [16, 4098],
  ].map(([flows, words]) => hashLayout(layoutArena(flows!, words!)));
  assert.equal(new Set(hashes).size, 4);
});

test('zeroed memory is not an arena before it is formatted', () => {
  const layout = layoutArena(16, 4096);
  const { header } = viewArena(new ArrayBuffer(layout.bytes), layout);
  assert.equal(isFormatted(header, layout), false);
  const arena = createArena({ flowsMax: 16, imageWords: 4096 }, 1);
  assert.equal(isFormatted(arena.header, layout), true);
  assert.equal(isFormatted(arena.header, layoutArena(32, 4096)), false);
});

test('drop reasons and counters have room and unique names', () => {
  assert.ok(DROP_REASONS.length <= COUNTER_BASE);
  assert.ok(COUNTER_BASE + COUNTERS.length <= COUNTERS_MAX);
  const names = [...DROP_REASONS, ...COUNTERS].map(([name]) => name);
  assert.equal(new Set(names).size, names.length);
});
