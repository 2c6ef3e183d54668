// The worker as one module: built once per sources, by any number of agents at once.
import { strict as assert } from 'node:assert';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { bundle, WORKER_EXEC_ARGV, workerUrl } from '../../../../datapath/worker/bundle.ts';

const root = mkdtempSync(join(tmpdir(), 'kubetun-bundle-'));
after(() => rmSync(root, { recursive: true }));
const failLog = (line: string) => assert.fail(line);

test('agents that start at once get one complete bundle', async () => {
  const folder = pathToFileURL(join(root, 'at-once/'));
  const urls = await Promise.all([1, 2, 3].map(() => workerUrl(failLog, folder)));
  assert.deepEqual(readdirSync(folder), [urls[0]!.pathname.split('/').at(-1)]);
  assert.equal(new Set(urls.map(String)).size, 1);
});

test('uses the bundle of the same sources and removes an old one of other sources', async () => {
  const folder = pathToFileURL(join(root, 'again/'));
  mkdirSync(folder);
  const old = new URL('worker-0123456789abcdef.mjs', folder);
  writeFileSync(old, '');
  utimesSync(old, 0, 0);
  const url = await workerUrl(failLog, folder);
  assert.equal(readdirSync(folder).length, 1, 'the old one is removed');
  writeFileSync(url, 'kept');
  assert.equal(String(await workerUrl(failLog, folder)), String(url));
});

test('falls back to the unbundled worker, with one line in the log', async () => {
  writeFileSync(join(root, 'file'), '');
  const lines: string[] = [];
  const url = await workerUrl((line) => lines.push(line), pathToFileURL(join(root, 'file/')));
  assert.match(url.pathname, /datapath\/worker\/loop\.ts$/);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /runs unbundled and slower: ENOTDIR.*run 'npm ci'/);
});

test('an error in a bundle names the line of the TypeScript source', async () => {
  const entry = pathToFileURL(join(root, 'entry.ts'));
  writeFileSync(entry, "import { fail } from './fail.ts';\n\nfail(1);\n");
  const source = [
    'type N = number;',
    'export function fail(n: N): N {',
    '  throw Error(String(n));',
  ];
  writeFileSync(join(root, 'fail.ts'), [...source, '}', ''].join('\n'));
  const url = new URL('bundle.mjs', entry);
  await bundle(entry, url);
  const worker = new Worker(url, { execArgv: WORKER_EXEC_ARGV });
  const error = await new Promise<Error>((resolve) => worker.once('error', resolve));
  assert.match(error.stack!, /fail\.ts:3:9/);
  assert.match(error.stack!, /entry\.ts:3:1/);
});
