import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRange } from '../../../../datapath/wire/address.ts';
import { hold } from '../../../../datapath/worker/engine.ts';
import { createTestDatapath, OUTSIDE } from '../../../support/datapath.ts';
import { SYN, tcp4 } from '../../../support/packets.ts';

const syn = (from: string, to: string) => tcp4(from, to, SYN);

test('before the first image all of 40 separate ranges are held', () => {
  const t = createTestDatapath({ image: null });
  const ranges = Array.from({ length: 40 }, (_, n) => parseRange(`10.${n}.0.0/24`)!);
  hold(t.d.arena, ranges);
  for (let n = 0; n < 40; n++) {
    assert.equal(t.one(syn(`10.${n}.0.7:1`, `${OUTSIDE}:80`)).verdict, 'no-image', `range ${n}`);
  }
  assert.equal(t.one(syn(`10.39.1.7:1`, `${OUTSIDE}:80`)).verdict, 'forward');
  const many = Array.from({ length: 5000 }, (_, n) => {
    return parseRange(`10.${n >> 7}.${(n & 127) * 2}.0/24`)!;
  });
  hold(t.d.arena, many);
  assert.equal(t.one(syn('10.30.2.7:1', `${OUTSIDE}:80`)).verdict, 'no-image');
});
