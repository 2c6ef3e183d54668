// Policies that change during connections, pods that take over an address, a killed agent.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkPolicy, Pod } from '../../control/kube/kinds.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import {
  clientCommand,
  clientPod,
  iperfPod,
  serverPod,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-polch';
/**
 * So few addresses that a new pod soon gets a used one: the first two and the last are reserved.
 */
const TOPOLOGY = { nodes: [{ name: 'node1' }, { name: 'node2', podCIDR: '10.244.2.0/28' }] };
const ADDRESSES = 13;
const CHANGES_PER_S = 100;
const SECONDS = 6;
const DEADLINE_MS = 10_000;
let lab: TestLab;

interface Iperf {
  end: { sum: { packets: number; lost_packets: number } };
}

function policy(name: string, app: string, ingress: object[] = []): NetworkPolicy {
  return {
    metadata: { namespace: 'default', name },
    spec: { podSelector: { matchLabels: { app } }, policyTypes: ['Ingress'], ingress },
  };
}

describe('policies that change', () => {
  before(() => {
    const labelled = (object: object, app: string) => {
      const pod = object as Pod;
      return { ...pod, metadata: { ...pod.metadata, labels: { app } } };
    };
    lab = startLab(
      NAME,
      [
        labelled(iperfPod('stopped', 'node2'), 'stopped'),
        labelled(iperfPod('kept', 'node2'), 'kept'),
        serverPod('closed', 'node2', { app: 'closed' }),
        serverPod('web', 'node2', { app: 'web' }),
        clientPod('client', 'node1'),
      ],
      TOPOLOGY,
    );
  });
  after(() => lab.down());

  const create = (object: NetworkPolicy) => lab.kube.create('NetworkPolicy', object);
  const remove = (name: string) => lab.kube.delete('NetworkPolicy', { namespace: 'default', name });
  const dropped = async () => (await lab.counters('node1'))['policy-ingress']!;
  const received = async (pod: string) =>
    Number(await lab.run(pod, 'cat', '/sys/class/net/eth0/statistics/rx_bytes'));

  test('a running iperf3 stops when a policy denies it, and continues when the policy is gone', async (t) => {
    const address = await lab.podIP('stopped');
    const iperf = lab.start('client', ['iperf3', '-c', address, '-t', '8']);
    await until('it runs', async () => (await received('stopped')) > 1_000_000);
    await create(policy('forbid', 'stopped'));
    const since = performance.now();
    let last = await received('stopped');
    for (;;) {
      await sleep(50);
      const now = await received('stopped');
      if (now === last) break;
      last = now;
      assert.ok(performance.now() - since < DEADLINE_MS, 'iperf3 still runs');
    }
    t.diagnostic(`stopped within ${Math.round(performance.now() - since)} ms`);
    await sleep(500);
    assert.equal(await received('stopped'), last);
    await remove('forbid');
    await until('it runs again', async () => (await received('stopped')) > last + 1_000_000);
    iperf.child.kill();
    await iperf.done;
  });

  test('an allowed connection loses nothing while policies change a hundred times a second', async (t) => {
    const address = await lab.podIP('kept');
    const args = ['-u', '-b', '5M', '-w', '1M', '-t', String(SECONDS), '-J'];
    await create(policy('base', 'kept', [{}]));
    const iperf = lab.start('client', ['iperf3', '-c', address, ...args]);
    let over = false;
    iperf.done.then(() => {
      over = true;
    });
    const before = await dropped();
    const begun = performance.now();
    let changes = 0;
    while (!over) {
      const rule = { from: [{ podSelector: {} }], ports: [{ port: 1 + (changes % 1000) }] };
      await create(policy(`p${changes}`, 'kept', [rule]));
      await remove(`p${changes}`);
      changes += 2;
      const ahead = changes * (1000 / CHANGES_PER_S) - (performance.now() - begun);
      if (ahead > 0) await sleep(ahead);
    }
    const rate = changes / ((performance.now() - begun) / 1000);
    const { stdout } = await iperf.done;
    const { packets, lost_packets } = (JSON.parse(stdout) as Iperf).end.sum;
    t.diagnostic(
      `${Math.round(rate)} changes a second, ${packets} datagrams, ${lost_packets} lost`,
    );
    assert.equal(lost_packets, 0);
    assert.ok(packets > 1000);
    assert.equal(await dropped(), before);
    await remove('base');
  });

  test('a denied connection stays denied while an agent is killed and restarted', async () => {
    await create(policy('closed', 'closed'));
    const end = `${await lab.podIP('closed')}:8080/TCP`;
    const open = `${await lab.podIP('web')}:8080/TCP`;
    const ask = (): Promise<string[]> => lab.client('client', 'reach', 500, end, open);
    await until('it is closed', async () => (await ask()).join() === 'silent,open');
    const killed = readAgent(NAME, 'node1')!;
    process.kill(killed.pid, 'SIGKILL');
    const outcomes: string[][] = [];
    await until('another agent has begun', async () => {
      outcomes.push(await ask());
      return (readAgent(NAME, 'node1')?.pid ?? killed.pid) !== killed.pid;
    });
    await until('it forwards', async () => {
      outcomes.push(await ask());
      return outcomes.at(-1)![1] === 'open';
    });
    for (let i = 0; i < 5; i++) outcomes.push(await ask());
    assert.deepEqual(new Set(outcomes.map(([closed]) => closed)), new Set(['silent']));
    await remove('closed');
    await until('it is open', async () => (await ask())[0] === 'open');
  });

  test("a new pod on a removed pod's address inherits no flow and no verdict", async () => {
    await create(policy('guarded', 'guarded'));
    for (const [old, next, answers] of [
      ['free', 'guarded', false],
      ['guarded', 'free', true],
    ] as const) {
      const first = await startServer('first', old);
      const steady = lab.start('client', clientCommand('udp-steady', first, 8081));
      if (old === 'free') await until('it answers', () => steady.output().includes('first'));
      else await sleep(500);
      await lab.kube.delete('Pod', { namespace: 'default', name: 'first' });
      await takeAddress(first, next);
      if (answers) await until('the new one answers', () => steady.output().includes('taker'));
      else {
        await sleep(1000);
        assert.doesNotMatch(steady.output(), /taker/);
      }
      steady.child.stdin?.end();
      await steady.done;
      await lab.kube.delete('Pod', { namespace: 'default', name: 'taker' });
      await untilGone('taker');
    }
  });

  const untilGone = (name: string) =>
    until(`${name} is gone`, async () => {
      const pods = await lab.kube.list('Pod');
      return !pods.items.some(({ metadata }) => metadata?.name === name);
    });

  /** Returns its address once it answers. */
  async function startServer(name: string, app: string): Promise<string> {
    await lab.kube.create('Pod', serverPod(name, 'node2', { app }) as Pod);
    await until(`${name} runs`, async () => {
      const pod = await lab.kube.get('Pod', { namespace: 'default', name });
      return pod.status?.phase === 'Running';
    });
    return lab.podIP(name);
  }

  /** Starts pods until one has this address. */
  async function takeAddress(address: string, app: string): Promise<void> {
    await untilGone('first');
    for (let n = 0; n < ADDRESSES; n++) {
      if ((await startServer('taker', app)) === address) return;
      await lab.kube.delete('Pod', { namespace: 'default', name: 'taker' });
      await untilGone('taker');
    }
    assert.fail(`no pod got ${address}`);
  }
});
