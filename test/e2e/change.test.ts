// Connections while endpoints change, and while an agent is killed.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readAgent } from '../../lab/supervisor/agents.ts';
import {
  clientCommand,
  clientPod,
  iperfPod,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

interface Connected {
  answers: Record<string, number>;
  errors: Record<string, number>;
}
interface Iperf {
  error?: string;
  intervals: { sum: { bytes: number } }[];
}
interface Flow {
  state: string;
  original: { sport: number; dport: number };
}

const NAME = 'e2e-chg';
let lab: TestLab;

describe('change', () => {
  before(async () => {
    lab = startLab(NAME, [
      serverPod('web1', 'node1'),
      serverPod('web2', 'node2'),
      serverPod('web3', 'node2'),
      iperfPod('iperf', 'node2'),
      clientPod('client', 'node1'),
      serviceObject('web', { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] }),
      serviceObject('iperf', { selector: { app: 'iperf' }, ports: [{ port: 5201 }] }),
    ]);
    await lab.untilEndpoints('default/web:80', 3);
    await lab.untilEndpoints('default/iperf:5201', 1);
  });
  after(() => lab.down());

  const label = (name: string, app: string) =>
    lab.kube.patch('Pod', { namespace: 'default', name }, { metadata: { labels: { app } } });
  const connect = (count: number) =>
    lab.clusterIP('web').then((vip) => lab.client<Connected>('client', 'connect', vip, 80, count));

  test('endpoints removed and added under load lose no connection', async (t) => {
    const vip = await lab.clusterIP('web');
    const load = lab.start('client', clientCommand('connect', vip, 80, 8000, 10));
    let changes = 0;
    const ended = load.done.then(() => {
      changes = -Math.abs(changes);
    });
    while (changes >= 0) {
      await label('web3', 'gone');
      await label('web3', 'web');
      changes += 2;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await ended;
    const { stdout } = await load.done;
    const { answers, errors } = JSON.parse(stdout) as Connected;
    t.diagnostic(`${-changes} changes, ${JSON.stringify(answers)}`);
    assert.deepEqual(errors, {});
    assert.ok(-changes > 10);
    assert.ok(answers.web3! > 0, 'web3 answered while it was an endpoint');
  });

  test('a removed endpoint gets no new connection, an added one does', async () => {
    await label('web3', 'gone');
    await lab.untilEndpoints('default/web:80', 2);
    assert.equal((await connect(200)).answers.web3, undefined);
    await label('web3', 'web');
    await lab.untilEndpoints('default/web:80', 3);
    assert.ok((await connect(200)).answers.web3! > 20);
  });

  test('a deleted pod leaves the endpoints', async () => {
    await lab.kube.delete('Pod', { namespace: 'default', name: 'web2' });
    await lab.untilEndpoints('default/web:80', 2);
    const { answers, errors } = await connect(100);
    assert.deepEqual(errors, {});
    assert.equal(answers.web2, undefined);
  });

  test('an agent killed with SIGKILL comes back, and iperf3 continues without a reset', async (t) => {
    const vip = await lab.clusterIP('iperf');
    const iperf = lab.start('client', ['iperf3', '-c', vip, '-t', '16', '-J', '-C', 'cubic']);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const flows = () => lab.json<Flow[]>('conntrack', 'list', '--node', 'node1');
    const ports = (all: Flow[]) =>
      all
        .filter((f) => f.original.dport === 5201 && f.state === 'ESTABLISHED')
        .map((f) => f.original.sport)
        .sort();
    const before = ports(await flows());
    assert.equal(before.length, 2, 'control and data');
    const killed = readAgent(NAME, 'node1')!;
    process.kill(killed.pid, 'SIGKILL');
    await until('another agent runs', () => (readAgent(NAME, 'node1')?.pid ?? 0) !== killed.pid);
    const { code, stdout } = await iperf.done;
    const result = JSON.parse(stdout) as Iperf;
    const gbits = result.intervals.map(({ sum }) => ((sum.bytes * 8) / 1e9).toFixed(1));
    t.diagnostic(`Gbit/s in each second: ${gbits.join(' ')}`);
    assert.equal(result.error, undefined);
    assert.equal(code, 0);
    const last = result.intervals.slice(-2).map(({ sum }) => sum.bytes);
    assert.ok(
      last.every((bytes) => bytes > 0),
      'bytes flow in the last two seconds',
    );
    const kept = (await flows())
      .filter((f) => f.original.dport === 5201)
      .map((f) => f.original.sport);
    for (const port of before)
      assert.ok(kept.includes(port), `the flow from port ${port} is still known`);
    const { errors } = await connect(50);
    assert.deepEqual(errors, {}, 'new connections work as well');
  });
});
