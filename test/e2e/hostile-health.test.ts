// Faults that stop packets or the API server of a lab. Health names the failed part, the Lease is
// not renewed, and everything is healthy again afterwards.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  constants,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { askAgent } from '../../control/admin-client.ts';
import type { HealthReport } from '../../control/health/monitor.ts';
import { ARENA_DIR, arenaOf, stateDir } from '../../control/places.ts';
import { isAlive } from '../../lab/host/process.ts';
import { agentLogPath, supervisorLogPath } from '../../lab/places/paths.ts';
import { readRecord } from '../../lab/state/record.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import { INSPECTED, inWorker } from '../support/inspector.ts';
import {
  assertGone,
  clientCommand,
  clientPod,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const { S_IFDIR, S_IFMT } = constants;
const NAME = 'e2e-health';
const UNHEALTHY_MS = 5000;
const HEALTHY_MS = 10_000;
/** An agent renews the Lease of its node every 5 s. */
const LEASE_MS = 6000;
const OTHER_USER = 65534;
/** A rule that the agent does not plan. */
const ASTRAY = 'pref 0 to 10.244.0.0/16 lookup main';
const API = 'control/cluster/thread.ts';

let lab: TestLab;
let vip: string;

interface Status extends HealthReport {
  pid: number;
  survived: boolean;
  workerRestarts: number;
}

const statusOf = (node: string) => askAgent<Status>(NAME, node, '/status');
const loopOf = ({ pid }: Status) => ({
  ...{ pid, logPath: agentLogPath(NAME, 'node1') },
  script: '/kubetun/worker-',
});
const logOf = (node: string) => readFileSync(agentLogPath(NAME, node), 'utf8');
const sum = (faults: Record<string, number>) => Object.values(faults).reduce((a, b) => a + b, 0);

/** `/healthz` of node1 from inside; 000 if it is unreachable. */
async function healthz(): Promise<string> {
  const url = 'http://127.0.0.1:10256/healthz';
  const ask = ['curl', '-s', '-m', '2', '-o', '/dev/null', '-w', '%{http_code}', url];
  return lab.run('node/node1', 'sh', '-c', `${ask.join(' ')} || :`);
}

async function renewTime(): Promise<string | undefined> {
  const place = { namespace: 'kube-node-lease', name: 'node1' };
  return (await lab.kube.get('Lease', place)).spec?.renewTime;
}

const reaches = () =>
  lab.succeeds('client', 'curl', '-sf', '-o', '/dev/null', '-m', '1', `http://${vip}/hostname`);

async function assertHealthyAgain(): Promise<void> {
  await until('node1 is healthy', async () => (await statusOf('node1')).healthy, HEALTHY_MS);
  await until('the client reaches the Service', reaches, HEALTHY_MS);
}

before(async () => {
  Object.assign(process.env, INSPECTED);
  lab = startLab(NAME, [
    serverPod('web', 'node1'),
    clientPod('client', 'node2'),
    serviceObject('web', { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] }),
  ]);
  vip = await lab.clusterIP('web');
  await lab.untilEndpoints('default/web:80', 1);
});
after(async () => {
  await lab.down();
  assertGone(NAME);
});

test('an untouched lab is healthy in every part, and has been since its start', async () => {
  const counters = await lab.counters('node1');
  await setTimeout(LEASE_MS);
  for (const place of ['node1', 'node2', 'cloud']) {
    const { healthy, unhealthy, faults } = await statusOf(place);
    assert.deepEqual([healthy, unhealthy], [true, []]);
    const parts = Object.keys(faults).sort();
    assert.deepEqual(parts, ['image', 'probe', 'steering', 'tables', 'worker']);
    assert.equal(faults.probe, 0);
  }
  // Its probes are not counted as packets.
  assert.equal((await lab.counters('node1')).unallocated, counters.unallocated);
});

