// Hostile users, full disks and lost files: a lab survives them.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connectKube } from '../../control/kube/client.ts';
import { KubeStatusError } from '../../control/kube/error.ts';
import type { Container, Pod } from '../../control/kube/kinds.ts';
import { isAlive, type ProcessId } from '../../lab/host/process.ts';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import { execInside } from '../../lab/pods/action/exec.ts';
import { volumesFolder } from '../../lab/pods/given/volumes.ts';
import { readPodRecord } from '../../lab/pods/sandbox/records.ts';
import { readRecord } from '../../lab/state/record.ts';
import {
  assertGone,
  clientPod,
  kubetun,
  kubetunWith,
  sleeperPod,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-hostlab';
const STATE = `/run/kubetun/${NAME}`;

describe('a pod of a lab', () => {
  let lab: TestLab;
  const read = (name: string) => lab.kube.get('Pod', { namespace: 'default', name });
  const waitingOf = async (name: string) =>
    (await read(name)).status?.containerStatuses?.[0]?.state?.waiting;

  before(() => {
    lab = startLab(NAME, [], { nodes: [{ name: 'node1' }] });
  });
  after(() => lab.down());

  async function create(object: Pod): Promise<void> {
    await lab.kube.create('Pod', object);
    const name = object.metadata!.name!;
    await until(`${name} runs`, async () => (await read(name)).status?.phase === 'Running');
  }

  test('reaches no file of the machine through its PID 1', async () => {
    const file = '/tmp/kubetun-e2e-hostile-escape';
    rmSync(file, { force: true });
    await create(sleeperPod('escape'));
    await lab.run('escape', 'sh', '-c', `echo x > /proc/1/root${file}`);
    assert.equal(existsSync(file), false);
    const state = `/proc/1/root${STATE}`;
    assert.equal(
      await lab
        .run('escape', 'sh', '-c', `ls -A ${state} 2>&1 || :`)
        .then((text) => text.includes('kubeconfig')),
      false,
    );
  });

  test('changes only sysctls of its own network', async () => {
    const before = readFileSync('/proc/sys/kernel/printk_ratelimit', 'utf8');
    const write = (path: string) =>
      lab.run(
        'escape',
        'sh',
        '-c',
        `v=$(cat ${path}) && echo $v 2>/dev/null >${path} && echo ok || echo refused`,
      );
    assert.equal(await write('/proc/sys/kernel/printk_ratelimit'), 'refused\n');
    assert.equal(await write('/proc/sys/vm/swappiness'), 'refused\n');
    assert.equal(await write('/proc/sys/net/ipv4/ip_default_ttl'), 'ok\n');
    assert.equal(readFileSync('/proc/sys/kernel/printk_ratelimit', 'utf8'), before);
    const probe = '(: >/proc/sysrq-trigger) 2>/dev/null && echo ok || echo refused';
    assert.equal(await lab.run('escape', 'sh', '-c', probe), 'refused\n');
    assert.equal(await lab.run('escape', 'sh', '-c', 'head -c 1 /proc/kcore | wc -c'), '0\n');
  });

  test('gets no volume outside its root', async () => {
    const target = '/tmp/kubetun-e2e-hostile-mount';
    const volumes = [{ name: 'data', emptyDir: {} }];
    for (const [name, mountPath] of [
      ['mount-proc', `/proc/1/root${target}`],
      ['mount-dots', `/var/../proc/1/root${target}`],
    ] as const) {
      await lab.kube.create(
        'Pod',
        sleeperPod(name, { volumes }, { volumeMounts: [{ name: 'data', mountPath }] }),
      );
      const refused = /mountPath: .* expected a path outside/;
      await until(`${name} is refused`, async () =>
        refused.test((await waitingOf(name))?.message ?? ''),
      );
      assert.equal(existsSync(target), false);
    }
  });

  test('makes no folder on the machine through a link in its volume', async () => {
    const folder = '/tmp/kubetun-e2e-hostile-sub';
    rmSync(folder, { recursive: true, force: true });
    const volumes = [{ name: 'data', emptyDir: {} }];
    const link = { name: 'link', image: 'busybox', command: ['ln', '-s', '/tmp', '/data/out'] };
    const mount = { name: 'data', mountPath: '/data' };
    const object = sleeperPod(
      'sub',
      { volumes, initContainers: [{ ...link, volumeMounts: [mount] }] },
      { volumeMounts: [{ ...mount, subPath: 'out/kubetun-e2e-hostile-sub' }] },
    );
    await lab.kube.create('Pod', object);
    await until('it is refused', async () =>
      /leads outside/.test((await waitingOf('sub'))?.message ?? ''),
    );
    assert.equal(existsSync(folder), false);
  });

  test('has the capabilities of containerd, or those of its security context', async () => {
    const own = /^CapBnd:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!;
    for (const [name, securityContext, wanted] of [
      ['caps', {}, '00000000a80425fb'],
      ['caps-more', { capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } }, '0000000000001000'],
      ['caps-all', { privileged: true }, own],
    ] as const) {
      await create(sleeperPod(name, {}, { securityContext } as Partial<Container>));
      const { sandbox, containers } = readPodRecord(STATE, 'default', name)!;
      const { process } = containers[0]!;
      const status = readFileSync(`/proc/${process.pid}/status`, 'utf8');
      assert.match(status, new RegExp(`^CapBnd:\\s*${wanted}$`, 'm'), name);
      const words = ['grep', 'CapEff', '/proc/self/status'];
      const { output } = await execInside(process, words, 10_000);
      assert.equal(output, `CapEff:\t${wanted}\n`, 'an exec command has the same');
      const first = readFileSync(`/proc/${sandbox!.pid}/status`, 'utf8');
      assert.match(first, /^CapEff:\s*00000000a80425fb$/m, 'PID 1 of the pod');
    }
  });

  test('keeps its Secrets from other users of the machine, and reads them as any user', async () => {
    const metadata = { namespace: 'default', name: 'pass' };
    await lab.kube.create('Secret', { metadata, data: { KEY: 'czNjcmV0' } });
    const volumes = [{ name: 'keys', secret: { secretName: 'pass', defaultMode: 0o444 } }];
    await create(
      sleeperPod('secret', { volumes }, { volumeMounts: [{ name: 'keys', mountPath: '/keys' }] }),
    );
    const file = `${volumesFolder(STATE, (await read('secret')).metadata!.uid!)}/keys/KEY`;
    assert.equal(statSync(file).mode & 0o777, 0o444);
    const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups', 'cat'];
    const outside = spawnSync('setpriv', [...asNobody, file], { encoding: 'utf8' });
    assert.equal(outside.stdout, '');
    assert.match(outside.stderr, /Permission denied/);
    assert.equal(await lab.run('secret', 'setpriv', ...asNobody, '/keys/KEY'), 's3cret');
  });
});

