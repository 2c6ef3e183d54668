// A steady run of the pipeline collects no garbage and deoptimises no code.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROCESS = fileURLToPath(new URL('./steady-process.ts', import.meta.url));
const HOT = ['wire', 'flow', 'services', 'image', 'pipeline', 'merge'].map((folder) =>
  fileURLToPath(new URL(`../../datapath/${folder}/`, import.meta.url)),
);

/** Lines of V8 in the steady part of a run with this flag. Some of that kind must precede it. */
function steadyPart(flag: string, attach: string, kind: RegExp): string[] {
  const { status, stdout, stderr } = spawnSync(process.execPath, [flag, PROCESS, attach], {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  assert.equal(status, 0, stderr);
  const [before = '', part = ''] = stdout.split('STEADY BEGINS\n');
  assert.match(before, kind, 'V8 logs such lines');
  assert.ok(part.includes('STEADY ENDS'), 'the steady part ran to its end');
  return part
    .split('STEADY ENDS')[0]!
    .split('\n')
    .filter((line) => line !== '');
}

/** Names of the functions of the hot folders. */
function hotFunctions(): Set<string> {
  const names = new Set<string>();
  for (const folder of HOT) {
    for (const file of readdirSync(folder)) {
      const text = readFileSync(folder + file, 'utf8');
      for (const [, one, other] of text.matchAll(
        /^(?:export )?(?:function|const(?= \w+ = \()) (\w+)|^ {2}(\w+)\(.*\{$/gm,
      )) {
        names.add((one ?? other)!);
      }
    }
  }
  return names;
}

for (const attach of ['veth', 'tun']) {
  test(`2.5 million packets of established connections cause no garbage collection (${attach})`, () => {
    assert.deepEqual(steadyPart('--trace-gc', attach, /Scavenge/), []);
  });

  test(`2.5 million packets of established connections deoptimise no pipeline function (${attach})`, () => {
    const hot = hotFunctions();
    for (const name of [
      'run',
      'takeFastPath',
      'parse',
      'prefetch',
      'headersOf',
      'enter',
      'leave',
    ]) {
      assert.ok(hot.has(name), name);
    }
    const lost = steadyPart('--trace-deopt', attach, /bailout.*<JSFunction/).filter((line) => {
      const name = /<JSFunction (?:get )?#?(\w+)/.exec(line)?.[1];
      return line.includes('bailout') && name !== undefined && hot.has(name);
    });
    assert.deepEqual(lost, []);
  });
}