describe('the thread of the datapath', () => {
  test('dies without its arena file: it is restarted, and the reason is logged', async () => {
    const before = await statusOf('node1');
    const path = arenaOf(NAME, 'node1');
    renameSync(path, `${path}.away`);
    try {
      const die = 'performance.now = () => { throw new Error("killed by the test"); }';
      await inWorker(loopOf(before), die);
      await until('another was started', async () => (await statusOf('node1')).workerRestarts > 0);
    } finally {
      renameSync(`${path}.away`, path);
    }
    await assertHealthyAgain();
    assert.match(logOf('node1'), /datapath worker ended: killed by the test; restart 1 in 100 ms/);
    const { pid, faults } = await statusOf('node1');
    assert.equal(pid, before.pid);
    assert.ok(faults.worker! > before.faults.worker!, 'it was unhealthy meanwhile');
  });

  test('hangs: health names it, and it is restarted', async () => {
    const before = await statusOf('node1');
    const hang = 'performance.now = () => { for (;;); }';
    await inWorker(loopOf(before), hang);
    await until('healthz is 503', async () => (await healthz()) === '503', UNHEALTHY_MS);
    const parts = (await statusOf('node1')).unhealthy.map(({ part }) => part);
    assert.ok(parts.includes('worker') || parts.includes('probe'), parts.join());
    await until('another serves', async () => {
      const { workerRestarts } = await statusOf('node1');
      return workerRestarts > before.workerRestarts;
    });
    await assertHealthyAgain();
    assert.match(logOf('node1'), /datapath worker ended: it has not ticked/);
    assert.equal((await statusOf('node1')).pid, before.pid);
  });
});

test('every file of a lab is private to its owner, except files for pods', () => {
  const state = stateDir(NAME);
  // Volumes are mounted in pods, and any user of a container may write to its log.
  const isOfPods = (path: string) => /^(volumes|logs\/pipes)\/./.test(relative(state, path));
  const below = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
  const arenas = below(ARENA_DIR).filter((path) => basename(path).startsWith(`${NAME}-`));
  const paths = [state, ...below(state).filter((path) => !isOfPods(path)), ARENA_DIR, ...arenas];
  const open = paths.flatMap((path) => {
    const { uid, mode } = lstatSync(path);
    const wanted = (mode & S_IFMT) === S_IFDIR ? 0o700 : 0o600;
    return uid === 0 && (mode & 0o7777) === wanted
      ? []
      : [`${path} ${(mode & 0o7777).toString(8)}`];
  });
  assert.deepEqual(open, []);
  for (const name of ['lab.json', 'kubeconfig', 'node1.sock', 'pki/tls.key', 'api/journal']) {
    assert.ok(paths.includes(join(state, name)), name);
  }
  // Beside the arenas of nodes there are the files of their ports.
  assert.equal(arenas.filter((path) => !path.endsWith('.ports')).length, 3);
});

describe('the arena of a node', () => {
  test('that another user prepared and locked is replaced, with the reason in the log', async () => {
    const supervisor = readRecord(NAME)!.supervisor!;
    const agent = readAgent(NAME, 'node1')!;
    const path = arenaOf(NAME, 'node1');
    // Stops the supervisor until the file is prepared: the next agent must find it so.
    process.kill(supervisor.pid, 'SIGSTOP');
    process.kill(agent.pid, 'SIGKILL');
    await until('the agent is dead', () => !isAlive(agent));
    chownSync(path, OTHER_USER, OTHER_USER);
    const inode = statSync(path).ino;
    const hold = 'exec 9<>"$0" && flock 9 && echo locked && exec sleep 60';
    const locker = spawn('sh', ['-c', hold, path], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      await once(locker.stdout, 'data');
      process.kill(supervisor.pid, 'SIGCONT');
      await until('the next agent answers', async () => {
        const status = await statusOf('node1').catch(() => null);
        return status !== null && status.pid !== agent.pid && status.healthy;
      });
    } finally {
      process.kill(supervisor.pid, 'SIGCONT');
      locker.kill('SIGKILL');
    }
    assert.equal((await statusOf('node1')).survived, false);
    assert.notEqual(statSync(path).ino, inode);
    assert.equal(statSync(path).uid, 0);
    assert.match(logOf('node1'), /was replaced: it belongs to user 65534/);
    await assertHealthyAgain();
  });
});

