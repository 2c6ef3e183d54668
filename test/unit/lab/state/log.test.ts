import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lastWords } from '../../../../lab/state/log.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-log-'));
after(() => rmSync(folder, { recursive: true }));

const LOGS: [what: string, lines: string[], said: string][] = [
  [
    'its own error',
    ['started', 'kubetun: no /dev/net/tun: load the module'],
    'no /dev/net/tun: load the module',
  ],
  [
    'an uncaught one, not the line that Node prints last',
    ['/x.ts:3', 'TypeError: x is not a function', '    at y (/x.ts:3:1)', '', 'Node.js v24.21.0'],
    'TypeError: x is not a function',
  ],
  [
    'the last entry of its log that is an error',
    [
      JSON.stringify({ level: 60, msg: 'the API server died', error: 'Error: no space\n  at x' }),
      JSON.stringify({ level: 30, msg: 'stopping' }),
    ],
    'the API server died: Error: no space',
  ],
  ['its last line if nothing looks like an error', ['one', 'two'], 'two'],
  ['empty without output', [], ''],
];

for (const [i, [what, lines, said]] of LOGS.entries()) {
  test(`the last output of a process is ${what}`, () => {
    const path = join(folder, `${i}.log`);
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
    assert.equal(lastWords(path), said);
  });
}

test('a process without a log has no last output', () => {
  assert.equal(lastWords(join(folder, 'absent')), '');
});
