import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reference } from '../../bench/reference/reference.ts';

test('without a compiler the C reference is left out, with one line', () => {
  const lines: string[] = [];
  const reference = new Reference((line) => lines.push(line), ['no-such-compiler']);
  assert.equal(reference.isBuilt, false);
  assert.deepEqual(lines, ['no C compiler (no-such-compiler): the C reference is left out']);
  assert.throws(() => reference.measureHit(1000, 1), /there is no C reference/);
  reference.remove();
});