describe('repeated attacks on a node', () => {
  const attacks: Record<string, string> = {
    'the device is set down': 'ip link set kt0 down',
    'the rules are flushed': 'ip rule flush',
    'a rule leads past the datapath': `ip rule add ${ASTRAY}; sleep 1`,
  };
  for (const [what, command] of Object.entries(attacks)) {
    test(`${what}: unhealthy, no Lease, and healthy afterwards`, async () => {
      const { faults } = await statusOf('node1');
      const loop = lab.start('node/node1', [
        'sh',
        '-c',
        `while :; do ${command}; done 2>/dev/null`,
      ]);
      try {
        const isUnhealthy = async () => {
          const codes = [await healthz(), (await statusOf('node1')).healthy];
          return codes[0] !== '200' && codes[1] === false;
        };
        await until('node1 is unhealthy', isUnhealthy, UNHEALTHY_MS);
        const renewed = await renewTime();
        const { nodes } = await lab.json<{ nodes: { unhealthy: string[] }[] }>('lab', 'status');
        assert.match(nodes[0]!.unhealthy.join('\n'), /^(steering|probe): /);
        const end = Date.now() + LEASE_MS;
        while (Date.now() < end) {
          assert.equal((await statusOf('node1')).healthy, false);
          assert.notEqual(await healthz(), '200');
          await setTimeout(200);
        }
        assert.equal(await renewTime(), renewed);
      } finally {
        loop.child.kill('SIGKILL');
        await loop.done;
        await lab.run('node/node1', 'sh', '-c', `ip rule del ${ASTRAY} 2>/dev/null || :`);
      }
      await assertHealthyAgain();
      assert.ok(sum((await statusOf('node1')).faults) > sum(faults));
      const renewed = await renewTime();
      await until('the Lease is renewed again', async () => (await renewTime()) !== renewed);
    });
  }
});

describe('the API server of a lab', () => {
  test('dies repeatedly: its supervisor restarts it, and no other process ends', async () => {
    const { supervisor } = readRecord(NAME)!;
    const agents = ['node1', 'node2'].map((node) => readAgent(NAME, node)!);
    const uidOf = async () => (await lab.kube.get('Pod', web)).metadata!.uid;
    const web = { namespace: 'default', name: 'web' };
    const uid = await uidOf();
    const load = lab.start('client', clientCommand('connect', vip, 80, 2000, 4));
    for (let n = 0; n < 3; n++) {
      const metadata = { namespace: 'default', name: `kept-${n}` };
      await lab.kube.create('ConfigMap', { metadata, data: { n: String(n) } });
      const said = readFileSync(supervisorLogPath(NAME), 'utf8').length;
      const die = 'setTimeout(() => { throw new Error("killed by the test"); })';
      await inWorker({ pid: supervisor!.pid, logPath: supervisorLogPath(NAME), script: API }, die);
      const news = () => readFileSync(supervisorLogPath(NAME), 'utf8').slice(said);
      await until('it serves again', () => news().includes('the API server serves again'));
      assert.match(news(), /killed by the test/);
      assert.equal((await lab.kube.get('ConfigMap', metadata)).data?.n, String(n));
    }
    assert.ok(isAlive(supervisor!));
    assert.deepEqual(readRecord(NAME)!.supervisor, supervisor);
    assert.ok(agents.every(isAlive));
    assert.equal(await uidOf(), uid);
    const { answers, errors } = JSON.parse((await load.done).stdout);
    assert.deepEqual([answers, errors], [{ web: 2000 }, {}]);
    // The agents, the pod runner and the controllers follow the new server.
    await lab.kube.create('Pod', serverPod('web2', 'node2') as never);
    await lab.untilEndpoints('default/web:80', 2);
    const { api } = await lab.json<{ api: string | null }>('lab', 'status');
    assert.match(api!, /^https:/);
  });
});
