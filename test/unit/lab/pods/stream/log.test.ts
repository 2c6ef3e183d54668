import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdtempSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { identify } from '../../../../../lab/host/process.ts';
import { capLogs } from '../../../../../lab/pods/logs.ts';
import { logPath, previousLogPath, writePodRecord } from '../../../../../lab/pods/records.ts';
import { followLog, streamLog } from '../../../../../lab/pods/stream/log.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-log-'));
after(() => rmSync(folder, { recursive: true }));
const PATH = logPath(folder, 'ns', 'pod', 'main');
const LINES = Array.from({ length: 30_000 }, (_, i) => `line ${i}`);

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

test('a log is answered whole, by its last lines, or up to so many bytes', async () => {
  writeFileSync(PATH, `${LINES.join('\n')}\n`);
  assert.equal(await ask(''), `${LINES.join('\n')}\n`);
  assert.equal(await ask('tailLines=2'), 'line 29998\nline 29999\n');
  assert.equal(await ask('tailLines=20000'), `${LINES.slice(-20_000).join('\n')}\n`, 'over chunks');
  assert.equal(await ask('tailLines=99999'), `${LINES.join('\n')}\n`);
  assert.equal(await ask('tailLines=0'), '');
  assert.equal(await ask('limitBytes=6'), 'line 0');
  writeFileSync(PATH, 'a\nunfinished');
  assert.equal(await ask('tailLines=1'), 'unfinished');
});

test('what the container before said is a log of its own; one that has said nothing is empty', async () => {
  writeFileSync(previousLogPath(folder, 'ns', 'pod', 'main'), 'before\n');
  assert.equal(await ask('previous=true'), 'before\n');
  rmSync(PATH);
  assert.equal(await ask(''), '');
});

test('what needs the times of lines is refused in words', () => {
  for (const query of ['timestamps=true', 'sinceSeconds=5', 'sinceTime=2026-01-01T00:00:00Z']) {
    assert.throws(() => ask(query), { code: 400, message: /the lab's logs have no times/ });
  }
});

test('a number that is none is refused before anything is answered', () => {
  writeFileSync(PATH, 'said\n');
  for (const query of [
    'limitBytes=0',
    'limitBytes=-1',
    'limitBytes=x',
    'tailLines=-1',
    'tailLines=x',
  ]) {
    assert.throws(() => ask(query), { code: 400, message: /must be at least/ }, query);
  }
});

test('a log is followed through its being cut, until the container ends', async () => {
  writeFileSync(PATH, 'old\n');
  const own = identify(process.pid)!;
  const container = { name: 'main', process: own };
  const place = {
    ...{ node: 'n', netns: 'x', address: '', sandbox: own },
    containers: [container],
  };
  writePodRecord(folder, { namespace: 'ns', name: 'pod', uid: 'u', ...place });
  const reader = new PassThrough();
  const ended = { pid: own.pid, start: own.start };
  const query = new URLSearchParams('container=main');
  followLog(folder, { stream: 'attach', namespace: 'ns', pod: 'pod', query }, ended, reader);
  let seen = '';
  reader.setEncoding('utf8').on('data', (chunk: string) => {
    seen += chunk;
  });
  const until = async (wanted: string) => {
    while (seen !== wanted) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  appendFileSync(PATH, 'one\n');
  await until('one\n');
  truncateSync(PATH);
  appendFileSync(PATH, '2\n');
  await until('one\n2\n');
  const end = new Promise((resolve) => reader.once('end', resolve));
  ended.start = 0;
  await end;
});

test('a log that has grown beyond 10 MiB is emptied, others are left', () => {
  const big = logPath(folder, 'ns', 'big', 'main');
  writeFileSync(big, Buffer.alloc(10 * 1024 * 1024 + 1));
  writeFileSync(PATH, 'small');
  capLogs(folder);
  assert.equal(statSync(big).size, 0);
  assert.equal(statSync(PATH).size, 5);
});
