// The life of a pod: probes, hooks, the order of its containers, its end.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Container, Pod } from '../../control/kube/kinds.ts';
import { isAlive } from '../../lab/host/process.ts';
import { filePath, logFolder, logName, runsOf } from '../../lab/logs/files.ts';
import { Decoder } from '../../lab/logs/format.ts';
import { readPodRecord } from '../../lab/pods/sandbox/records.ts';
import { readRecord } from '../../lab/state/record.ts';
import { kubetun, serviceObject, startLab, type TestLab, until } from '../support/lab.ts';

const NAME = 'kubelet-life';
const STATE = `/run/kubetun/${NAME}`;
let lab: TestLab;

type Spec = Partial<NonNullable<Pod['spec']>>;

/** A server on port 8080 with the name `main`. */
function server(change: Partial<Container> = {}): Container {
  const ports = [{ name: 'http', containerPort: 8080 }];
  return { name: 'main', image: 'agnhost', args: ['netexec'], ports, ...change };
}

function shell(name: string, script: string, change: Partial<Container> = {}): Container {
  return { name, image: 'busybox', command: ['sh', '-c', script], ...change };
}

function pod(name: string, containers: Container[], spec: Spec = {}): Pod {
  const metadata = { name, namespace: 'default', labels: { app: name } };
  return { metadata, spec: { terminationGracePeriodSeconds: 1, containers, ...spec } };
}

const EVERY_SECOND = { periodSeconds: 1, failureThreshold: 1 };
const read = (name: string) => lab.kube.get('Pod', { namespace: 'default', name });
const main = async (name: string) => (await read(name)).status?.containerStatuses?.[0];
const untilReady = (name: string, ready: boolean) =>
  until(`${name} is ${ready ? '' : 'not '}ready`, async () => {
    const { status } = await read(name);
    return (
      status?.conditions?.find((c) => c.type === 'Ready')?.status === (ready ? 'True' : 'False')
    );
  });
const untilGone = (name: string) =>
  until(`${name} is gone`, () =>
    read(name).then(
      () => false,
      () => true,
    ),
  );

/** Resolves when a pod has an event with this text: events are written after the fact. */
function untilTold(name: string, pattern: RegExp): Promise<void> {
  return until(`an event says ${pattern}`, async () => {
    const { items } = await lab.kube.list('Event', { namespace: 'default' });
    return items
      .filter(({ involvedObject }) => involvedObject.name === name)
      .some(({ reason, message }) => pattern.test(`${reason}: ${message}`));
  });
}

async function conditionsOf(service: string) {
  const labelSelector = `kubernetes.io/service-name=${service}`;
  const { items } = await lab.kube.list('EndpointSlice', { namespace: 'default', labelSelector });
  return items.flatMap((slice) => slice.endpoints ?? []).map(({ conditions }) => conditions);
}

const logOf = (pod: string) => ({ stateDir: STATE, name: logName('default', pod, 'main') });

/** Output of a pod's main container in the first file of a run; -1 is the last run. */
function saidBy(pod: string, run: number): string {
  const log = { ...logOf(pod), run: runsOf(logOf(pod)).at(run)! };
  const all = { since: '', timestamps: false, bytesMax: Number.POSITIVE_INFINITY };
  return new Decoder(all).decode(readFileSync(filePath(log, 0))).toString();
}

