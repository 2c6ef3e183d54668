// A dead supervisor ends no other process; the next `lab up` adopts what it left.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { askAgent } from '../../control/admin-client.ts';
import type { ServiceDescription } from '../../control/sync/describe.ts';
import { isAlive } from '../../lab/host/process.ts';
import { agentLogPath } from '../../lab/places/paths.ts';
import { findPod } from '../../lab/pods/sandbox/records.ts';
import { readRecord } from '../../lab/state/record.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import {
  clientCommand,
  clientPod,
  iperfPod,
  serverPod,
  serviceObject,
  startKubetun,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-adopt';
const STATE = `/run/kubetun/${NAME}`;
const NODES = ['node1', 'node2'];
type Row = Pick<ServiceDescription, 'service' | 'eligible'>;
let lab: TestLab;

/** State that must be the same before and after. */
async function picture() {
  const pods = (await lab.kube.list('Pod')).items.map((pod) => ({
    name: pod.metadata?.name,
    uid: pod.metadata?.uid,
    ip: pod.status?.podIP,
    node: pod.spec?.nodeName,
    restarts: pod.status?.containerStatuses?.[0]?.restartCount,
    pid: findPod(STATE, 'default', pod.metadata!.name!)?.containers[0]?.pid,
  }));
  const services = (await lab.kube.list('Service')).items.map((service) => [
    service.metadata?.uid,
    service.spec?.clusterIP,
    service.spec?.ports?.[0]?.nodePort,
  ]);
  return { pods, services, agents: NODES.map((node) => readAgent(NAME, node)) };
}