/** Writes objects until one is refused for lack of room; returns that message. */
async function writeUntilRefused(kubeconfig: string): Promise<string> {
  const kube = connectKube(kubeconfig);
  try {
    for (let i = 0; i < 10; i++) {
      const metadata = { namespace: 'default', name: `large-${i}` };
      await kube.create('ConfigMap', { metadata, data: { a: 'x'.repeat(500_000) } });
    }
    return 'none was refused';
  } catch (error) {
    assert.ok(error instanceof KubeStatusError);
    assert.deepEqual([error.status, error.reason], [507, 'InsufficientStorage']);
    return error.message;
  } finally {
    kube.close();
  }
}

describe('a lab', () => {
  afterEach(() => {
    kubetun('lab', 'down', '--lab', NAME);
  });

  test('can be ended without its record or its folder', async () => {
    for (const lost of [join(STATE, 'lab.json'), STATE]) {
      const lab = startLab(NAME, [clientPod('client', 'alpha')], { nodes: [{ name: 'alpha' }] });
      lab.kube.close();
      rmSync(lost, { recursive: true });
      const { code, stdout, stderr } = kubetun('lab', 'down', '--lab', NAME);
      assert.equal(code, 0, stderr);
      assert.equal(stdout, `lab ${NAME} is down\n`);
      assertGone(NAME);
    }
  });

  test('leaves nothing when `lab up` is interrupted', async () => {
    for (const [name, code, delayMs] of [
      ['SIGINT', 130, 0],
      ['SIGTERM', 143, 1000],
    ] as const) {
      const up = spawn(join(PROJECT_ROOT, 'scripts/kubetun'), ['lab', 'up', '--lab', NAME], {
        stdio: 'ignore',
      });
      const ended = once(up, 'exit');
      await until('it has begun', () => readRecord(NAME) !== null);
      await setTimeout(delayMs);
      up.kill(name);
      await ended;
      if (up.exitCode === 0) kubetun('lab', 'down', '--lab', NAME);
      else assert.equal(up.exitCode, code);
      assertGone(NAME);
    }
  });

  test('comes up after a killed lab up, which leaves nothing behind', async () => {
    const up = spawn(join(PROJECT_ROOT, 'scripts/kubetun'), ['lab', 'up', '--lab', NAME], {
      stdio: 'ignore',
    });
    const ended = once(up, 'exit');
    await until('its supervisor is started', () => readRecord(NAME)?.supervisor != null);
    up.kill('SIGKILL');
    await ended;
    const again = kubetun('lab', 'up', '--lab', NAME, '--nodes', '1');
    assert.equal(again.code, 0, again.stderr);
    assert.equal(readRecord(NAME)?.topology.nodes.length, 1);
    assert.equal(kubetun('lab', 'down', '--lab', NAME).code, 0);
    assertGone(NAME);
  });

  test('continues while the disk of its state is full, and reports dropped log lines later', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kubetun-full-'));
    const env = { KUBETUN_RUN_DIR: folder };
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', folder]);
    try {
      const up = kubetunWith(env, 'lab', 'up', '--lab', NAME, '--nodes', '2');
      assert.equal(up.code, 0, up.stderr);
      const state = join(folder, NAME);
      const { supervisor } = JSON.parse(readFileSync(join(state, 'lab.json'), 'utf8'));
      const agentOf = (node: string): ProcessId =>
        JSON.parse(readFileSync(join(state, 'agents', `${node}.json`), 'utf8'));
      const [first, second] = [agentOf('node1'), agentOf('node2')];
      const fill = ['if=/dev/zero', `of=${join(folder, 'fill')}`, 'bs=64k'];
      assert.notEqual(spawnSync('dd', fill).status, 0, 'the disk is full');
      assert.match(await writeUntilRefused(join(state, 'kubeconfig')), /ENOSPC.*: make room/);
      // The supervisor logs the agent's end, and writes a record of the next agent.
      process.kill(second.pid, 'SIGKILL');
      await setTimeout(2000);
      assert.ok(isAlive(supervisor), 'the supervisor lives');
      // The agents log the supervisor's end.
      process.kill(supervisor.pid, 'SIGKILL');
      await setTimeout(2000);
      assert.ok(isAlive(first), 'the agent lives');
      rmSync(join(folder, 'fill'));
      await until('the agent reports dropped lines', () =>
        /"dropped":\d+/.test(readFileSync(join(state, 'agents/node1.log'), 'utf8')),
      );
      const again = kubetunWith(env, 'lab', 'up', '--lab', NAME);
      assert.equal(again.code, 0, again.stderr);
      assert.ok(isAlive(first), 'the agent goes on');
    } finally {
      kubetunWith(env, 'lab', 'down', '--lab', NAME);
      spawnSync('umount', ['-l', folder]);
      rmSync(folder, { recursive: true });
    }
    assertGone(NAME);
  });
});
