// scripts/layers.ts on a small tree with one fault at a time.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const SCRIPT = join(import.meta.dirname, '../../../scripts/layers.ts');
const LONG = 'a word '.repeat(15).trim();
const PIPELINE = 'datapath/pipeline';
const KUBE = '@kubernetes/client-node';

/** What layers.ts prints about these files. */
function problemsOf(files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'kubetun-layers-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), `${text}\n`);
    }
    const args = ['--disable-warning=ExperimentalWarning', SCRIPT, root];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const problems = stderr.split('\n').filter(Boolean);
    assert.equal(status, problems.length === 0 ? 0 : 1);
    return problems;
  } finally {
    rmSync(root, { recursive: true });
  }
}

const folderOf = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${PIPELINE}/f${i}.ts`, '']));

const FAULTS: [what: string, files: Record<string, string>, problem: RegExp][] = [
  [
    'a circle of types',
    {
      [`${PIPELINE}/a.ts`]: "import type { B } from './b.ts';",
      [`${PIPELINE}/b.ts`]: "import {\n  type A, // It's a type.\n} from './a.ts';",
    },
    /^import cycle: .*a\.ts -> .*b\.ts -> .*a\.ts$/,
  ],
  [
    'a type of a later folder',
    { 'control/model/a.ts': "import type { B } from '../agent/b.ts';", 'control/agent/b.ts': '' },
    /^control\/model\/a\.ts imports control\/agent\/b\.ts: a folder imports only itself/,
  ],
  [
    'an import without names of a later folder',
    { 'control/model/a.ts': "import '../../lab/host/b.ts';", 'lab/host/b.ts': '' },
    /^control\/model\/a\.ts imports lab\/host\/b\.ts: a folder imports only itself/,
  ],
  [
    'a lazy import of a later folder',
    { 'control/model/a.ts': "await import('../../lab/host/b.ts');", 'lab/host/b.ts': '' },
    /^control\/model\/a\.ts imports lab\/host\/b\.ts: a folder imports only itself/,
  ],
  ['a folder of 26 files', folderOf(26), /^datapath\/pipeline: 26 files, not 25$/],
  ['a folder without a place', { 'lab/new/a.ts': '' }, /^lab\/new\/a\.ts: its folder has no place/],
  ['a file of 401 lines', { 'lab/host/a.ts': 'x;\n'.repeat(401) }, /401 lines, the limit is 400/],
  ['a wide comment', { 'lab/host/a.ts': `/** ${LONG} */` }, /a\.ts:1: 111 columns, not 100$/],
  ['a wide comment of a test', { 'test/a.ts': `/** ${LONG} */` }, /a\.ts:1: 111 columns, not 100$/],
  ['a wide comment after code', { 'test/a.ts': `f(); // ${LONG}` }, /a\.ts:1: 112 columns/],
  ['a source that is not .ts', { 'lab/host/a.mjs': '' }, /^lab\/host\/a\.mjs: sources are \.ts/],
  ['Node in a hot folder', { [`${PIPELINE}/a.ts`]: "import { x } from 'node:fs';" }, /is pure/],
  ['a package in a hot folder', { [`${PIPELINE}/a.ts`]: "import x from 'koffi';" }, /is pure/],
  [
    'system calls in a hot folder',
    { [`${PIPELINE}/a.ts`]: "import { x } from '../io/tun.ts';", 'datapath/io/tun.ts': '' },
    /is pure/,
  ],
  [
    'a part of the Kubernetes client outside control/kube',
    { 'lab/host/a.ts': `import { x } from '${KUBE}/dist/config.js';` },
    /is imported in control\/kube only$/,
  ],
];

for (const [what, files, problem] of FAULTS) {
  test(`layers.ts finds ${what}`, () => {
    const problems = problemsOf(files);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0]!, problem);
  });
}

test('layers.ts accepts 25 files, 100 columns, 400 lines and an import of an earlier folder', () => {
  const wide = `// ${LONG}`.slice(0, 100);
  const files = {
    'lab/host/a.ts': "import type { F } from '../../datapath/error.ts';",
    'lab/host/b.ts': `${wide}\n${'x;\n'.repeat(398)}x;`,
    'datapath/error.ts': '',
  };
  assert.deepEqual(problemsOf({ ...folderOf(25), ...files }), []);
});
