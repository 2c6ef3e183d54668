import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type LabRecord, readRecord, writeRecord } from '../../../../lab/state/record.ts';
import { keepProcess } from '../../../../lab/supervisor/keep.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-keep-'));
const LAB = `keep-${process.pid}`;
const runDirBefore = process.env.KUBETUN_RUN_DIR;
const started: number[] = [];

before(() => {
  process.env.KUBETUN_RUN_DIR = folder;
});

after(() => {
  for (const pid of started) process.kill(pid, 'SIGKILL');
  if (runDirBefore === undefined) delete process.env.KUBETUN_RUN_DIR;
  else process.env.KUBETUN_RUN_DIR = runDirBefore;
  rmSync(folder, { recursive: true });
});

function keep(): void {
  const stop = keepProcess(
    LAB,
    'logWriter',
    (mark) => {
      const child = spawn('sleep', ['60'], { stdio: 'ignore', env: { ...process.env, ...mark } });
      started.push(child.pid!);
      return child;
    },
    (error) => assert.fail(error),
  );
  stop();
}

test('finds a process that a killed supervisor did not record, and starts no second one', () => {
  writeRecord({ lab: LAB, logWriter: null } as LabRecord);
  keep();
  assert.equal(readRecord(LAB)?.logWriter?.pid, started[0]);
  writeRecord({ ...readRecord(LAB)!, logWriter: null });
  keep();
  assert.equal(readRecord(LAB)?.logWriter?.pid, started[0]);
  assert.equal(started.length, 1);
});
