import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, beforeEach, test } from 'node:test';
import { identify } from '../../../../../lab/host/process.ts';
import { filePath, type LogRun, logName, pipePath } from '../../../../../lab/logs/files.ts';
import { encodeEntries, formatTime } from '../../../../../lab/logs/format.ts';
import { writePodRecord } from '../../../../../lab/pods/sandbox/records.ts';
import { followLog, streamLog } from '../../../../../lab/pods/stream/log.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-log-'));
after(() => rmSync(folder, { recursive: true }));
beforeEach(() => rmSync(join(folder, 'logs'), { recursive: true, force: true }));
const LOG: LogRun = { stateDir: folder, name: logName('ns', 'pod', 'main'), run: 7 };
const EARLIER = { ...LOG, run: 3 };
const LINES = Array.from({ length: 30_000 }, (_, i) => `line ${i}`);
const TIME_MS = Date.parse('2026-01-02T03:04:05.678Z');

/** Appends output to a file of a run. */
function say(said: string, number = 0, { log = LOG, timeMs = TIME_MS } = {}): void {
  mkdirSync(dirname(filePath(log, 0)), { recursive: true });
  appendFileSync(filePath(log, number), encodeEntries(Buffer.from(said), formatTime(timeMs)));
}

function ask(query: string) {
  const request = {
    ...{ stream: 'log', namespace: 'ns', pod: 'pod' },
    query: new URLSearchParams(`container=main&${query}`),
  };
  const response = Object.assign(new PassThrough(), {
    writeHead: () => {},
    flushHeaders: () => {},
  });
  streamLog(folder, request, response as unknown as ServerResponse);
  return text(response);
}

/** The container runs as this process until the test changes the result. */
function runContainer() {
  const own = identify(process.pid)!;
  const place = {
    ...{ node: 'n', netns: 'x', address: '', sandbox: own },
    containers: [{ name: 'main', process: own }],
  };
  writePodRecord(folder, { namespace: 'ns', name: 'pod', uid: 'u', ...place });
  return { ...own };
}

function follow(process: ReturnType<typeof runContainer>) {
  const reader = new PassThrough();
  const query = new URLSearchParams('container=main');
  followLog(folder, { stream: 'attach', namespace: 'ns', pod: 'pod', query }, process, reader);
  let seen = '';
  reader.setEncoding('utf8').on('data', (chunk: string) => {
    seen += chunk;
  });
  const until = async (wanted: string) => {
    while (seen !== wanted) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  return { until, end: new Promise((resolve) => reader.once('end', resolve)) };
}

test('answers a whole log, its last lines, or up to a byte limit', async () => {
  say(`${LINES.slice(0, 15_000).join('\n')}\n`, 4);
  say(`${LINES.slice(15_000).join('\n')}\n`, 5);
  assert.equal(await ask(''), `${LINES.join('\n')}\n`);
  assert.equal(await ask('tailLines=2'), 'line 29998\nline 29999\n');
  assert.equal(await ask('tailLines=20000'), `${LINES.slice(-20_000).join('\n')}\n`, 'two files');
  assert.equal(await ask('tailLines=15000'), `${LINES.slice(-15_000).join('\n')}\n`);
  assert.equal(await ask('tailLines=99999'), `${LINES.join('\n')}\n`);
  assert.equal(await ask('tailLines=0'), '');
  assert.equal(await ask('limitBytes=6'), 'line 0');
});

test("an answer without follow ends at the log's size at the request", async () => {
  say('one\ntwo\n');
  runContainer();
  const answers = [ask(''), ask('tailLines=1')];
  say('three\n');
  say('four\n', 1);
  assert.deepEqual(await Promise.all(answers), ['one\ntwo\n', 'two\n']);
  rmSync(join(folder, 'pods'), { recursive: true });
});

test('a line in parts or in two files is one line', async () => {
  say('a\nunfin', 0);
  say('ished', 1);
  assert.equal(await ask('tailLines=1'), 'unfinished');
  assert.equal(await ask('tailLines=2'), 'a\nunfinished');
  say(' now\nb\n', 1);
  assert.equal(await ask('tailLines=2'), 'unfinished now\nb\n');
});

test('the previous run has its own log, which may be empty', async () => {
  assert.equal(await ask(''), '');
  assert.equal(await ask('previous=true'), '');
  say('before\n', 0, { log: EARLIER });
  say('now\n');
  assert.equal(await ask('previous=true'), 'before\n');
  assert.equal(await ask(''), 'now\n');
});

test('answers lines with times and from a start time', async () => {
  say('old\n');
  say('new\n', 0, { timeMs: Date.now() - 5000 });
  assert.match(await ask('timestamps=true'), /^2026-01-02T03:04:05\.678000000Z old\n\S+Z new\n$/);
  assert.equal(await ask('timestamps=false&sinceSeconds=60'), 'new\n');
  assert.equal(await ask('sinceSeconds=2'), '');
  assert.equal(await ask('sinceTime=2026-01-02T03:04:05Z&tailLines=9'), 'old\nnew\n');
  assert.equal(await ask('sinceTime=2026-01-02T03:04:06Z'), 'new\n');
});

test('refuses an invalid value before any output', () => {
  say('said\n');
  for (const query of [
    'limitBytes=0',
    'limitBytes=-1',
    'limitBytes=x',
    'tailLines=-1',
    'tailLines=x',
    'sinceSeconds=0',
  ]) {
    assert.throws(() => ask(query), { code: 400, message: /must be at least/ }, query);
  }
  assert.throws(() => ask('sinceTime=x'), { code: 400, message: /sinceTime: Invalid value/ });
  const both = 'sinceTime=2026-01-02T03:04:05Z&sinceSeconds=1';
  assert.throws(() => ask(both), { code: 400, message: /at most one/ });
});

test('follows a log across files until the container ends', async () => {
  say('old\n');
  const container = runContainer();
  const { until, end } = follow(container);
  say('one\n');
  await until('one\n');
  // Output may follow an end that was read, and files may be removed before they are read.
  say('2\n');
  say('3\n', 1);
  say('4\n', 2);
  await until('one\n2\n3\n4\n');
  say('5\n', 2);
  rmSync(filePath(LOG, 0));
  rmSync(filePath(LOG, 1));
  say('6\n', 3);
  await until('one\n2\n3\n4\n5\n6\n');
  container.start = 0;
  await end;
});

test('waits for the last output of an ended container', async () => {
  say('one\n');
  mkdirSync(dirname(pipePath(LOG)));
  writeFileSync(pipePath(LOG), '');
  const container = runContainer();
  const { until, end } = follow(container);
  container.start = 0;
  rmSync(join(folder, 'pods'), { recursive: true });
  const answer = ask('');
  await new Promise((resolve) => setTimeout(resolve, 300));
  say('two\n');
  rmSync(pipePath(LOG));
  await until('two\n');
  await end;
  assert.equal(await answer, 'one\ntwo\n');
});

test('a follower ends with its reader', async () => {
  say('one\n');
  runContainer();
  const query = new URLSearchParams('container=main&follow=true');
  const response = Object.assign(new PassThrough(), {
    writeHead: () => {},
    flushHeaders: () => {},
  });
  const request = { stream: 'log', namespace: 'ns', pod: 'pod', query };
  streamLog(folder, request, response as unknown as ServerResponse);
  const open = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  assert.equal(String(await new Promise((resolve) => response.once('data', resolve))), 'one\n');
  const before = open();
  response.destroy();
  // The follower's timer is its last resource.
  while (open() >= Math.max(1, before)) await new Promise((resolve) => setImmediate(resolve));
});
