// Pods as a kubelet runs them.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Pod } from '../../control/kube/kinds.ts';
import { identify, isAlive } from '../../lab/host/process.ts';
import { findPod, readPodRecord } from '../../lab/pods/sandbox/records.ts';
import { clientPod, type TestLab, until } from '../support/lab.ts';
import { takeLab } from '../support/shared-lab.ts';

let lab: TestLab;
let state: string;

function pod(name: string, container: object, spec: object = {}): Pod {
  const containers = [{ name: 'main', image: 'busybox', ...container }];
  const all = { terminationGracePeriodSeconds: 1, containers, ...spec };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: all } as Pod;
}

describe('a pod', () => {
  before(async () => {
    lab = await takeLab('e2e-pod', [
      clientPod('plain', 'node1'),
      {
        ...pod('pair', { command: ['sleep', 'infinity'] }),
        spec: {
          nodeName: 'node1',
          containers: ['a', 'b'].map((name) => ({
            name,
            image: 'busybox',
            command: ['sleep', 'infinity'],
          })),
        },
      },
    ]);
    state = `/run/kubetun/${lab.name}`;
  });
  after(() => lab.down());

  const read = (name: string) => lab.kube.get('Pod', { namespace: 'default', name });
  const untilPhase = (name: string, phase: string) =>
    until(`${name} is ${phase}`, async () => (await read(name)).status?.phase === phase);

  test('runs its command with arguments, environment and working directory', async () => {
    const script = 'printf "%s|" "$0" "$@" "$A" "$B" "$NAME" "$IP" "$PWD"; hostname';
    await lab.kube.create(
      'Pod',
      pod(
        'told',
        {
          command: ['sh', '-c', `{ ${script}; } >/tmp/out; sleep infinity`],
          args: ['zero', 'one two'],
          workingDir: '/usr',
          env: [
            { name: 'A', value: 'x' },
            { name: 'B', value: 'y$(A)$$(A)$(NONE)' },
            { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          ],
        },
        { hostname: 'other' },
      ),
    );
    await untilPhase('told', 'Running');
    await until('it has written', async () => {
      const { stdout } = await lab.start('told', ['cat', '/tmp/out']).done;
      return stdout.endsWith('\n');
    });
    const text = await lab.run('told', 'cat', '/tmp/out');
    const ip = await lab.podIP('told');
    assert.equal(text, `zero|one two|x|yx$(A)$(NONE)|told|${ip}|/usr|other\n`);
  });

  test('writes nothing to the machine and sees nothing of the lab', async () => {
    for (const path of [
      '/etc/written',
      '/usr/written',
      '/root-written',
      '/tmp/kubetun-written',
      '/run/written',
    ]) {
      await lab.run('plain', 'sh', '-c', `echo x >${path}`);
      assert.ok(!existsSync(path), `${path} exists only in the pod`);
    }
    await lab.run('plain', 'sh', '-c', 'test ! -e /run/kubetun && test ! -e /dev/shm/kubetun*');
    const { code } = await lab.start('plain', ['touch', `${process.cwd()}/written`]).done;
    assert.notEqual(code, 0, 'the project is read-only');
  });

  test('has its own processes, host name and network', async () => {
    assert.equal(await lab.run('plain', 'hostname'), 'plain\n');
    const processes = await lab.run('plain', 'ps', '-eo', 'args=');
    assert.match(processes, /^catatonit -P/);
    assert.doesNotMatch(processes, /kubetun/);
    const links = await lab.run('plain', 'ip', '-br', 'link');
    assert.deepEqual(
      links
        .trim()
        .split('\n')
        .map((line) => line.split(/[ @]/)[0]),
      ['lo', 'eth0'],
    );
  });

  test('shares processes and network among its containers, but not files', async () => {
    const inside = (container: string, ...command: string[]) => {
      const found = findPod(state, 'default', 'pair')!.containers.find(
        (c) => c.name === container,
      )!;
      return lab.start('node/node1', [
        ...['nsenter', `--target=${found.pid}`, '--mount', '--pid', '--uts', '--net', '--'],
        ...command,
      ]).done;
    };
    await inside('a', 'sh', '-c', 'echo x >/etc/of-a');
    assert.notEqual((await inside('b', 'cat', '/etc/of-a')).code, 0);
    assert.match(
      (await inside('b', 'ps', '-eo', 'args=')).stdout,
      /sleep infinity\n.*sleep infinity/,
    );
    const addresses = await Promise.all(['a', 'b'].map((c) => inside(c, 'hostname', '-I')));
    assert.equal(addresses[0]!.stdout, addresses[1]!.stdout);
  });

  test('of an unknown image waits and reports the reason', async () => {
    await lab.kube.create('Pod', pod('unknown', { image: 'example.com/team/app:1.2' }));
    const waiting = async () =>
      (await read('unknown')).status?.containerStatuses?.[0]?.state?.waiting;
    await until('it waits', async () => (await waiting())?.reason === 'ErrImagePull');
    assert.match(
      (await waiting())!.message!,
      /example\.com\/team\/app:1\.2 is not built into the lab.*agnhost/,
    );
    assert.equal((await read('unknown')).status?.phase, 'Pending');
  });

  test('without restarts ends as Succeeded or Failed, by its exit code', async () => {
    const never = { restartPolicy: 'Never' };
    await lab.kube.create('Pod', pod('well', { command: ['true'] }, never));
    await lab.kube.create('Pod', pod('badly', { command: ['sh', '-c', 'exit 3'] }, never));
    await untilPhase('well', 'Succeeded');
    await untilPhase('badly', 'Failed');
    const state = (await read('badly')).status?.containerStatuses?.[0]?.state;
    assert.equal(state?.terminated?.exitCode, 3);
  });

  test('restarts a killed container and counts it', async () => {
    const { pid } = findPod(state, 'default', 'plain')!.containers[0]!;
    process.kill(pid, 'SIGKILL');
    const restarts = async () => (await read('plain')).status?.containerStatuses?.[0]?.restartCount;
    await until('it has been restarted', async () => (await restarts()) === 1);
    assert.equal(await lab.run('plain', 'hostname'), 'plain\n');
  });

  test('gets a signal when it is deleted, and then ends completely', async () => {
    await lab.kube.create(
      'Pod',
      pod('polite', {
        command: [
          'sh',
          '-c',
          'trap "exit 0" TERM; (trap "" TERM; exec sleep 1000) & while :; do sleep 0.1; done',
        ],
      }),
    );
    await untilPhase('polite', 'Running');
    const record = readPodRecord(state, 'default', 'polite')!;
    const child = identify(record.sandbox!.pid)!;
    await lab.kube.delete('Pod', { namespace: 'default', name: 'polite' });
    await until('it is gone', () =>
      lab.kube.get('Pod', { namespace: 'default', name: 'polite' }).then(
        () => false,
        () => true,
      ),
    );
    assert.ok(!isAlive(child));
    assert.ok(!existsSync(`/run/netns/${record.netns}`));
    assert.equal(readPodRecord(state, 'default', 'polite'), null);
  });

  test('may have the name of a deleted pod, with another address', async () => {
    const before = await lab.podIP('told');
    await lab.kube.delete('Pod', { namespace: 'default', name: 'told' }, { graceS: 0 });
    await lab.kube.create('Pod', pod('told', { image: 'pause' }, { nodeName: 'node1' }));
    await untilPhase('told', 'Running');
    assert.notEqual(await lab.podIP('told'), before);
  });
});
