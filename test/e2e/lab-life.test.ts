// Labs that several processes create, adopt and end at once, or in places that are in use.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import { readRecord } from '../../lab/state/record.ts';
import {
  assertGone,
  clientPod,
  kubetun,
  kubetunWith,
  type Outcome,
  startLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-life';

/** The command line in the background. */
function start(...args: string[]): Promise<Outcome> {
  const child = spawn(join(PROJECT_ROOT, 'scripts/kubetun'), args);
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      out[name] += text;
    });
  }
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...out })));
}

describe('a lab', () => {
  after(() => {
    kubetun('lab', 'down', '--lab', NAME);
  });

  test('is created once and ended once by any number of simultaneous commands', async () => {
    const ups = await Promise.all([1, 2, 3].map(() => start('lab', 'up', '--lab', NAME)));
    assert.deepEqual(
      ups.map(({ code }) => code).sort(),
      [0, 1, 1],
      ups.map((up) => up.stderr).join(''),
    );
    for (const { code, stderr } of ups) {
      if (code === 0) continue;
      assert.match(stderr, /^kubetun: lab e2e-life is (being started|up already)/);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
    const { code, stdout } = kubetun('--lab', NAME, 'lab', 'status');
    assert.equal(code, 0);
    assert.equal(stdout.match(/running/g)?.length, 3, `two nodes and the cloud: ${stdout}`);
    const downs = await Promise.all([1, 2].map(() => start('lab', 'down', '--lab', NAME)));
    assert.deepEqual(downs.map((down) => [down.code, down.stdout]).sort(), [
      [0, 'lab e2e-life is down\n'],
      [0, 'lab e2e-life was not up\n'],
    ]);
    assertGone(NAME);
  });

  test('that is still being created is ended by lab down, with its creator', async () => {
    const up = start('lab', 'up', '--lab', NAME, '--nodes', '6');
    await until('its supervisor is started', () => readRecord(NAME)?.supervisor != null);
    assert.equal(kubetun('lab', 'down', '--lab', NAME).code, 0);
    assert.equal((await up).code, 143, 'lab down ended it with SIGTERM');
    assertGone(NAME);
  });

  test('is adopted with its topology, on another port if its own is in use', async () => {
    // As `lab up` without options makes it, with DNS and Ingress.
    const asByDefault = { dns: undefined, ingress: undefined };
    const lab = startLab(NAME, [clientPod('client', 'node1')], asByDefault);
    lab.kube.close();
    const { supervisor, apiPort } = readRecord(NAME)!;
    process.kill(supervisor!.pid, 'SIGKILL');
    const thief = createServer();
    await until('its port is free', async () => {
      return new Promise<boolean>((resolve) => {
        thief.once('error', () => resolve(false));
        thief.listen(apiPort, '127.0.0.1', () => resolve(true));
      });
    });
    try {
      for (const option of [['--nodes', '3'], ['--ephemeral']]) {
        const other = kubetun('--lab', NAME, 'lab', 'up', ...option);
        assert.equal(other.code, 1);
        assert.match(
          other.stderr,
          /^kubetun: lab e2e-life has lost its supervisor .*: resume it with /,
        );
      }
      const { code, stderr } = kubetun('--lab', NAME, 'lab', 'up', '--nodes', '2');
      assert.equal(code, 0, stderr);
      assert.notEqual(readRecord(NAME)?.apiPort, apiPort);
      const { stdout } = kubetun('--lab', NAME, 'lab', 'status');
      assert.match(stdout, /default\s+client/);
    } finally {
      thief.close();
    }
    assert.equal(kubetun('lab', 'down', '--lab', NAME).code, 0);
  });

  test('never replaces or removes a foreign folder', () => {
    const runDir = mkdtempSync(join(tmpdir(), 'kubetun-run-'));
    const file = join(runDir, NAME, 'thesis.txt');
    try {
      // A folder with the lab's name by chance.
      mkdirSync(join(runDir, NAME));
      writeFileSync(file, 'years of work');
      const up = kubetunWith({ KUBETUN_RUN_DIR: runDir }, 'lab', 'up', '--lab', NAME);
      assert.equal(up.code, 2);
      assert.match(
        up.stderr,
        /^kubetun: .* contains files that are not a lab's: choose another name/,
      );
      const down = kubetunWith({ KUBETUN_RUN_DIR: runDir }, 'lab', 'down', '--lab', NAME);
      assert.equal(down.stdout, `lab ${NAME} was not up\n`);
      assert.equal(readFileSync(file, 'utf8'), 'years of work');
    } finally {
      rmSync(runDir, { recursive: true });
    }
    assertGone(NAME);
  });

  test('on a full disk fails with one line and leaves nothing', () => {
    const up = `${join(PROJECT_ROOT, 'scripts/kubetun')} lab up --lab ${NAME}`;
    const script = `mount --make-rprivate / && mkdir -p /run/kubetun && mount -t tmpfs -o size=4k,nr_inodes=2 tmpfs /run/kubetun && exec ${up}`;
    const child = spawnSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8' });
    assert.equal(child.status, 1);
    assert.match(
      child.stderr,
      /^kubetun: .*(ENOSPC|no space).*: make room in .*, or set KUBETUN_RUN_DIR/m,
    );
    assert.doesNotMatch(child.stderr, /\n\s+at /);
    assertGone(NAME);
  });
});