describe('the life of a pod', () => {
  before(() => {
    const topology = { nodes: [{ name: 'node1' }] };
    lab = startLab(
      NAME,
      [serviceObject('web', { selector: { app: 'web' }, ports: [{ port: 80 }] })],
      topology,
    );
  });
  after(() => lab.down());

  test('readiness needs all probes: HTTP, TCP and exec', async () => {
    const file = (path: string) => ({
      exec: { command: ['sh', '-c', `test "$MARK" = yes -a -e ${path}`] },
    });
    await lab.kube.create(
      'Pod',
      pod('ready', [
        server({
          readinessProbe: { ...EVERY_SECOND, httpGet: { path: '/healthz', port: 'http' } },
        }),
        server({
          name: 'tcp',
          args: ['netexec', '--http-port=8082', '--udp-port=-1'],
          ports: [],
          readinessProbe: { ...EVERY_SECOND, tcpSocket: { port: 8082 } },
        }),
        shell('exec', 'sleep infinity', {
          env: [{ name: 'MARK', value: 'yes' }],
          readinessProbe: { ...EVERY_SECOND, ...file('/tmp/good') },
        }),
      ]),
    );
    const ready = async () => (await read('ready')).status?.containerStatuses?.map((c) => c.ready);
    await until('two are ready', async () => String(await ready()) === 'true,true,false');
    await untilTold('ready', /^Unhealthy: Readiness probe failed/);
    const record = readPodRecord(STATE, 'default', 'ready')!;
    const { pid } = record.containers.find(({ name }) => name === 'exec')!.process;
    const inside = ['nsenter', `--target=${pid}`, '--mount', '--root', '--', 'touch', '/tmp/good'];
    await lab.run('node/node1', ...inside);
    await untilReady('ready', true);
  });

  test('a failing liveness probe restarts the container, keeps its log, and is counted', async () => {
    const script = 'trap "echo told; exit 7" TERM; echo born; while :; do sleep 0.05; done';
    const livenessProbe = { ...EVERY_SECOND, exec: { command: ['test', '!', '-e', '/tmp/dead'] } };
    await lab.kube.create('Pod', pod('lively', [shell('main', script, { livenessProbe })]));
    await untilReady('lively', true);
    await lab.run('lively', 'touch', '/tmp/dead');
    await until('it was restarted', async () => {
      const { restartCount, state } = (await main('lively'))!;
      return restartCount === 1 && state?.running !== undefined;
    });
    const { lastState } = (await main('lively'))!;
    assert.equal(lastState?.terminated?.exitCode, 7, 'it ended on SIGTERM');
    assert.equal(saidBy('lively', -2), 'born\ntold\n');
    await until('the first run has its log', () => saidBy('lively', -1) === 'born\n');
    await untilTold('lively', /^Killing: Container main failed liveness probe, will be restarted$/);
  });

  test('processes and files of an ended container do not outlive it', async () => {
    const leave = '(trap "" TERM; exec sleep 987654) & exec sleep 0.2';
    await lab.kube.create(
      'Pod',
      pod('leaver', [shell('main', leave), shell('other', 'sleep 1001')]),
    );
    const children = async () =>
      Number((await lab.start('node/node1', ['pgrep', '-fxc', 'sleep 987654']).done).stdout);
    await until('it has a child', async () => (await children()) > 0);
    const reason = async () => (await main('leaver'))?.state?.waiting?.reason;
    await until('it ended twice', async () => (await reason()) === 'CrashLoopBackOff');
    assert.equal(await children(), 0);
    const { containers } = readPodRecord(STATE, 'default', 'leaver')!;
    assert.ok(isAlive(containers.find(({ name }) => name === 'other')!.process), 'the other lives');
  });

  test('termination runs the hook, then the signal, while the endpoint still serves', async () => {
    const preStop = { httpGet: { path: '/echo?msg=bye', port: 'http' } };
    const readinessProbe = { ...EVERY_SECOND, httpGet: { path: '/', port: 8080 } };
    const waits = shell('waits', 'sleep infinity', {
      lifecycle: { preStop: { sleep: { seconds: 2 } } },
    });
    await lab.kube.create(
      'Pod',
      pod('web', [server({ readinessProbe, lifecycle: { preStop } }), waits], {
        terminationGracePeriodSeconds: 20,
      }),
    );
    await untilReady('web', true);
    await until('it is an endpoint', async () => (await conditionsOf('web')).length === 1);
    await lab.kube.delete('Pod', { namespace: 'default', name: 'web' });
    await until('it ends', async () => (await conditionsOf('web'))[0]?.terminating === true);
    const { status } = await read('web');
    assert.equal(status?.phase, 'Running');
    assert.deepEqual(await conditionsOf('web'), [
      { ready: false, serving: true, terminating: true },
    ]);
    await until(
      'its server has ended',
      async () => (await conditionsOf('web'))[0]?.serving !== true,
    );
    await untilGone('web');
    await untilTold('web', /^Killing: Stopping container main$/);
  });

  test('a second delete with less time shortens the termination', async () => {
    const slow = shell('main', 'trap "" TERM; while :; do sleep 0.05; done');
    await lab.kube.create('Pod', pod('slow', [slow], { terminationGracePeriodSeconds: 600 }));
    await untilReady('slow', true);
    const { sandbox } = readPodRecord(STATE, 'default', 'slow')!;
    await lab.kube.delete('Pod', { namespace: 'default', name: 'slow' });
    await lab.kube.delete('Pod', { namespace: 'default', name: 'slow' }, { graceS: 1 });
    await until('it is dead', () => !isAlive(sandbox!));
    await untilGone('slow');
    assert.ok(!existsSync(logFolder(logOf('slow'))), 'its logs went with it');
  });

  test('a failed postStart hook restarts the container, which was not ready', async () => {
    const postStart = { exec: { command: ['sh', '-c', 'echo no; exit 1'] } };
    await lab.kube.create(
      'Pod',
      pod('hooked', [shell('main', 'sleep infinity', { lifecycle: { postStart } })]),
    );
    await until('it was restarted', async () => (await main('hooked'))?.restartCount === 1);
    await untilTold('hooked', /^FailedPostStartHook: .*no/);
  });

  test('init containers run in order, sidecars stay, and the phase shows it', async () => {
    const hold = 'until [ -e /tmp/go ]; do sleep 0.05; done';
    const initContainers = [
      shell('first', 'exit 0'),
      shell('holds', hold),
      shell('side', 'sleep infinity', { restartPolicy: 'Always' }),
    ];
    await lab.kube.create('Pod', pod('ordered', [server()], { initContainers }));
    const inits = async () => (await read('ordered')).status?.initContainerStatuses ?? [];
    await until('the second runs', async () => (await inits())[1]?.state?.running !== undefined);
    const { status } = await read('ordered');
    assert.equal(status?.phase, 'Pending');
    assert.equal(status?.containerStatuses?.[0]?.state?.waiting?.reason, 'PodInitializing');
    const initialized = status?.conditions?.find((c) => c.type === 'Initialized');
    assert.equal(initialized?.message, 'containers with incomplete status: [holds side]');
    const holds = readPodRecord(STATE, 'default', 'ordered')!.containers[0]!;
    assert.equal(holds.name, 'holds');
    await lab.run(
      'node/node1',
      'nsenter',
      `--target=${holds.process.pid}`,
      '--mount',
      '--root',
      '--',
      'touch',
      '/tmp/go',
    );
    await untilReady('ordered', true);
    assert.deepEqual(
      (await inits()).map((c) => [c.name, c.ready]),
      [
        ['first', true],
        ['holds', true],
        ['side', true],
      ],
    );
    assert.equal((await read('ordered')).status?.phase, 'Running');
  });

  test('an init container that fails for good fails the pod', async () => {
    const spec: Spec = { restartPolicy: 'Never', initContainers: [shell('bad', 'exit 4')] };
    await lab.kube.create('Pod', pod('unborn', [server()], spec));
    await until('it has failed', async () => (await read('unborn')).status?.phase === 'Failed');
    const { initContainerStatuses, containerStatuses } = (await read('unborn')).status!;
    assert.equal(initContainerStatuses![0]!.state?.terminated?.exitCode, 4);
    assert.ok(containerStatuses![0]!.state?.waiting);
  });

  test('a pod ends when its containers have ended, and its sidecars are ended then', async () => {
    const side = shell('side', 'sleep infinity', { restartPolicy: 'Always' });
    await lab.kube.create(
      'Pod',
      pod('job', [shell('main', 'exit 0')], { restartPolicy: 'Never', initContainers: [side] }),
    );
    await until('it has succeeded', async () => (await read('job')).status?.phase === 'Succeeded');
  });

  test('a supervisor that takes over probes again, and no pod becomes unready', async () => {
    const before = await read('ready');
    const since = (pod: Pod) =>
      pod.status?.conditions?.find((c) => c.type === 'Ready')?.lastTransitionTime;
    const supervisor = readRecord(NAME)!.supervisor!;
    process.kill(supervisor.pid, 'SIGKILL');
    await until('it is dead', () => !isAlive(supervisor));
    const { code, stderr } = kubetun('lab', 'up', '--lab', NAME);
    assert.equal(code, 0, stderr);
    // Connections of this process to the dead server fail once.
    await until('it answers', () => read('ready').then(Boolean, () => false));
    const { pid } = readPodRecord(STATE, 'default', 'ready')!.containers.find(
      (c) => c.name === 'exec',
    )!.process;
    const inside = (...command: string[]) =>
      lab.run('node/node1', 'nsenter', `--target=${pid}`, '--mount', '--root', '--', ...command);
    const after = await read('ready');
    assert.equal(since(after), since(before));
    assert.deepEqual(
      after.status?.containerStatuses?.map((c) => [c.ready, c.restartCount]),
      [
        [true, 0],
        [true, 0],
        [true, 0],
      ],
    );
    await inside('rm', '/tmp/good');
    await untilReady('ready', false);
    await inside('touch', '/tmp/good');
    await untilReady('ready', true);
  });
});
