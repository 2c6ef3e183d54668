// Logs, commands and ports of pods beyond those of kubectl.test.ts: ends, sizes, lost clients.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { Exec, KubeConfig } from '@kubernetes/client-node';
import { isAlive } from '../../lab/host/process.ts';
import { kubeconfigPath } from '../../lab/places/paths.ts';
import { readRecord } from '../../lab/state/record.ts';
import { serverPod, type TestLab, until } from '../support/lab.ts';
import { takeLab } from '../support/shared-lab.ts';
import { findKubectls } from './kubectl/binaries.ts';
import { talker } from './kubectl/objects.ts';

const MINOR_WEBSOCKET = 31;
let lab: TestLab;
const newest = findKubectls().at(-1)!;

describe('streams of pods', {
  skip: newest.minor < MINOR_WEBSOCKET && 'kubectl is too old',
}, () => {
  before(async () => {
    lab = await takeLab('e2e-strm', [talker(), serverPod('web', 'node1')]);
  });
  after(() => lab.down());

  function start(...args: string[]): ChildProcess & { text: () => string } {
    const env = { ...process.env, KUBECONFIG: kubeconfigPath(lab.name) };
    const child = spawn(newest.path, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
    }
    return Object.assign(child, { text: () => text });
  }

  const ended = (child: ChildProcess) =>
    new Promise<number | null>((resolve) => child.once('close', resolve));
  const processes = () => lab.run('talker', 'ps', '-eo', 'args');

  test('a command ends when its client vanishes, with and without a terminal', async () => {
    for (const options of [['-i'], ['-it']]) {
      const seconds = `5432${options.length + options[0]!.length}`;
      const client = start('exec', ...options, 'talker', '--', 'sleep', seconds);
      await until('it runs', async () => (await processes()).includes(seconds));
      client.kill('SIGKILL');
      await until('it has ended', async () => !(await processes()).includes(seconds));
    }
  });

  test('a command whose input is not read also ends when its client vanishes', async () => {
    for (const options of [['-i'], ['-it']]) {
      const seconds = `6543${options[0]!.length}`;
      const client = start('exec', ...options, 'talker', '--', 'sleep', seconds);
      await until('it runs', async () => (await processes()).includes(seconds));
      client.stdin!.on('error', () => {});
      client.stdin!.write(Buffer.alloc(1024 * 1024, 'x\n'));
      await new Promise((resolve) => setTimeout(resolve, 500));
      client.kill('SIGKILL');
      await until('it has ended', async () => !(await processes()).includes(seconds));
    }
    const { supervisor } = readRecord(lab.name)!;
    assert.ok(isAlive(supervisor!), 'no other process has ended');
  });

  test('many bytes pass through exec and back unchanged, at any reading speed', async () => {
    const bytes = randomBytes(8 * 1024 * 1024);
    const client = start('exec', '-i', 'talker', '--', 'sha256sum');
    client.stdin!.end(bytes);
    assert.equal(await ended(client), 0);
    const sum = createHash('sha256').update(bytes).digest('hex');
    assert.equal(client.text().split(' ')[0], sum);
    const out = start('exec', 'talker', '--', 'head', '-c', '8000000', '/dev/zero');
    out.stdout!.pause();
    await until('something has come', () => out.stdout!.readableLength > 0);
    out.stdout!.resume();
    assert.equal(await ended(out), 0);
    assert.equal(out.text().length, 8_000_000);
  });

  test('the official client runs commands and gets their exit codes', async () => {
    const config = new KubeConfig();
    config.loadFromFile(kubeconfigPath(lab.name));
    const stdout = new PassThrough();
    let said = '';
    stdout.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk;
    });
    const status = await new Promise<{ status?: string; details?: { causes?: object[] } }>(
      (resolve, reject) => {
        const command = ['sh', '-c', 'echo out; exit 4'];
        new Exec(config)
          .exec('default', 'talker', 'main', command, stdout, null, null, false, resolve)
          .catch(reject);
      },
    );
    assert.equal(said, 'out\n');
    assert.equal(status.status, 'Failure');
    assert.deepEqual(status.details?.causes, [{ reason: 'ExitCode', message: '4' }]);
  });

  test('a followed log ends with its container', async () => {
    await lab.kube.create('Pod', {
      metadata: { name: 'brief', namespace: 'default' },
      spec: {
        restartPolicy: 'Never',
        containers: [
          { name: 'main', image: 'sh', command: ['sh', '-c', 'echo a; sleep 2; echo b'] },
        ],
      },
    });
    await until('it runs', async () => {
      const pod = await lab.kube.get('Pod', { namespace: 'default', name: 'brief' });
      return pod.status?.containerStatuses?.[0]?.state?.running !== undefined;
    });
    const follow = start('logs', '-f', 'brief');
    assert.equal(await ended(follow), 0);
    assert.equal(follow.text(), 'a\nb\n');
  });

  test('a forwarded port carries many connections at once; a port without a server is an error', async () => {
    const forward = start('port-forward', 'pod/web', ':8080', ':9');
    await until('it listens', () => (forward.text().match(/127\.0\.0\.1/g)?.length ?? 0) === 2);
    const [port, dead] = [...forward.text().matchAll(/127\.0\.0\.1:(\d+)/g)].map((m) => m[1]);
    const asked = Array.from({ length: 30 }, async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/hostname`);
      return answer.text();
    });
    assert.deepEqual(new Set(await Promise.all(asked)), new Set(['web']));
    await assert.rejects(fetch(`http://127.0.0.1:${dead}/`));
    await until('it says why', () =>
      /error forwarding port 9 to pod default\/web: .*: connect: connection refused/.test(
        forward.text(),
      ),
    );
    forward.kill('SIGKILL');
    await ended(forward);
  });
});