/** Polls every agent's table; returns the states of each Service port, and the number of polls. */
function watchTables() {
  const seen = new Map<string, Set<string>>();
  let looks = 0;
  let stopped = false;
  const look = async (node: string) => {
    const table = await askAgent<Row[]>(NAME, node, '/services');
    for (const { service, eligible } of table) {
      const key = `${service} on ${node}`;
      seen.set(key, (seen.get(key) ?? new Set()).add(eligible.toSorted().join(' ')));
    }
    // A Service that is gone from a table has no endpoints.
    for (const [key, states] of seen) {
      const gone = !table.some(({ service }) => key === `${service} on ${node}`);
      if (gone && key.endsWith(` on ${node}`)) states.add('');
    }
    looks++;
  };
  const ended = (async () => {
    while (!stopped) {
      for (const node of NODES) await look(node);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  return async () => {
    stopped = true;
    await ended;
    return { seen, looks };
  };
}

/**
 * Writes without a pause until the server is gone; returns each object's last acknowledged version.
 */
async function writeUntilGone(): Promise<Map<string, { version: number; turn: string }>> {
  const kept = new Map<string, { version: number; turn: string }>();
  for (let turn = 0; ; turn++) {
    const name = `kept-${turn % 50}`;
    const metadata = { namespace: 'default', name };
    const data = { turn: String(turn) };
    try {
      const written = kept.has(name)
        ? await lab.kube.patch('ConfigMap', metadata, { data })
        : await lab.kube.create('ConfigMap', { metadata, data });
      const version = Number(written.metadata?.resourceVersion);
      kept.set(name, { version, turn: data.turn });
    } catch {
      return kept;
    }
  }
}

/** A line of an agent's log. */
interface Said {
  msg: string;
  /** The reason of a lost watch. */
  why?: string;
  /** The changes of an image. */
  services?: number;
  removed?: number;
}

/** Log lines of the agents about their watches, from these offsets on. */
function saidOfWatches(from: number[]): Said[] {
  return NODES.flatMap((node, i) =>
    readFileSync(agentLogPath(NAME, node), 'utf8')
      .slice(from[i])
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Said),
  );
}

/** Asserts that only the marker changed, and that no Service was without endpoints. */
function assertUnchanged(seen: Map<string, Set<string>>): void {
  const keys = [...seen.keys()].filter((key) => !key.startsWith('default/marker'));
  assert.equal(keys.length, 3 * NODES.length, 'web, iperf and kubernetes');
  for (const key of keys) {
    const states = seen.get(key)!;
    assert.equal(states.size, 1, `${key} never changed: ${[...states].join(' | ')}`);
    assert.ok(!states.has(''), `${key} never was without endpoints`);
  }
}

/** Every acknowledged write or a later one is stored. */
async function assertKept(kept: Map<string, { version: number; turn: string }>): Promise<void> {
  assert.ok(kept.size > 0, 'some writes were acknowledged');
  for (const [name, { version, turn }] of kept) {
    const now = await lab.kube.get('ConfigMap', { namespace: 'default', name });
    // The last write may be stored although its acknowledgement was lost.
    assert.ok(Number(now.metadata?.resourceVersion) >= version, name);
    assert.ok(Number(now.data?.turn) >= Number(turn), name);
  }
}

/** Watches were lost and resumed: nothing was listed again, and only the marker was published. */
function assertResumed(logs: number[]): void {
  const said = saidOfWatches(logs);
  const lost = said.filter(({ msg }) => msg === 'watch lost').map(({ why }) => why ?? '');
  assert.ok(lost.length > 0, 'the agents noticed');
  assert.deepEqual(
    lost.filter((why) => why.includes('too old resource version')),
    [],
  );
  const published = said.filter(({ msg }) => msg === 'published');
  assert.deepEqual(
    published.map(({ services, removed }) => [services, removed]),
    NODES.map(() => [1, 0]),
  );
}

describe('a lab whose supervisor is killed', () => {
  before(async () => {
    lab = startLab(NAME, [
      serverPod('web1', 'node1'),
      serverPod('web2', 'node2'),
      iperfPod('iperf', 'node2'),
      clientPod('client', 'node1'),
      serviceObject('web', {
        type: 'NodePort',
        selector: { app: 'web' },
        ports: [{ name: 'http', port: 80, targetPort: 'http' }],
      }),
      serviceObject('iperf', { selector: { app: 'iperf' }, ports: [{ port: 5201 }] }),
    ]);
    await lab.untilEndpoints('default/web:http', 2);
    await lab.untilEndpoints('default/iperf:5201', 1);
  });
  after(() => lab.down());

  test('continues without it, and lab up adopts it unchanged', async (t) => {
    const web = await lab.clusterIP('web');
    const was = await picture();
    const iperf = lab.start('client', [
      ...['iperf3', '-c', await lab.clusterIP('iperf'), '-t', '6', '-J', '-C', 'cubic'],
    ]);
    const load = lab.start('client', clientCommand('connect', web, 80, 6000, 8));
    const endLooking = watchTables();
    const logs = NODES.map((node) => readFileSync(agentLogPath(NAME, node), 'utf8').length);
    const writing = writeUntilGone();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const supervisor = readRecord(NAME)!.supervisor!;
    process.kill(supervisor.pid, 'SIGKILL');
    await until('it is dead', () => !isAlive(supervisor));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const status = await lab.json<{ api: string | null; pods: object[] | null }>('lab', 'status');
    assert.deepEqual(
      [status.api, status.pods],
      [null, null],
      'status reports that neither answers',
    );
    const { code, stderr } = await startKubetun('lab', 'up', '--lab', NAME);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /has lost its supervisor: resuming it/);
    const [bulk, connects] = await Promise.all([iperf.done, load.done]);
    const result = JSON.parse(bulk.stdout) as {
      error?: string;
      intervals: { sum: { bytes: number } }[];
    };
    t.diagnostic(
      `Gbit/s: ${result.intervals.map(({ sum }) => ((sum.bytes * 8) / 1e9).toFixed(1)).join(' ')}`,
    );
    assert.equal(result.error, undefined);
    assert.ok(
      result.intervals.every(({ sum }) => sum.bytes > 0),
      'bytes flowed in every second',
    );
    assert.deepEqual((JSON.parse(connects.stdout) as { errors: object }).errors, {});
    assert.deepEqual(await picture(), was);

    // A new change is followed once the watches are back.
    await lab.kube.create('Service', serviceObject('marker', { ports: [{ port: 80 }] }) as never);
    await lab.untilEndpoints('default/marker:80', 0);
    const { seen, looks } = await endLooking();
    t.diagnostic(`${looks} looks at the agents' tables`);
    assertUnchanged(seen);
    const kept = await writing;
    t.diagnostic(
      `${Math.max(...[...kept.values()].map(({ turn }) => Number(turn))) + 1} writes acknowledged`,
    );
    await assertKept(kept);
    assertResumed(logs);
  });

  test('adopts an agent without a record', async () => {
    const was = readAgent(NAME, 'node1')!;
    const supervisor = readRecord(NAME)!.supervisor!;
    process.kill(supervisor.pid, 'SIGKILL');
    await until('it is dead', () => !isAlive(supervisor));
    // A supervisor that is killed right after it started an agent leaves this state.
    rmSync(join(STATE, 'agents/node1.json'));
    const { code, stderr } = await startKubetun('lab', 'up', '--lab', NAME);
    assert.equal(code, 0, stderr);
    assert.deepEqual(readAgent(NAME, 'node1'), was);
    assert.ok(isAlive(was));
  });

  test('follows changes again: endpoints, new pods, deleted ones', async () => {
    await lab.kube.create('Pod', serverPod('web3', 'node1') as never);
    await lab.untilEndpoints('default/web:http', 3);
    await lab.kube.delete('Pod', { namespace: 'default', name: 'web1' });
    await lab.untilEndpoints('default/web:http', 2);
    const { answers } = await lab.client<{ answers: Record<string, number> }>(
      ...(['client', 'connect', await lab.clusterIP('web'), 80, 200] as const),
    );
    assert.deepEqual(Object.keys(answers).sort(), ['web2', 'web3']);
  });

  test('sees the end of a container that an earlier supervisor started', async () => {
    const { pid } = findPod(STATE, 'default', 'web2')!.containers[0]!;
    process.kill(pid, 'SIGKILL');
    await until('it was restarted and counted', async () => {
      const pod = await lab.kube.get('Pod', { namespace: 'default', name: 'web2' });
      return pod.status?.containerStatuses?.[0]?.restartCount === 1;
    });
    await lab.untilEndpoints('default/web:http', 2);
  });
});
