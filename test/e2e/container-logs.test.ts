// Logs of containers: bounded while they are written, complete across rotations, restarts and dead
// processes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Pod } from '../../control/kube/kinds.ts';
import { isAlive, type ProcessId } from '../../lab/host/process.ts';
import { kubeconfigPath } from '../../lab/places/paths.ts';
import { readPodRecord } from '../../lab/pods/sandbox/records.ts';
import { readRecord } from '../../lab/state/record.ts';
import { assertGone, startKubetun, startLab, type TestLab, until } from '../support/lab.ts';
import { findKubectls } from './kubectl/binaries.ts';

const NAME = 'e2e-clog';
const STATE = `/run/kubetun/${NAME}`;
const MIB = 1024 * 1024;
/** Lines of 140 bytes on disk: two files become full. */
const LINES = 200_000;
const NUMBERS = `
  seq -f '%07.0f ${'x'.repeat(98)}' 1 ${LINES}
  i=${LINES}
  while :; do i=$((i + 1)); printf '%07d\\n' $i; sleep 0.05; done`;
const newest = findKubectls().at(-1)!;

function pod(name: string, command: string[]): Pod {
  return {
    metadata: { name, namespace: 'default' },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'main', image: 'busybox', command }],
    },
  };
}

/** Bytes of all files below a folder. A file that disappears meanwhile counts as 0. */
function bytesBelow(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => lstatSync(join(folder, name), { throwIfNoEntry: false }))
    .reduce((sum, stat) => sum + (stat?.isFile() ? stat.size : 0), 0);
}

/** The numbers at the start of lines. */
function numbersOf(text: string): number[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number.parseInt(line, 10));
}

function assertInSequence(numbers: number[]): void {
  const at = numbers.findIndex((n, i) => i > 0 && n !== numbers[i - 1]! + 1);
  assert.equal(at, -1, `${numbers[at - 1]} is followed by ${numbers[at]}`);
}

