// The lab itself: what it does not change, what it removes, and a lab beside it.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { identify, isAlive } from '../../lab/host/process.ts';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import { findPod } from '../../lab/pods/sandbox/records.ts';
import { readRecord } from '../../lab/state/record.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import {
  assertGone,
  clientPod,
  kubetun,
  kubetunWith,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const SERVICE = serviceObject('web', {
  selector: { app: 'web' },
  ports: [{ name: 'http', port: 80, targetPort: 'http' }],
});

/** Everything of the root namespace that a lab must not change. */
function rootNetwork(): Record<string, string> {
  const run = (...command: [string, ...string[]]) => {
    const [file, ...args] = command;
    return spawnSync(file, args, { encoding: 'utf8' }).stdout;
  };
  return {
    addresses: run('ip', '-o', 'addr').replace(/ valid_lft.*/g, ''),
    links: run('ip', '-o', 'link'),
    routes: run('ip', 'route', 'show', 'table', 'all'),
    rules: run('ip', 'rule'),
    nft: run('nft', 'list', 'ruleset'),
    iptables: run('iptables-save')
      .replace(/^#.*$/gm, '')
      .replace(/\[\d+:\d+\]/g, ''),
    sysctls: run('sysctl', '-a', '--pattern', '^net')
      // Counters, not settings.
      .replace(/^net\.netfilter\.nf_conntrack_(count|buckets|max).*$/gm, ''),
    host: run('hostname'),
  };
}

describe('a lab', () => {
  const root = rootNetwork();
  let lab: TestLab;
  before(() => {
    lab = startLab('e2e-lab', [serverPod('web1', 'node1'), clientPod('client', 'node2'), SERVICE]);
  });
  after(async () => {
    await lab.down();
    kubetun('lab', 'down', '--lab', 'e2e-lab2');
    assert.deepEqual(rootNetwork(), root, 'the root namespace, afterwards');
  });

  test('does not change the root namespace while it is up', () => {
    assert.deepEqual(rootNetwork(), root);
  });

  test('is not brought up twice', () => {
    const { code, stderr } = kubetun('lab', 'up', '--lab', 'e2e-lab');
    assert.equal(code, 1);
    assert.match(stderr, /^kubetun: lab e2e-lab is up already: .*lab down/);
    assert.equal(stderr.trim().split('\n').length, 1);
  });

  test('runs beside another one with the same addresses', async () => {
    await lab.untilEndpoints('default/web:http', 1);
    const other = startLab('e2e-lab2', [
      serverPod('other1', 'node1'),
      clientPod('client', 'node2'),
      SERVICE,
    ]);
    try {
      await other.untilEndpoints('default/web:http', 1);
      for (const [which, name] of [
        [lab, 'web1'],
        [other, 'other1'],
      ] as const) {
        const url = `http://${await which.clusterIP('web')}/hostname`;
        assert.equal(await which.run('client', 'curl', '-sm5', url), name);
      }
    } finally {
      await other.down();
    }
    const url = `http://${await lab.clusterIP('web')}/hostname`;
    assert.equal(await lab.run('client', 'curl', '-sm5', url), 'web1', 'the first one goes on');
  });

  test('status lists its parts', async () => {
    const status = await lab.json<{
      nodes: { name: string; agent: string }[];
      pods: { name: string; ready: boolean; node: string }[];
      api: string;
    }>('lab', 'status');
    assert.deepEqual(
      status.nodes.map((n) => [n.name, n.agent]),
      [
        ['node1', 'running'],
        ['node2', 'running'],
      ],
    );
    assert.deepEqual(status.pods.map((p) => [p.name, p.node, p.ready]).sort(), [
      ['client', 'node2', true],
      ['web1', 'node1', true],
    ]);
    assert.match(status.api, /^https:\/\/127\.0\.0\.1:\d+$/);
    const endpoint = `${await lab.podIP('web1')}:8080`;
    for (const node of ['node1', 'node2']) {
      const rows = await lab.json<{ service: string; eligible: string[] }[]>(
        ...['services', '--node', node],
      );
      const { eligible } = rows.find(({ service }) => service === 'default/web:http')!;
      assert.deepEqual(eligible, [endpoint]);
    }
  });

  test("passes on a command's output and exit code", () => {
    const run = (...command: string[]) =>
      kubetun('lab', 'exec', '--lab', 'e2e-lab', 'client', '--', ...command);
    assert.deepEqual(run('hostname'), { code: 0, stdout: 'client\n', stderr: '' });
    assert.match(
      run('env').stdout,
      /^KUBERNETES_SERVICE_HOST=10\.96\.0\.1$/m,
      'the environment of the container',
    );
    assert.equal(run('sh', '-c', 'exit 7').code, 7);
    assert.equal(run('sh', '-c', 'kill -TERM $$').code, 143);
  });

  test('forwards a Service to loopback for clients outside', async () => {
    const args = ['--lab', 'e2e-lab', 'lab', 'forward', '0:svc/web'];
    const child = spawn(join(PROJECT_ROOT, 'scripts/kubetun'), args, { stdio: 'pipe' });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    await until('it prints the local address', () => output.includes('->'));
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(output)?.[1]);
    assert.equal(await get(port, '/hostname'), 'web1');
    assert.equal(await get(port, '/echo?msg=twice'), 'twice');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGINT');
    assert.equal(await ended, 0);
  });

  test('is removed completely after a crash of its supervisor and an agent; a second lab down works', () => {
    const crashed = startLab('e2e-lab2', [serverPod('web1', 'node1')]);
    const record = readRecord('e2e-lab2')!;
    const agent = readAgent('e2e-lab2', 'node1')!;
    const pod = findPod('/run/kubetun/e2e-lab2', 'default', 'web1')!;
    const container = identify(pod.containers[0]!.pid)!;
    process.kill(record.supervisor!.pid, 'SIGKILL');
    process.kill(agent.pid, 'SIGKILL');
    crashed.kube.close();
    assert.ok(isAlive(container), 'pods outlive their supervisor');
    const { code, stdout } = kubetun('lab', 'down', '--lab', 'e2e-lab2');
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'lab e2e-lab2 is down\n' });
    assertGone('e2e-lab2');
    assert.ok(!isAlive(container));
    const twice = kubetun('lab', 'down', '--lab', 'e2e-lab2');
    assert.deepEqual([twice.code, twice.stdout], [0, 'lab e2e-lab2 was not up\n']);
  });

  test('leaves nothing when its manifest fails the first check', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kubetun-bad-'));
    const file = join(folder, 'bad.yaml');
    writeFileSync(file, 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: [\n');
    const { code, stderr } = kubetun('lab', 'up', '--lab', 'e2e-lab2', '-f', file);
    assert.equal(code, 1);
    assert.match(stderr, /^kubetun: .*bad\.yaml:\d+: /);
    assertGone('e2e-lab2');
    rmSync(folder, { recursive: true });
  });

  test('needs /dev/net/tun and reports it', () => {
    const up = `${join(PROJECT_ROOT, 'scripts/kubetun')} lab up --lab e2e-lab2`;
    // Hidden in a private mount namespace of the test.
    const script = `mount --make-rprivate / && mount -t tmpfs tmpfs /dev/net && exec ${up}`;
    const { status, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script], {
      encoding: 'utf8',
    });
    assert.equal(stderr, 'kubetun: /dev/net/tun is missing: modprobe tun\n');
    assert.equal(status, 1);
    assertGone('e2e-lab2');
  });

  test('whose agents cannot start reports why, in one line, and leaves nothing', () => {
    const up = `${join(PROJECT_ROOT, 'scripts/kubetun')} lab up --lab e2e-lab2`;
    // Too little memory for an arena, in a private mount namespace of the test.
    const script = `mount --make-rprivate / && mount -t tmpfs -o size=50m tmpfs /dev/shm && exec ${up}`;
    const { status, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script], {
      encoding: 'utf8',
      timeout: 40_000,
    });
    const said = stderr.split('\n').filter((line) => line.startsWith('kubetun: '));
    assert.equal(said.length, 1, stderr);
    assert.match(
      said[0]!,
      /the agent of (node\d|cloud) does not start: .* needs \d+ MiB, and its file system has less/,
    );
    assert.equal(status, 1);
    assertGone('e2e-lab2');
  });

  test('leaves nothing when a manifest has an unknown reference', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kubetun-bad-'));
    const file = join(folder, 'bad.yaml');
    writeFileSync(file, 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {conatiners: []}\n');
    const { code, stderr } = kubetun('lab', 'up', '--lab', 'e2e-lab2', '-f', file);
    assert.equal(code, 1);
    assert.match(stderr, /^kubetun: .*bad\.yaml:4: Pod a: unknown field "spec\.conatiners"/);
    assert.equal(stderr.trim().split('\n').length, 1);
    assertGone('e2e-lab2');
    rmSync(folder, { recursive: true });
  });

  test('leaves nothing when it is interrupted while it comes up', async () => {
    const args = ['lab', 'up', '--lab', 'e2e-lab2', '--nodes', '4'];
    const child = spawn(join(PROJECT_ROOT, 'scripts/kubetun'), args, { stdio: 'ignore' });
    await until('it has begun', () => existsSync('/run/netns/e2e-lab2-node4'));
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGINT');
    assert.equal(await ended, 130);
    assertGone('e2e-lab2');
  });

  const wrong: [what: string, args: string[], message: RegExp, code: number][] = [
    [
      'an unknown node',
      ['services', '--node', 'node9'],
      /has no node node9: its nodes are node1, node2/,
      1,
    ],
    ['an unknown pod', ['lab', 'exec', 'nobody', '--', 'true'], /runs no pod default\/nobody: /, 1],
    [
      'a node without its prefix',
      ['lab', 'exec', 'node1', '--', 'true'],
      /the node is called node\/node1/,
      1,
    ],
    [
      'an unknown Service',
      ['lab', 'forward', '0:svc/nobody'],
      /there is no service default\/nobody/,
      1,
    ],
    [
      'a port out of range',
      ['lab', 'forward', '99999:svc/web'],
      /is not of the form PORT:TARGET/,
      2,
    ],
    ['a target without a port', ['lab', 'forward', '0:web1'], /has no port: give svc/, 2],
  ];
  for (const [what, args, message, code] of wrong) {
    test(`answers ${what} with one line`, () => {
      const answer = kubetun('--lab', 'e2e-lab', ...args);
      assert.match(answer.stderr, message);
      assert.equal(answer.code, code);
      assert.equal(answer.stderr.trim().split('\n').length, 1, answer.stderr);
    });
  }

  test('that does not exist is reported with one line', () => {
    for (const args of [
      ['lab', 'status'],
      ['lab', 'kubeconfig'],
      ['services', '--node', 'node1'],
    ]) {
      const { code, stderr } = kubetun('--lab', 'nowhere', ...args);
      assert.match(stderr, /^kubetun: lab nowhere is not up: start it with .*lab up/);
      assert.equal(code, 1);
    }
  });

  test('needs root and tools, and reports a missing one before it makes anything', () => {
    const tools = mkdtempSync(join(tmpdir(), 'kubetun-path-'));
    for (const tool of ['sh', 'dirname', 'readlink', 'env']) {
      spawnSync('ln', ['-s', `/usr/bin/${tool}`, join(tools, tool)]);
    }
    const { code, stderr } = kubetunWith({ PATH: tools }, 'lab', 'up', '--lab', 'e2e-lab2');
    assert.match(stderr, /^kubetun: \w+ is not installed: apt-get install/);
    assert.equal(code, 1);
    const up = [join(PROJECT_ROOT, 'scripts/kubetun'), 'lab', 'up', '--lab', 'e2e-lab2'];
    const nobody = spawnSync('setpriv', ['--reuid=65534', '--', ...up], { encoding: 'utf8' });
    assert.match(nobody.stderr, /^kubetun: network namespaces need root: .*sudo/m);
    assert.equal(nobody.status, 1);
    assertGone('e2e-lab2');
    rmSync(tools, { recursive: true });
  });
});

function get(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path }, async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      resolve(text);
    });
    call.on('error', reject);
    call.end();
  });
}
