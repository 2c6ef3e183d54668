// Runs the end-to-end tests: two jobs at a time, then the files of test/e2e/alone one by one. A job
// is a file, or the files that share a lab. `e2e.ts WORD...` runs the files whose path has a word.
// Pods of most files are attached by TUN, those of some by cables. KUBETUN_ATTACH sets one way for
// all files.
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { startLab } from '../test/support/lab.ts';
import { SHARED_LAB } from '../test/support/shared-lab.ts';

const root = join(import.meta.dirname, '..');
const FOLDER = 'test/e2e';
const ALONE = `${FOLDER}/alone/`;
const AT_ONCE = 2;
const SHOWN = 12;
const LAB = 'e2e-shared';

/** These files change only objects of their own (test/support/shared-lab.ts). They share a lab. */
const SHARED = ['access', 'stream', 'pods', 'explain', 'policies', 'services'].map(pathOf);

/** One way for all files, if set. */
const ATTACH = process.env.KUBETUN_ATTACH;
/** In these files, pods have cables. They cover cables, rules of Services, and policies. */
const ON_CABLES = ['scenarios', 'hostile', 'hostile-network', 'policy-change', 'kill'].map(pathOf);
/** These files run with both kinds of attachment. */
const BOTH = ['path-mtu'].map(pathOf);

/** These jobs take longest. They begin first, so that no long job runs alone at the end. */
const FIRST = [
  'kubectl/kubectl',
  'policies',
  'bench',
  'scenarios',
  'lab',
  'workloads',
  'hostile-lab',
  'hostile-health',
  'differential',
  'deployments',
  'hostile',
  'odd',
  'policy-change',
  'hostile-network',
  'kill',
  'lab-life',
  'kubectl/generators',
  'proxy',
].map(pathOf);

function pathOf(name: string): string {
  return `${FOLDER}/${name}.test.ts`;
}

function filesOf(words: string[]): string[] {
  const all = readdirSync(join(root, FOLDER), { recursive: true, encoding: 'utf8' })
    .map((name) => join(FOLDER, name))
    .filter((path) => path.endsWith('.test.ts'))
    .sort();
  const absent = [...FIRST, ...SHARED, ...ON_CABLES, ...BOTH].filter((path) => !all.includes(path));
  if (absent.length > 0) throw new Error(`scripts/e2e.ts names files that do not exist: ${absent}`);
  const isWanted = (path: string) => words.length === 0 || words.some((w) => path.includes(w));
  return [...FIRST, ...all.filter((path) => !FIRST.includes(path))].filter(isWanted);
}

interface Job {
  paths: string[];
  /** KUBETUN_ATTACH of its labs. */
  attach: string;
}

/** Jobs in the order of their first files. */
function jobsOf(files: string[]): Job[] {
  const shared = files.filter((path) => SHARED.includes(path));
  const [first] = shared;
  return files
    .filter((path) => path === first || !SHARED.includes(path))
    .flatMap((path) =>
      attachmentsOf(path).map((attach) => ({ paths: path === first ? shared : [path], attach })),
    );
}

function attachmentsOf(path: string): string[] {
  if (ATTACH) return [ATTACH];
  if (BOTH.includes(path)) return ['tun', 'veth'];
  return ON_CABLES.includes(path) ? ['veth'] : ['tun'];
}

const took: { file: string; ms: number }[] = [];
const counts = { tests: 0, passed: 0, skipped: 0 };
let failedJobs = 0;
const events = new PassThrough({ objectMode: true });
const report = events.compose(spec);
report.pipe(process.stdout, { end: false });

/** Runs the files of a job one by one, and reports them when all have ended. */
async function runJob({ paths, attach }: Job): Promise<void> {
  process.env.KUBETUN_ATTACH = attach;
  const lab = paths.length > 1 ? startLab(LAB, []) : null;
  const env = { ...process.env, KUBETUN_ATTACH: attach, ...(lab && { [SHARED_LAB]: LAB }) };
  const ofFiles: object[] = [];
  const tests = run({ files: paths.map((path) => join(root, path)), concurrency: 1, env });
  tests.on('test:summary', ({ file, success, duration_ms: ms, counts: more }) => {
    if (file !== undefined) took.push({ file: `${file.slice(root.length + 1)} (${attach})`, ms });
    else {
      counts.tests += more.tests;
      counts.passed += more.passed;
      counts.skipped += more.skipped;
      if (!success) failedJobs++;
    }
  });
  // Events without a file are totals of this job.
  for await (const event of tests) if (event.data?.file !== undefined) ofFiles.push(event);
  await lab?.down();
  for (const event of ofFiles) events.write(event);
}

/** Runs jobs in this order, `atOnce` at a time. A job whose lab fails counts as failed. */
async function runJobs(jobs: Job[], atOnce: number): Promise<void> {
  const left = [...jobs];
  const runNext = async (): Promise<void> => {
    const job = left.shift();
    if (!job) return;
    await runJob(job).catch((error) => {
      failedJobs++;
      console.error(job.paths.join(' '), error);
    });
    await runNext();
  };
  await Promise.all(Array.from({ length: atOnce }, runNext));
}

const files = filesOf(process.argv.slice(2));
const isAlone = (path: string) => path.startsWith(ALONE);
await runJobs(jobsOf(files.filter((path) => !isAlone(path))), AT_ONCE);
await runJobs(jobsOf(files.filter(isAlone)), 1);
const reported = once(report, 'end');
events.end();
await reported;
console.log('slowest files:');
for (const { file, ms } of took.sort((a, b) => b.ms - a.ms).slice(0, SHOWN)) {
  console.log(`${(ms / 1000).toFixed(0).padStart(5)} s  ${file}`);
}
const { tests, passed, skipped } = counts;
console.log(
  `${tests} tests: ${passed} passed, ${skipped} skipped, ${tests - passed - skipped} failed`,
);
process.exitCode = failedJobs === 0 ? 0 : 1;
