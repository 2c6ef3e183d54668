import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { identify } from '../../../../../lab/host/process.ts';
import {
  findPod,
  type PodRecord,
  readPodRecord,
  readPodRecords,
  removePodRecord,
  writePodRecord,
} from '../../../../../lab/pods/sandbox/records.ts';

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'kubetun-records-'));
});
afterEach(() => rmSync(stateDir, { recursive: true }));

/** This test's own process is the running one. */
const ALIVE = identify(process.pid)!;
const REUSED = { pid: process.pid, start: ALIVE.start - 1 };

function record(change: Partial<PodRecord> = {}): PodRecord {
  return {
    namespace: 'default',
    name: 'web',
    uid: 'u-1',
    node: 'node1',
    netns: 'lab-pod-default-web',
    address: '10.244.1.2',
    sandbox: ALIVE,
    containers: [{ name: 'main', process: ALIVE }],
    ...change,
  };
}

test('reads back a record, and leaves no other file in its folder', () => {
  writePodRecord(stateDir, record());
  assert.deepEqual(readPodRecord(stateDir, 'default', 'web'), record());
  assert.deepEqual(readdirSync(join(stateDir, 'pods')), ['default_web.json']);
});

test('a lab without pods has no records', () => {
  assert.deepEqual(readPodRecords(stateDir), []);
  assert.equal(readPodRecord(stateDir, 'default', 'web'), null);
});

test('pods with the same name in two namespaces have separate records', () => {
  writePodRecord(stateDir, record());
  writePodRecord(stateDir, record({ namespace: 'shop' }));
  const found = readPodRecords(stateDir).map(({ namespace }) => namespace);
  assert.deepEqual(found.sort(), ['default', 'shop']);
});

test('an incomplete record counts as missing', () => {
  writePodRecord(stateDir, record());
  writeFileSync(join(stateDir, 'pods/default_half.json'), '{"namespace":');
  assert.deepEqual(readPodRecords(stateDir), [record()]);
});

test('a record may be removed twice', () => {
  writePodRecord(stateDir, record());
  removePodRecord(stateDir, 'default', 'web');
  removePodRecord(stateDir, 'default', 'web');
  assert.equal(readPodRecord(stateDir, 'default', 'web'), null);
});

test('finds a running pod with its running containers', () => {
  const containers = [
    { name: 'dead', process: REUSED },
    { name: 'main', process: ALIVE },
  ];
  writePodRecord(stateDir, record({ containers }));
  assert.deepEqual(findPod(stateDir, 'default', 'web'), {
    netns: 'lab-pod-default-web',
    node: 'node1',
    containers: [{ name: 'main', pid: process.pid }],
  });
});

for (const [what, sandbox] of [
  ['whose process id belongs to another process now', REUSED],
  ['that never started', null],
] as const) {
  test(`a pod ${what} is not found`, () => {
    writePodRecord(stateDir, record({ sandbox }));
    assert.equal(findPod(stateDir, 'default', 'web'), null);
  });
}
