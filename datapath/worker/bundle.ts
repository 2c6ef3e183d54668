// Makes one module of the worker and its imports: V8 folds the constants of a module into its code,
// and loads and checks imported ones at every use (docs/adr/0019).
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';

const DATAPATH = new URL('../', import.meta.url);
const WORKER = new URL('./loop.ts', import.meta.url);
export const BUNDLE_FOLDER = new URL('../node_modules/.cache/kubetun/', DATAPATH);
/** A bundle of other sources is removed at this age. */
const KEEP_MS = 7 * 86_400_000;

/** Arguments of a worker that prints .ts files in its errors. */
export const WORKER_EXEC_ARGV = ['--enable-source-maps', '--disable-warning=ExperimentalWarning'];

/**
 * URL of the worker's bundle. Builds it unless a bundle of the same sources exists. On failure
 * `log` gets a line and the URL is the unbundled worker's.
 */
export async function workerUrl(log: (line: string) => void, folder = BUNDLE_FOLDER): Promise<URL> {
  const url = new URL(`worker-${hashSources()}.mjs`, folder);
  try {
    if (!existsSync(url)) {
      await bundle(WORKER, url);
      removeOld(folder);
    }
    return url;
  } catch (error) {
    const why = `the datapath worker runs unbundled and slower: ${(error as Error).message}`;
    log(`${why}: run 'npm ci' where ${fileURLToPath(folder)} is writable`);
    return WORKER;
  }
}

/** Hash of all files that the worker can import, and of the Node that strips the types. */
function hashSources(): string {
  const hash = createHash('sha256').update(process.version);
  const names = readdirSync(DATAPATH, { recursive: true, encoding: 'utf8' });
  for (const name of names.filter((file) => file.endsWith('.ts')).sort()) {
    hash.update(`\n${name}\n`).update(readFileSync(new URL(name, DATAPATH)));
  }
  return hash.digest('hex').slice(0, 16);
}

/**
 * Writes `entry` and its imports to `to`, with a source map. The file appears complete, so several
 * processes may do this at once. Throws the errors of Rollup and the file system.
 */
export async function bundle(entry: URL, to: URL): Promise<void> {
  // Imported only here: a process that finds its bundle does not load Rollup.
  const { rollup } = await import('rollup');
  const build = await rollup({
    input: fileURLToPath(entry),
    external: (id) => !/^[./]/.test(id),
    plugins: [
      {
        name: 'strip-types',
        // Types become blanks, so that positions stay.
        transform: (code) => ({ code: stripTypeScriptTypes(code), map: null }),
      },
    ],
  });
  const { output } = await build.generate({
    file: fileURLToPath(to),
    sourcemap: 'inline',
    sourcemapExcludeSources: true,
  });
  await build.close();
  mkdirSync(new URL('.', to), { recursive: true });
  const temporary = new URL(`${randomBytes(8).toString('hex')}.tmp`, to);
  // Flushed: a machine that loses power must not keep an empty bundle.
  writeFileSync(temporary, output[0].code, { flush: true });
  renameSync(temporary, to);
}

function removeOld(folder: URL): void {
  for (const name of readdirSync(folder)) {
    const url = new URL(name, folder);
    const modified = statSync(url, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Date.now() - modified > KEEP_MS) rmSync(url, { force: true });
  }
}
