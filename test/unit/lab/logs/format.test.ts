import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Decoder,
  encodeEntries,
  endsInPiece,
  formatTime,
  skipLinesBack,
} from '../../../../lab/logs/format.ts';

const TIME = '2026-11-30T08:38:56.123000000Z';
const NEXT = '2026-11-30T08:38:57.000000000Z';
const ALL = { since: '', timestamps: false, bytesMax: Number.POSITIVE_INFINITY };
const encode = (text: string, time = TIME) => encodeEntries(Buffer.from(text), time);

describe('entries of a log', () => {
  test('have a time of a fixed width, a tag and the text', () => {
    assert.equal(formatTime(Date.parse('2026-11-30T08:38:56.123Z')), TIME);
    assert.equal(encode('a\n\nbc').toString(), `${TIME} F a\n${TIME} F \n${TIME} P bc\n`);
    assert.equal(encode('').length, 0);
  });

  test('decode to the original bytes for all splits', () => {
    const said = Buffer.from('one\n\n\u00e4\u0000two\nthree');
    for (let at = 0; at <= said.length; at++) {
      const parts = [said.subarray(0, at), said.subarray(at)];
      const entries = Buffer.concat(parts.map((part) => encodeEntries(part, TIME)));
      assert.deepEqual(new Decoder(ALL).decode(entries), said, `cut at ${at}`);
    }
  });

  test('decode with a time per line, from a start time, or up to a byte limit', () => {
    const entries = Buffer.concat([encode('a\nb'), encode('c\nd\n', NEXT)]);
    const stamped = new Decoder({ ...ALL, timestamps: true }).decode(entries).toString();
    assert.equal(stamped, `${TIME} a\n${TIME} bc\n${NEXT} d\n`);
    assert.equal(new Decoder({ ...ALL, since: NEXT }).decode(entries).toString(), 'c\nd\n');
    const limited = new Decoder({ ...ALL, bytesMax: 3 });
    assert.equal(limited.decode(entries.subarray(0, entries.length / 2)).toString(), 'a\nb');
    assert.equal(limited.isOver, true);
  });

  test('are skipped back by line ends, not by parts of lines', () => {
    const entries = Buffer.concat([encode('a\nb'), encode('c'), encode('d\ne')]);
    const tail = (lines: number) => {
      const { offset } = skipLinesBack(entries, lines);
      return offset < 0 ? null : new Decoder(ALL).decode(entries.subarray(offset)).toString();
    };
    assert.equal(endsInPiece(entries), true);
    assert.equal(tail(0), 'e');
    assert.equal(tail(1), 'bcd\ne');
    assert.equal(tail(2), null);
    assert.equal(skipLinesBack(entries, 5).left, 3);
    assert.equal(endsInPiece(Buffer.alloc(0)), false);
  });
});
