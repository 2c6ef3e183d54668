// The built-in programs as processes: agnhost's subcommands and the samples of tutorials.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { connect, createServer as createNetServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Container } from '../../../../control/kube/kinds.ts';
import { grpcHealth } from '../../../../lab/pods/action/grpc.ts';

const RUN = fileURLToPath(import.meta.resolve('../../../../lab/apps/run.sh'));
const TIMEOUT_MS = 5000;

let folder: string;
const children: ChildProcess[] = [];

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubetun-apps-'));
});
after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** A program under the name by which containers see it. */
function linkTo(name: string): string {
  const path = join(folder, name);
  rmSync(path, { force: true });
  symlinkSync(RUN, path);
  return path;
}

async function freePort(): Promise<number> {
  const server = createNetServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () =>
      resolve(false),
    );
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  });
}

/** Starts a program. `%P` in its arguments and variables is a free port, which is returned. */
async function serve(name: string, args: string[], env: Record<string, string> = {}) {
  const port = await freePort();
  const filled = (text: string) => text.replace('%P', String(port));
  const variables = Object.entries(env).map(([key, value]) => [filled(key), filled(value)]);
  const child = spawn(linkTo(name), args.map(filled), {
    env: { ...process.env, ...Object.fromEntries(variables) },
    stdio: 'ignore',
  });
  children.push(child);
  const end = Date.now() + 20_000;
  while (!(await listens(port))) {
    if (Date.now() > end || child.exitCode !== null) throw new Error(`${name} does not listen`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return port;
}

const textAt = async (port: number, path = '/') =>
  (await fetch(`http://127.0.0.1:${port}${path}`)).text();

const health = (port: number, service?: string) =>
  grpcHealth(
    { port, ...(service !== undefined && { service }) },
    {
      dial: (address, to) => connect(to, address),
      podIP: '127.0.0.1',
      container: { name: 'main' } as Container,
    },
    TIMEOUT_MS,
  );

describe('agnhost', () => {
  test('netexec answers HTTP, and health checks of gRPC on the same port', async () => {
    const port = await serve('agnhost', ['netexec', '--http-port=%P', '--udp-port=-1']);
    assert.equal(await textAt(port, '/hostname'), hostname());
    assert.deepEqual(await health(port), { good: true, output: '' });
    assert.equal(await textAt(port, '/echo?msg=again'), 'again');
  });

  test('netexec runs a shell command', async () => {
    const port = await serve('agnhost', ['netexec', '--http-port=%P', '--udp-port=-1']);
    const said = await textAt(port, '/shell?shellCommand=echo+one;exit+3');
    assert.deepEqual(JSON.parse(said), { output: 'one\n', error: 'exit status 3' });
  });

  test('serve-hostname answers with the host name', async () => {
    const port = await serve('agnhost', ['serve-hostname', '--port=%P']);
    assert.equal(await textAt(port), hostname());
  });

  test('porter serves the text of each variable', async () => {
    const port = await serve('agnhost', ['porter'], { 'SERVE_PORT_%P': 'foo' });
    assert.equal(await textAt(port), 'foo');
  });

  test('liveness is healthy at first', async () => {
    const port = await serve('agnhost', ['liveness', '--port=%P']);
    assert.equal(await textAt(port, '/healthz'), 'ok');
  });

  test('HTTP requests switch the status of grpc-health-checking', async () => {
    const grpc = await freePort();
    const args = ['grpc-health-checking', `--port=${grpc}`, '--http-port=%P'];
    const port = await serve('agnhost', args);
    assert.deepEqual(await health(grpc, 'any'), { good: true, output: '' });
    await textAt(port, '/make-not-serving');
    const output = 'service unhealthy (responded with "NOT_SERVING")';
    assert.deepEqual(await health(grpc), { good: false, output });
    await textAt(port, '/make-serving');
    assert.equal((await health(grpc)).good, true);
  });

  const connectTo = (...args: string[]) => {
    const { status, stderr } = spawnSync(linkTo('agnhost'), ['connect', ...args], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    return { status, stderr };
  };

  test('connect distinguishes an answer, a refusal and a timeout', async () => {
    const port = await serve('agnhost', ['serve-hostname', '--port=%P']);
    assert.deepEqual(connectTo(`127.0.0.1:${port}`), { status: 0, stderr: '' });
    const free = await freePort();
    assert.deepEqual(connectTo(`127.0.0.1:${free}`), { status: 1, stderr: 'REFUSED\n' });
    const udp = ['--protocol=udp', `127.0.0.1:${free}`];
    assert.deepEqual(connectTo(...udp), { status: 1, stderr: 'REFUSED\n' });
    const silent = createSocket('udp4');
    await new Promise<void>((resolve) => silent.bind(0, '127.0.0.1', resolve));
    const late = ['--timeout=300ms', '--protocol=udp', `127.0.0.1:${silent.address().port}`];
    assert.deepEqual(connectTo(...late), { status: 1, stderr: 'TIMEOUT\n' });
    silent.close();
    const { status, stderr } = connectTo('no-such-host.invalid:80');
    assert.equal(status, 1);
    assert.match(stderr, /^DNS: /);
  });
});

const SAMPLES: [name: string, args: string[], env: Record<string, string>, answer: RegExp][] = [
  ['http-echo', ['-text=hello', '-listen=:%P'], {}, /^hello\n$/],
  ['http-echo', ['-listen', ':%P'], { ECHO_TEXT: 'by variable' }, /^by variable\n$/],
  ['whoami', ['--port', '%P'], {}, /^Hostname: .*\n(IP: .*\n)+RemoteAddr: .*\nGET \/ HTTP/],
  ['echo', [], { PORT: '%P' }, /^Request served by .*\n\nclient_address=127\.0\.0\.1:\d+\nGET/],
  ['hello-app', ['--version=2.0'], { PORT: '%P' }, /^Hello, world!\nVersion: 2\.0\.0\nHost/],
  ['kubernetes-bootcamp', [], { PORT: '%P' }, /^Hello Kubernetes bootcamp! .* \| v=1\n$/],
  ['nginx', ['-g', 'daemon off;', '--port=%P'], {}, /<h1>(Welcome to nginx!|404 Not Found)<\/h1>/],
];
for (const [name, args, env, answer] of SAMPLES) {
  test(`${name} ${args.join(' ')} answers as its original`, async () => {
    assert.match(await textAt(await serve(name, args, env)), answer);
  });
}
