// Packets that no honest host sends, made by scapy. Each is dropped for a named reason or has no
// effect, and no connection suffers.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { askAgent } from '../../control/admin-client.ts';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import {
  clientCommand,
  clientPod,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

// Sends from the fabric: the cloud's own datapath would drop most packets earlier.
const NAME = 'e2e-odd';
const NODE = '172.18.0.11';
const TCP_PORT = 30_300;
const UDP_PORT = 30_301;
const SCRIPT = join(PROJECT_ROOT, 'test/e2e/clients/odd.py');
let lab: TestLab;

const counters = () => lab.counters('node1');

/** The increase of each counter of node1 during an action. */
async function counted(happens: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await counters();
  await happens();
  // The worker counts with a delay; the last packets are in transit.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const now = await counters();
  return Object.fromEntries(Object.keys(now).map((name) => [name, now[name]! - before[name]!]));
}

const send = (
  from: string,
  address: string,
  port: number,
  kind: string,
  count: number,
  ...more: string[]
) => lab.run(from, '/usr/bin/python3', SCRIPT, address, String(port), kind, String(count), ...more);

describe('odd packets', () => {
  let agent: number;
  before(async () => {
    const port = (name: string, protocol: string, targetPort: number, nodePort: number) => ({
      ...{ name, protocol, port: targetPort, targetPort, nodePort },
    });
    lab = startLab(NAME, [
      serverPod('web', 'node2'),
      clientPod('client', 'node1'),
      serviceObject('web', {
        ...{ type: 'NodePort', selector: { app: 'web' } },
        ports: [port('tcp', 'TCP', 8080, TCP_PORT), port('udp', 'UDP', 8081, UDP_PORT)],
      }),
    ]);
    await lab.untilEndpoints('default/web:tcp', 1);
    agent = readAgent(NAME, 'node1')!.pid;
  });
  after(() => lab.down());

  const N = 20;
  const named: [kind: string, port: number, counter: string][] = [
    ['syn-fin', TCP_PORT, 'tcp-flags'],
    ['no-flags', TCP_PORT, 'tcp-flags'],
    ['long-offset', TCP_PORT, 'l4-length'],
    ['short-offset', TCP_PORT, 'l4-length'],
    ['udp-length', UDP_PORT, 'l4-length'],
    ['tiny-fragment', TCP_PORT, 'l4-length'],
  ];
  for (const [kind, port, counter] of named) {
    test(`${kind}: dropped and counted as ${counter}`, async () => {
      const more = await counted(() => send('cloud', NODE, port, kind, N));
      assert.ok(more[counter]! >= N, JSON.stringify(more));
    });
  }

  test('an unsolicited echo reply is dropped and counted', async () => {
    const cluster = await lab.clusterIP('web');
    const asked = await counted(() => send('client', cluster, 0, 'echo-reply', N));
    assert.ok(asked['icmp-without-flow']! >= N, JSON.stringify(asked));
  });

  test('later fragments without a first one are dropped and counted', async () => {
    const before = await counters();
    await send('cloud', NODE, UDP_PORT, 'later-fragment', N);
    await until('the fragments are dropped', async () => {
      const { 'fragment-orphan': orphans, 'fragment-limit': limit } = await counters();
      return orphans! + limit! - before['fragment-orphan']! - before['fragment-limit']! >= N;
    });
  });

  test('overlapping and repeated fragments cause no harm, and whole datagrams pass afterwards', async () => {
    await send('cloud', NODE, UDP_PORT, 'overlapping', N);
    const { same } = await lab.client<{ same: number }>('cloud', 'udp', NODE, UDP_PORT, 3000, 5);
    assert.equal(same, 5);
  });

  test('a wrong checksum stays wrong: it is not recomputed, and no answer comes', async () => {
    const more = await counted(() => send('cloud', NODE, TCP_PORT, 'wrong-sum', N));
    assert.ok(
      more['flows-made']! >= N,
      'they are forwarded: a router does not check transport checksums',
    );
    const flows = await lab.json<{ state: string; original: { dport: number } }[]>(
      ...(['conntrack', 'list', '--node', 'node1', '--dst', `:${TCP_PORT}`] as const),
    );
    assert.ok(
      flows.filter((flow) => flow.state === 'SYN_SENT').length >= N,
      'no server has answered',
    );
  });

  test('IP options survive', async () => {
    const more = await counted(() => send('cloud', NODE, TCP_PORT, 'options', N));
    assert.ok(more.forwarded! >= N, JSON.stringify(more));
  });

  test('RSTs with guessed sequence numbers close nothing', async () => {
    const idle = lab.start('cloud', clientCommand('idle', NODE, TCP_PORT, 3));
    await until('the connections are open', () => idle.output().startsWith('open'));
    const flows = await lab.json<{ state: string; original: { sport: number } }[]>(
      ...([
        'conntrack',
        'list',
        '--node',
        'node1',
        '--state',
        'ESTABLISHED',
        '--dst',
        `:${TCP_PORT}`,
      ] as const),
    );
    assert.ok(flows.length >= 3);
    const more = await counted(async () => {
      for (const { original } of flows) {
        await send('cloud', NODE, TCP_PORT, 'rst', N, String(original.sport), '0');
      }
    });
    assert.ok(more['rst-implausible']! > 0, JSON.stringify(more));
    idle.child.stdin?.end();
    const { answered } = JSON.parse((await idle.done).stdout.split('\n')[1]!) as {
      answered: number;
    };
    assert.equal(answered, 3);
  });

  test('ICMP errors with garbage quotes, and noise of every protocol, do not change the agent', async (t) => {
    const more = await counted(async () => {
      await send('cloud', NODE, 0, 'icmp-garbage', 500);
      await send('client', await lab.clusterIP('web'), 0, 'icmp-garbage', 500);
      await send('cloud', NODE, TCP_PORT, 'noise', 2000);
      await send('client', await lab.podIP('web'), 0, 'noise', 2000);
    });
    const dropped = Object.entries(more).filter(([, value]) => value > 0);
    t.diagnostic(dropped.map(([name, value]) => `${name} ${value}`).join(', '));
    const { pid, workerRestarts } = await askAgent<{ pid: number; workerRestarts: number }>(
      ...([NAME, 'node1', '/status'] as const),
    );
    assert.deepEqual([pid, workerRestarts], [agent, 0]);
    const url = `http://${await lab.clusterIP('web')}:8080/hostname`;
    assert.equal(await lab.run('client', 'curl', '-sm5', url), 'web');
  });
});
