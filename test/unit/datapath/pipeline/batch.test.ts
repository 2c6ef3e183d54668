import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLOWS_LIMIT } from '../../../../datapath/arena/layout.ts';
import { LINE_BYTES_SHIFT, LINE_MASK } from '../../../../datapath/flow/line.ts';
import {
  BATCH_BUFFER_BYTES,
  COUNT_MASK,
  createBatch,
  OFFSET_MASK,
  P_WORDS,
} from '../../../../datapath/pipeline/batch.ts';

test('the masks of the fast path change no count, no offset and no line of the largest table', () => {
  assert.ok(createBatch().p.length / P_WORDS <= COUNT_MASK);
  assert.ok(BATCH_BUFFER_BYTES <= OFFSET_MASK);
  assert.ok((FLOWS_LIMIT * 2) << LINE_BYTES_SHIFT <= LINE_MASK + 1);
});
