// A full table, and no free ports: existing flows stay, and every refusal has a name. With
// KUBETUN_FLOOD=full a million sources meet a table of half as many flows; otherwise a smaller
// table meets fewer.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { namespaceOf } from '../../../lab/places/names.ts';
import { readAgent } from '../../../lab/supervisor/agents.ts';
import {
  clientCommand,
  clientPod,
  iperfPod,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../../support/lab.ts';

const NAME = 'e2e-flood';
const FULL = process.env.KUBETUN_FLOOD === 'full';
const FLOWS = FULL ? 524_288 : 65_536;
const SOURCES = FULL ? 1_000_000 : 160_000;
const RATE = 20_000;
const IDLE = 200;
const ANON_KIB_GROWTH_MAX = 48 * 1024;
let lab: TestLab;

interface Count {
  flows: number;
  capacity: number;
  byState: Record<string, number>;
}

const count = () => lab.json<Count>('conntrack', 'count', '--node', 'node1');

const counters = () => lab.counters('node1');

/** Private memory of node1's agent: the arena is a file of fixed size. */
function anonymousKib(): number {
  const { pid } = readAgent(NAME, 'node1')!;
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)![1]);
}

interface Iperf {
  intervals: { sum: { bits_per_second: number } }[];
}

function gbits({ intervals }: Iperf): number[] {
  return intervals.map(({ sum }) => Number((sum.bits_per_second / 1e9).toFixed(1)));
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

describe('a flood', () => {
  before(async () => {
    lab = startLab(
      NAME,
      [
        serverPod('web', 'node1'),
        serverPod('remote', 'node2', { app: 'remote' }),
        iperfPod('iperf', 'node2'),
        clientPod('client', 'node1'),
        serviceObject('web', {
          ...{ type: 'NodePort', selector: { app: 'web' }, externalTrafficPolicy: 'Local' },
          ports: [{ port: 80, targetPort: 'http', nodePort: 30_200 }],
        }),
        serviceObject('remote', {
          ...{ type: 'NodePort', selector: { app: 'remote' } },
          ports: [{ port: 80, targetPort: 'http', nodePort: 30_201 }],
        }),
        serviceObject('iperf', { selector: { app: 'iperf' }, ports: [{ port: 5201 }] }),
      ],
      { nodes: 2, flows: FLOWS },
    );
    await lab.untilEndpoints('default/web:80', 1);
    await lab.untilEndpoints('default/remote:80', 1);
    await lab.untilEndpoints('default/iperf:5201', 1);
    // Replies to unknown sources end at the edge, as in the network outside.
    const drop = ['-n', namespaceOf(NAME, 'cloud')].concat(
      'rule add pref 1 to 11.0.0.0/8 blackhole'.split(' '),
    );
    assert.equal(spawnSync('ip', drop).status, 0);
  });
  after(() => lab.down());

  test('of SYNs from sources that do not exist fills the table and breaks no connection', async (t) => {
    const address = await lab.clusterIP('web');
    const idle = lab.start('client', clientCommand('idle', address, 80, IDLE));
    await until('idle connections are open', () => idle.output().startsWith('open'));
    const before = { count: await count(), kib: anonymousKib(), counters: await counters() };
    const seconds = Math.ceil(SOURCES / RATE);
    const vip = await lab.clusterIP('iperf');
    const iperf = lab.start('client', [
      ...['iperf3', '-c', vip, '-J', '-C', 'cubic', '-t', String(seconds + 8)],
    ]);
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const flood = await lab.client<{ sent: number; refused: number; seconds: number }>(
      ...(['internet', 'flood', '198.51.100.11', 30_200, SOURCES, RATE] as const),
    );
    const during = { count: await count(), kib: anonymousKib(), counters: await counters() };
    const result = JSON.parse((await iperf.done).stdout) as Iperf;
    idle.child.stdin?.end();
    const { answered } = JSON.parse((await idle.done).stdout.split('\n')[1]!) as {
      answered: number;
    };
    const after = { count: await count(), kib: anonymousKib() };

    const rates = gbits(result);
    const [quiet, flooded] = [median(rates.slice(1, 4)), median(rates.slice(4, 4 + seconds))];
    const grown = (name: string) => during.counters[name]! - before.counters[name]!;
    t.diagnostic(
      `${flood.sent} SYNs in ${flood.seconds} s, ${flood.refused} not taken by the kernel`,
    );
    t.diagnostic(
      `table ${during.count.flows} of ${during.count.capacity}; evicted ${grown('flows-evicted')}, refused ${grown('table-full')}`,
    );
    t.diagnostic(`idle connections: ${answered} of ${IDLE} answer; lost ${IDLE - answered}`);
    t.diagnostic(
      `iperf3, Gbit/s: ${quiet} before, ${flooded} during: ${(flooded / quiet).toFixed(2)} of it (${rates.join(' ')})`,
    );
    t.diagnostic(
      `agent's own memory, MiB: ${[before, during, after].map(({ kib }) => (kib / 1024).toFixed(0)).join(', ')}`,
    );
    assert.equal(answered, IDLE);
    assert.ok(during.count.flows > FLOWS * 0.95, `the table is full: ${during.count.flows}`);
    assert.ok(grown('flows-evicted') > 0, 'half-open flows give way');
    assert.ok(
      rates.every((rate) => rate > 0),
      'bytes flow in every second',
    );
    assert.ok(
      after.kib - before.kib < ANON_KIB_GROWTH_MAX,
      `memory grew by ${after.kib - before.kib} KiB`,
    );
    const { answers } = await lab.client<{ answers: Record<string, number> }>(
      ...(['client', 'connect', address, 80, 20] as const),
    );
    assert.deepEqual(
      answers,
      { web: 20 },
      'new connections are made at the cost of half-open ones',
    );
  });

  test('of masqueraded connections is dropped and counted when no port is left', async (t) => {
    const before = await counters();
    const sources = 40_000;
    await lab.client('internet', 'flood', '198.51.100.11', 30_201, sources, RATE);
    const after = await counters();
    const refused = after['snat-ports']! - before['snat-ports']!;
    t.diagnostic(
      `${sources} connections to one endpoint through one node: ${refused} found no port`,
    );
    assert.ok(refused > 0, 'the range has 25,535 ports');
    // To another endpoint every port is free, and flows without masquerade are not affected.
    const url = `http://${await lab.clusterIP('remote')}/hostname`;
    assert.equal(await lab.run('client', 'curl', '-sm5', url), 'remote');
    const outside = await lab.run('client', 'curl', '-sm5', 'http://203.0.113.10/clientip');
    assert.match(outside, /^198\.51\.100\.11:/);
  });
});
