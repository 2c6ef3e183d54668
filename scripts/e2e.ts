// Runs the end-to-end tests: two files at a time, then those of test/e2e/alone one by one.
// `e2e.ts WORD...` runs the files whose path has one of the words.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = join(import.meta.dirname, '..');
const FOLDER = 'test/e2e';
const ALONE = `${FOLDER}/alone/`;
const AT_ONCE = 2;
const SHOWN = 12;

/** These take longest. They begin first, so that no slow file runs alone at the end. */
const FIRST = [
  'kubectl/kubectl',
  'workloads',
  'dns',
  'differential',
  'policies',
  'explain',
  'hostile-health',
  'hostile-lab',
  'hostile',
  'gateway',
  'lab',
  'kubectl/generators',
  'deployments',
  'kill',
  'hostile-network',
  'container-logs',
  'policy-change',
  'lab-life',
  'odd',
].map((name) => `${FOLDER}/${name}.test.ts`);

interface Took {
  file: string;
  ms: number;
}

function filesOf(words: string[]): string[] {
  const all = readdirSync(join(root, FOLDER), { recursive: true, encoding: 'utf8' })
    .map((name) => join(FOLDER, name))
    .filter((path) => path.endsWith('.test.ts'))
    .sort();
  const absent = FIRST.filter((path) => !all.includes(path));
  if (absent.length > 0) throw new Error(`scripts/e2e.ts names files that do not exist: ${absent}`);
  const isWanted = (path: string) => words.length === 0 || words.some((w) => path.includes(w));
  return [...FIRST, ...all.filter((path) => !FIRST.includes(path))].filter(isWanted);
}

/** Runs files, a few at a time, in this order. Notes how long each took. True if all passed. */
function runFiles(files: string[], concurrency: number, took: Took[]): Promise<boolean> {
  if (files.length === 0) return Promise.resolve(true);
  return new Promise((resolve, reject) => {
    let passed = false;
    const events = run({ files: files.map((path) => join(root, path)), concurrency });
    events.on('test:summary', ({ file, success, duration_ms }) => {
      if (file === undefined) passed = success;
      else took.push({ file: file.slice(root.length + 1), ms: duration_ms });
    });
    const report = events.compose(spec);
    report.once('error', reject);
    report.once('end', () => resolve(passed));
    report.pipe(process.stdout, { end: false });
  });
}

const files = filesOf(process.argv.slice(2));
const took: Took[] = [];
const together = await runFiles(
  files.filter((path) => !path.startsWith(ALONE)),
  AT_ONCE,
  took,
);
const alone = await runFiles(
  files.filter((path) => path.startsWith(ALONE)),
  1,
  took,
);
console.log('slowest files:');
for (const { file, ms } of took.sort((a, b) => b.ms - a.ms).slice(0, SHOWN)) {
  console.log(`${(ms / 1000).toFixed(0).padStart(5)} s  ${file}`);
}
process.exitCode = together && alone ? 0 : 1;