describe('logs of containers', () => {
  let lab: TestLab;
  before(() => {
    lab = startLab(NAME, [], { nodes: [{ name: 'node1' }] });
  });
  after(() => lab.down());

  async function create(object: Pod): Promise<void> {
    await lab.kube.create('Pod', object);
    const metadata = { namespace: 'default', name: object.metadata!.name! };
    await until('it runs', async () => {
      const found = await lab.kube.get('Pod', metadata);
      return found.status?.containerStatuses?.[0]?.state?.running !== undefined;
    });
  }

  function startLogs(...args: string[]) {
    const env = { ...process.env, KUBECONFIG: kubeconfigPath(NAME) };
    const child = spawn(newest.path, ['logs', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const said: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => said.push(chunk));
    }
    const ended = new Promise((resolve) => child.once('close', resolve));
    return { child, ended, text: () => said.join('') };
  }

  async function logs(...args: string[]): Promise<string> {
    const { ended, text } = startLogs(...args);
    assert.equal(await ended, 0, text().slice(0, 300));
    return text();
  }

  const container = (name: string): ProcessId =>
    readPodRecord(STATE, 'default', name)!.containers[0]!.process;

  test('never exceed 60 MiB while a container writes without end', async (t) => {
    await create(pod('flood', ['yes']));
    let most = 0;
    const end = Date.now() + 6000;
    while (Date.now() < end) {
      most = Math.max(most, bytesBelow(join(STATE, 'logs')));
      assert.ok(most < 60 * MIB, `${(most / MIB).toFixed(0)} MiB`);
      await setTimeout(10);
    }
    t.diagnostic(`at most ${(most / MIB).toFixed(1)} MiB`);
    assert.ok(most > 20 * MIB, 'files became full and were kept');
    assert.equal(await logs('flood', '--tail=3'), 'y\ny\ny\n');
    await lab.kube.delete('Pod', { namespace: 'default', name: 'flood' });
    await until('its logs are gone', () => bytesBelow(join(STATE, 'logs')) < MIB);
  });

  test('are followed across rotations without loss or repetition', async () => {
    await create(pod('numbers', ['sh', '-c', NUMBERS]));
    const follower = startLogs('-f', 'numbers');
    await until('the follower has come to the end', () =>
      follower.text().includes(`\n${String(LINES + 5).padStart(7, '0')}\n`),
    );
    follower.child.kill('SIGKILL');
    await follower.ended;
    const seen = numbersOf(follower.text().replace(/[^\n]*$/, ''));
    assert.equal(seen[0], 1);
    assertInSequence(seen);
  });

  test('can be limited to last lines, times and sizes', async () => {
    const stamped = (await logs('numbers', '--timestamps', '--tail=50')).trimEnd().split('\n');
    assert.equal(stamped.length, 50);
    const times = stamped.map((line) => Date.parse(line.split(' ')[0]!));
    assert.deepEqual(times, times.toSorted());
    assert.equal(await logs('numbers', '--since-time=2222-01-01T00:00:00Z', '--tail=10'), '');
    const recent = numbersOf(await logs('numbers', '--since=2s'));
    assert.ok(recent.length > 0 && recent[0]! > LINES, 'lines of the last two seconds');
    assert.equal(await logs('numbers', '--limit-bytes=9'), '0000001 x');
  });

  test('continue while the supervisor is dead, and after its successor has adopted them', async () => {
    const { supervisor } = readRecord(NAME)!;
    process.kill(supervisor!.pid, 'SIGKILL');
    await until('it is dead', () => !isAlive(supervisor!));
    const dead = Date.now();
    await setTimeout(1000);
    const back = Date.now();
    const up = await startKubetun('lab', 'up', '--lab', NAME);
    assert.equal(up.code, 0, up.stderr);
    const lines = (await logs('numbers', '--timestamps', '--tail=1000')).trimEnd().split('\n');
    const meanwhile = lines.filter((line) => {
      const time = Date.parse(line.split(' ')[0]!);
      return time > dead && time < back;
    });
    assert.ok(meanwhile.length > 0, 'lines were logged without a supervisor');
    assertInSequence(lines.map((line) => Number.parseInt(line.split(' ')[1]!, 10)));
    assert.equal(numbersOf(await logs('numbers'))[0], 1, 'earlier lines are kept');
  });

  test('of the previous run are shown after a restart', async () => {
    const last = numbersOf(await logs('numbers', '--tail=1'))[0]!;
    const earlier = container('numbers');
    process.kill(earlier.pid, 'SIGKILL');
    await until('the container runs again', () => {
      const now = readPodRecord(STATE, 'default', 'numbers')?.containers[0]?.process;
      return now !== undefined && now.pid !== earlier.pid;
    });
    const before = numbersOf(await logs('numbers', '--previous'));
    assert.equal(before[0], 1);
    assert.ok(before.at(-1)! >= last);
    assertInSequence(before);
    await until(
      'the new container has printed a line',
      async () => (await logs('numbers', '--limit-bytes=1')) !== '',
    );
    assert.equal(numbersOf(await logs('numbers', '--limit-bytes=7'))[0], 1);
  });

  test('continue after their writer is killed', async () => {
    const earlier = readRecord(NAME)!.logWriter!;
    process.kill(earlier.pid, 'SIGKILL');
    await until('another writer runs', () => {
      const now = readRecord(NAME)!.logWriter;
      return now?.pid !== earlier.pid && now !== null && isAlive(now);
    });
    const last = numbersOf(await logs('numbers', '--tail=1'))[0]!;
    await until(
      'more lines are logged',
      async () => numbersOf(await logs('numbers', '--tail=1'))[0]! > last,
    );
    assertInSequence(numbersOf(await logs('numbers', '--tail=500')));
  });

  test('have the last lines of a container that ends at once', async () => {
    const brief = pod('brief', ['sh', '-c', 'echo one; echo two >&2; printf three']);
    brief.spec!.restartPolicy = 'Never';
    await lab.kube.create('Pod', brief);
    await until('it has ended', async () => {
      const found = await lab.kube.get('Pod', { namespace: 'default', name: 'brief' });
      return found.status?.phase === 'Succeeded';
    });
    assert.equal(await logs('brief'), 'one\ntwo\nthree');
  });

  test('the server in the internet uses the same writer', () => {
    const { internet } = readRecord(NAME)!;
    const output = readlinkSync(`/proc/${internet!.pid}/fd/1`);
    assert.match(output, /\/logs\/pipes\/internet_\d+$/);
    const name = output.slice(output.lastIndexOf('_') + 1);
    assert.deepEqual(readdirSync(join(STATE, 'logs/internet')), [`${name}-0.log`]);
  });

  test('are gone with the lab, and so is their writer', async () => {
    const writer = readRecord(NAME)!.logWriter!;
    await lab.down();
    assert.equal(isAlive(writer), false);
    assertGone(NAME);
  });
});
