// Kills every process of a lab, singly and in pairs, under load. KUBETUN_CHAOS_S=600 for a long
// run, KUBETUN_CHAOS_SEED to repeat one.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { CLOUD } from '../../control/places.ts';
import { isAlive, type ProcessId } from '../../lab/host/process.ts';
import { supervisorLogPath } from '../../lab/places/paths.ts';
import { readPodRecord } from '../../lab/pods/sandbox/records.ts';
import { readRecord } from '../../lab/state/record.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import { INSPECTED, inWorker } from '../support/inspector.ts';
import {
  assertGone,
  clientCommand,
  clientPod,
  type Running,
  serverPod,
  serviceObject,
  startKubetun,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-kill';
const STATE = `/run/kubetun/${NAME}`;
const SECONDS = Number(process.env.KUBETUN_CHAOS_S ?? 40);
const SEED = Number(process.env.KUBETUN_CHAOS_SEED ?? Date.now() % 1_000_000);
const CONNECTIONS = 20;
const PAUSE_MS_MAX = 2000;
/** The longest back-off of a container (kubelet MaxContainerBackOff), and time to start. */
const BACK_OFF_MS_MAX = 330_000;
const DIE = 'setTimeout(() => { throw new Error("killed by the test"); })';

interface Victim {
  name: string;
  /** The present process; null if there is none. */
  find: () => ProcessId | null;
  /** The pod whose connections end with the process. */
  pod?: string;
  /** Each restart waits longer than the one before. */
  backsOff?: boolean;
  /** How to kill it; by default the whole process. */
  kill?: (target: ProcessId) => Promise<void>;
}

interface Steady {
  opened: number;
  answered: number;
  open: Record<string, number>;
  lost: { server: string; openedMs: number; lostMs: number; why: string }[];
}

/** mulberry32: 0 to 1. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const recordOf = (pod: string) => readPodRecord(STATE, 'default', pod);

const VICTIMS: Victim[] = [
  { name: 'supervisor', find: () => readRecord(NAME)?.supervisor ?? null },
  ...['node1', 'node2', CLOUD].map((node) => ({
    name: `agent of ${node}`,
    find: () => readAgent(NAME, node),
  })),
  {
    name: 'API thread',
    find: () => readRecord(NAME)?.supervisor ?? null,
    async kill({ pid }) {
      // Another kill may end the process at this moment.
      const worker = { pid, logPath: supervisorLogPath(NAME), script: 'cluster/thread.ts' };
      await inWorker(worker, DIE).catch(() => {});
    },
  },
  { name: 'internet', find: () => readRecord(NAME)?.internet ?? null },
  { name: 'log writer', find: () => readRecord(NAME)?.logWriter ?? null },
  {
    name: 'PID 1 of web1',
    find: () => recordOf('web1')?.sandbox ?? null,
    pod: 'web1',
    backsOff: true,
  },
  {
    name: 'PID 1 of bystander',
    find: () => recordOf('bystander')?.sandbox ?? null,
    backsOff: true,
  },
  ...['web2', 'web3'].map((pod) => ({
    name: `container of ${pod}`,
    find: () => recordOf(pod)?.containers[0]?.process ?? null,
    pod,
    backsOff: true,
  })),
  // Its connections are the load of this test and end with it.
  { name: 'PID 1 of client', find: () => recordOf('client')?.sandbox ?? null, backsOff: true },
];

function living({ find }: Victim): ProcessId | null {
  const found = find();
  return found && isAlive(found) ? found : null;
}

/** Writes objects one after the other until it is stopped, and keeps what was acknowledged. */
class Writer {
  readonly acknowledged = new Map<string, number>();
  readonly #lab: TestLab;
  readonly #done: Promise<void>;
  #stopping = false;

  constructor(lab: TestLab) {
    this.#lab = lab;
    this.#done = this.#write();
  }

  async #write(): Promise<void> {
    for (let turn = 1; !this.#stopping; turn++) {
      const metadata = { namespace: 'default', name: `kept-${turn % 50}` };
      const data = { turn: String(turn) };
      try {
        const exists = this.acknowledged.has(metadata.name);
        if (exists) await this.#lab.kube.patch('ConfigMap', metadata, { data });
        else await this.#lab.kube.create('ConfigMap', { metadata, data });
        this.acknowledged.set(metadata.name, turn);
      } catch {
        // If a create was stored without an answer, later creates are refused.
        const found = await this.#lab.kube.get('ConfigMap', metadata).catch(() => null);
        if (found) this.acknowledged.set(metadata.name, Number(found.data?.turn));
        await setTimeout(200);
      }
      await setTimeout(20);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }
}

/**
 * Connections from a place of the lab, opened again after the place's own processes were killed.
 */
class Load {
  readonly #lab: TestLab;
  readonly #from: string;
  readonly #command: string[];
  #running: Running;

  constructor(lab: TestLab, from: string, address: string, port: number) {
    this.#lab = lab;
    this.#from = from;
    this.#command = clientCommand('steady', address, port, CONNECTIONS);
    this.#running = lab.start(from, this.#command);
  }

  get isOpen(): boolean {
    return this.#running.output().includes('open');
  }

  /** Restarts it if it ended with its place. False while the place does not exist. */
  heal(): boolean {
    const { exitCode, signalCode } = this.#running.child;
    if (exitCode === null && signalCode === null) return true;
    try {
      this.#running = this.#lab.start(this.#from, this.#command);
      return true;
    } catch {
      return false;
    }
  }

  /** The result for the surviving connections. */
  async end(): Promise<Steady> {
    this.#running.child.stdin?.end();
    const { stdout, stderr } = await this.#running.done;
    const last = stdout.trim().split('\n').at(-1) ?? '';
    assert.ok(last.startsWith('{'), `${this.#from}: ${stderr || stdout}`);
    return JSON.parse(last) as Steady;
  }
}

describe('every process of a lab', () => {
  let lab: TestLab;

  before(async () => {
    Object.assign(process.env, INSPECTED);
    lab = startLab(NAME, [
      serverPod('web1', 'node1'),
      serverPod('web2', 'node2'),
      serverPod('web3', 'node2'),
      clientPod('client', 'node1'),
      clientPod('bystander', 'node2'),
      serviceObject('web', {
        type: 'LoadBalancer',
        selector: { app: 'web' },
        ports: [{ name: 'http', port: 80, targetPort: 'http' }],
      }),
    ]);
    await lab.untilEndpoints('default/web:http', 3);
  });

  async function startLoad(): Promise<Load[]> {
    const service = await lab.kube.get('Service', { namespace: 'default', name: 'web' });
    const balancer = service.status!.loadBalancer!.ingress![0]!.ip!;
    const { nodePort = 0 } = service.spec!.ports![0]!;
    const node = readRecord(NAME)!.topology.nodes[1]!.publicAddress;
    const loads = [
      new Load(lab, 'client', service.spec!.clusterIP!, 80),
      new Load(lab, 'internet', balancer, 80),
      new Load(lab, 'internet', node, nodePort),
    ];
    for (const load of loads) await until('its connections are open', () => load.isOpen);
    return loads;
  }

  /** Runs `lab up` for processes that only it starts, and waits for all that were killed. */
  async function heal(loads: Load[]): Promise<void> {
    const supervisor = VICTIMS[0]!;
    if (!living(supervisor)) {
      const { code, stderr } = await startKubetun('lab', 'up', '--lab', NAME);
      assert.equal(code, 0, stderr);
    }
    // A pod that is killed often restarts later each time.
    for (const victim of VICTIMS.filter(({ backsOff }) => !backsOff)) {
      await until(`${victim.name} lives again`, () => living(victim) !== null);
    }
    await until('the API server answers', () =>
      lab.kube.list('Namespace').then(
        () => true,
        () => false,
      ),
    );
    for (const load of loads) load.heal();
  }

  test('may be killed: no other process ends, no acknowledged write is lost', async (t) => {
    t.diagnostic(`KUBETUN_CHAOS_SEED=${SEED} KUBETUN_CHAOS_S=${SECONDS}`);
    const random = randomOf(SEED);
    const pick = <T>(list: T[]) => list[Math.floor(random() * list.length)]!;
    const loads = await startLoad();
    const writer = new Writer(lab);
    const kills: { pod: string; ms: number }[] = [];
    const endMs = Date.now() + SECONDS * 1000;
    const singles = VICTIMS.map((victim) => ({ victim, order: random() }))
      .sort((a, b) => a.order - b.order)
      .map(({ victim }) => [victim]);
    let rounds = 0;
    // Kills each process once, then pairs until the time is over.
    while (rounds < singles.length || Date.now() < endMs) {
      const victims = singles[rounds] ?? [pick(VICTIMS), pick(VICTIMS)];
      for (const victim of victims) {
        const target = living(victim);
        if (!target) continue;
        if (victim.pod) kills.push({ pod: victim.pod, ms: Date.now() });
        if (victim.kill) await victim.kill(target);
        else process.kill(target.pid, 'SIGKILL');
      }
      await setTimeout(random() * PAUSE_MS_MAX);
      await heal(loads);
      rounds++;
    }
    await writer.stop();
    for (const load of loads) await until('the load runs', () => load.heal(), BACK_OFF_MS_MAX);
    for (const load of loads) await until('its connections are open', () => load.isOpen);
    const steady = await Promise.all(loads.map((load) => load.end()));
    t.diagnostic(`killed ${kills.map(({ pod }) => pod).join(', ')}`);
    t.diagnostic(
      `${rounds} rounds, ${writer.acknowledged.size} objects; ` +
        steady
          .map(
            (s) =>
              `${s.opened} opened, ${s.answered} answers, ${s.lost.length} lost, open ${JSON.stringify(s.open)}`,
          )
          .join('; '),
    );
    const endedWithServer = ({ server, openedMs, lostMs }: Steady['lost'][number]) =>
      kills.some(({ pod, ms }) => pod === server && ms >= openedMs && ms <= lostMs);
    assert.deepEqual(
      steady.flatMap(({ lost }) => lost.filter((one) => !endedWithServer(one))),
      [],
    );
    // The first client is killed too, and may have started just now.
    assert.ok(steady.slice(1).every(({ answered }) => answered > SECONDS));
    assert.ok(writer.acknowledged.size > 0);
    for (const [name, turn] of writer.acknowledged) {
      const now = await lab.kube.get('ConfigMap', { namespace: 'default', name });
      assert.ok(Number(now.data?.turn) >= turn, `${name}: ${now.data?.turn} of ${turn}`);
    }
  });

  after(async () => {
    await lab.down();
    assertGone(NAME);
  });
});
