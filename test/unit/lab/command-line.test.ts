import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { stateDir } from '../../../control/places.ts';
import { PROJECT_ROOT, requireOwnPrefix } from '../../../lab/places/paths.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-run-'));
const before = process.env.KUBETUN_RUN_DIR;
after(() => {
  rmSync(folder, { recursive: true });
  if (before === undefined) delete process.env.KUBETUN_RUN_DIR;
  else process.env.KUBETUN_RUN_DIR = before;
});

function kubetun(...args: string[]) {
  const { status, stderr } = spawnSync(join(PROJECT_ROOT, 'scripts/kubetun'), args, {
    encoding: 'utf8',
  });
  return { status, stderr };
}

for (const value of ['', '.', 'run/kubetun']) {
  test(`refuses a relative state folder, also for removal: ${JSON.stringify(value)}`, () => {
    process.env.KUBETUN_RUN_DIR = value;
    assert.throws(() => stateDir('lab'), { code: 'KT_RUN_DIR', exitCode: 2 });
  });
}

test("refuses only a lab name that extends another lab's name", () => {
  process.env.KUBETUN_RUN_DIR = folder;
  mkdirSync(join(folder, 'x-pod'));
  for (const name of ['x', 'x-pod-a']) {
    assert.throws(() => requireOwnPrefix(name), { code: 'KT_LAB_NAME', message: /lab x-pod/ });
  }
  for (const name of ['x-pod', 'x-pod2', 'y']) requireOwnPrefix(name);
});

test('a lab may have the name of a command', () => {
  process.env.KUBETUN_RUN_DIR = folder;
  const { status, stderr } = kubetun('--lab', 'lab', 'services');
  delete process.env.KUBETUN_RUN_DIR;
  assert.match(stderr, /lab lab is not up/);
  assert.equal(status, 1);
});

test('commands in a hint work on the lab of the command', () => {
  const { stderr } = kubetun('services', '--node', 'node1', '--lab', 'absent');
  assert.match(stderr, /start it with scripts\/kubetun --lab absent lab up/);
});

test('names of Object.prototype are not commands', () => {
  const { status, stderr } = kubetun('toString');
  assert.match(stderr, /^error: unknown command 'toString'/);
  assert.equal(status, 2);
});

for (const bad of [
  'tcp=5',
  'toString=5',
  'udp',
  'udp=',
  'udp=0',
  'udp=2073601',
  'udp=1.5',
  'udp=5=5',
]) {
  test(`--timeout ${bad} is refused in one line with the valid names`, () => {
    const { status, stderr } = kubetun('agent', '--timeout', 'icmp=5', '--timeout', bad);
    assert.match(
      stderr.split('\n')[0]!,
      /NAME=SECONDS, of 1 to 2073600 .* tcp-syn-sent, .* other\.$/,
    );
    assert.equal(status, 2);
  });
}

for (const bad of ['0', '10001', '1.5', 'on', '']) {
  test(`refuses to busy-poll for '${bad}'`, () => {
    const { status, stderr } = kubetun('agent', '--busy-poll', bad);
    assert.equal(status, 2);
    assert.match(stderr, /must be auto, off, or 1 to 10000 microseconds/);
  });
}
