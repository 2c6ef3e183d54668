// explain on a live lab: it predicts real traffic and changes nothing.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { askAgent } from '../../control/admin-client.ts';
import type { Explanation } from '../../control/explain/explanation.ts';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import {
  clientCommand,
  clientPod,
  kubetun,
  serverPod,
  serviceObject,
  type TestLab,
  until,
} from '../support/lab.ts';
import { takeLab } from '../support/shared-lab.ts';
import { startTrace } from '../support/trace.ts';

let lab: TestLab;

function explain(...args: string[]): Promise<Explanation> {
  return lab.json<Explanation>('explain', ...args);
}

interface Flow {
  id: number;
  service: string | null;
  original: { src: string; sport: number };
  reply: { src: string };
}

describe('explain', () => {
  before(async () => {
    lab = await takeLab('e2e-expl', [
      serverPod('web1', 'node1'),
      serverPod('web2', 'node2'),
      serverPod('one', 'node2', { app: 'one' }),
      clientPod('client', 'node1'),
      serviceObject('web', { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] }),
      serviceObject('one', {
        ...{ type: 'NodePort', selector: { app: 'one' } },
        ports: [{ port: 80, targetPort: 'http', nodePort: 30_100 }],
      }),
    ]);
    await lab.untilEndpoints('default/web:80', 2);
    await lab.untilEndpoints('default/one:80', 1);
  });
  after(() => lab.down());

  test('predicts what happens to real packets', async () => {
    const said = await explain('--from', 'client', '--to', 'svc/one');
    assert.deepEqual([said.verdict, said.chosen?.by], ['forward', 'only']);
    assert.match(said.steps.at(-1)!.text, /pod default\/one/);
    const url = `http://${await lab.clusterIP('one')}/hostname`;
    assert.equal(await lab.run('client', 'curl', '-sm5', url), 'one');
    const there = await explain(
      ...['--from', '203.0.113.10', '--to', '172.18.0.11:30100', '--node', 'node1'],
    );
    assert.equal(there.masquerade, 'external');
    const seen = await lab.run('internet', 'curl', '-sm5', 'http://198.51.100.11:30100/clientip');
    assert.equal(seen.split(':')[0], there.translated!.src);
  });

  test('says that a lab with dns: false resolves no names', async () => {
    const name = { namespace: 'kube-system', name: 'kube-dns' };
    await assert.rejects(lab.kube.get('Service', name), { status: 404 });
    const found = await explain('--from', 'client', '--to', 'web:80');
    assert.deepEqual([found.verdict, found.reason], ['unresolved', 'query-unallocated']);
    assert.match(found.steps.map(({ text }) => text).join(), /cluster has no DNS.*dns: false/);
    assert.equal(await lab.succeeds('client', 'timeout', '3', 'getent', 'ahostsv4', 'web'), false);
  });

  test('follows packets from outside and packets that leave, through the cloud', async () => {
    const nodes = ({ steps }: Explanation) => [...new Set(steps.map((step) => step.node))];
    const inward = await explain('--from', '203.0.113.10', '--to', '198.51.100.11:30100');
    assert.deepEqual(nodes(inward), ['cloud', 'node1', 'node2']);
    assert.deepEqual([inward.service, inward.masquerade], ['default/one:80', 'external']);
    assert.match(inward.steps.at(-1)!.text, /pod default\/one/);
    const outward = await explain('--from', 'client', '--to', '203.0.113.10:80');
    assert.deepEqual(nodes(outward), ['node1', 'cloud']);
    assert.match(outward.steps.map((step) => step.text).join(), /198\.51\.100\.11:\d+ -> 203/);
    const unknown = await explain('--from', '203.0.113.10', '--to', '172.18.0.11:30100');
    assert.deepEqual([unknown.verdict, unknown.reason], ['drop', 'foreign-source']);
  });

  test('knows existing connections and their replies', async () => {
    const address = await lab.clusterIP('web');
    const ask = (sport: number) =>
      explain('--from', 'client', '--to', `${address}:80`, '--sport', String(sport));
    const idle = lab.start('client', clientCommand('idle', address, 80, 1));
    let flow: Flow | undefined;
    await until('a connection is there', async () => {
      const flows = await lab.json<Flow[]>(
        ...['conntrack', 'list', '--node', 'node1', '--dst', address, '--state', 'ESTABLISHED'],
      );
      flow = flows[0];
      return flow !== undefined;
    });
    assert(flow);
    const again = await ask(flow.original.sport);
    assert.deepEqual([again.reason, again.chosen?.by], ['flow', 'flow']);
    const answer = await explain('--node', 'node1', '--flow', String(flow.id));
    assert.equal(answer.original?.src, flow.reply.src);
    assert.deepEqual(answer.translated, {
      ...{ src: address, sport: 80, dst: flow.original.src, dport: flow.original.sport },
    });
    assert.match(answer.steps.at(-1)!.text, /pod default\/client/);
    idle.child.stdin!.end();
    await idle.done;
    await lab.run('client', 'curl', '-sm5', '--local-port', '45678', `http://${address}/hostname`);
    // The next SYN replaces a closed connection.
    assert.equal((await ask(45_678)).chosen?.by, 'random');
  });

  test('changes no flow, counter or other word of the live tables', async () => {
    const state = async () => ({
      flows: await lab.json<object[]>(
        'conntrack',
        'list',
        '--node',
        'node1',
        '--dst',
        '10.96.255.1',
      ),
      rejects: (await lab.counters('node1'))['reject-no-endpoint']!,
      status: await askAgent<{ generation: number; acknowledged: number }>(
        lab.name,
        'node1',
        '/status',
      ),
    });
    const before = await state();
    assert.equal(typeof before.rejects, 'number');
    for (const to of ['svc/web', '10.96.255.1:80', '10.96.0.1:1', '203.0.113.10:80/udp']) {
      await explain('--from', 'client', '--to', to);
    }
    assert.deepEqual(await state(), before);
  });

  test('trace prints live packets with names, and stops at its count', async () => {
    const trace = startTrace(lab.name, '--node', 'node1', 'svc/one', 'new', '--count', '3');
    let code: number | null | undefined;
    trace.ended.then((ended) => {
      code = ended;
    });
    const address = await lab.clusterIP('one');
    await until('the trace has three connections', async () => {
      await lab.run('client', 'curl', '-sm5', `http://${address}/hostname`);
      return code !== undefined;
    });
    assert.equal(code, 0);
    const lines = trace.text().trim().split('\n');
    assert.equal(lines.length, 3, trace.text());
    for (const line of lines) {
      assert.match(
        line,
        /^tcp S .*\(pod default\/client\) > .*: forward \(new, default\/one:80\) as /,
      );
      assert.match(line, /\(pod default\/one\)$/);
    }
  });

  test('trace ends on a signal, with the exit code of shells', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const trace = startTrace(lab.name, '--node', 'node1', 'new');
      after(() => trace.stop('SIGKILL'));
      await until('the trace prints a packet', async () => {
        await lab.run('client', 'curl', '-sm5', `http://${await lab.clusterIP('one')}/hostname`);
        return trace.text() !== '';
      });
      trace.stop(signal);
      assert.equal(await trace.ended, code);
    }
  });

  test('answers wrong arguments with one line', () => {
    for (const [args, message] of [
      [['--from', 'client'], /--from and --to are both required/],
      [['--from', 'nobody', '--to', 'svc/web'], /there is no pod default\/nobody with an address/],
      [['--flow', '1'], /--flow needs --node/],
      [['--from', 'client', '--to', 'svc/web', '--node', 'node7'], /has no node node7/],
    ] as const) {
      const { code, stderr } = kubetun('--lab', lab.name, 'explain', ...args);
      assert.match(stderr, message);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
      assert.notEqual(code, 0);
    }
  });

  test('a long batch follows the lab: changed endpoints, new pods', async () => {
    const kubetun = join(PROJECT_ROOT, 'scripts/kubetun');
    const batch = spawn(kubetun, ['--lab', lab.name, 'explain', '--batch'], { stdio: 'pipe' });
    let output = '';
    batch.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ask = async (from: string) => {
      const before = output.split('\n').length;
      batch.stdin.write(`${JSON.stringify({ from, to: 'svc/one' })}\n`);
      await until('an answer', () => output.split('\n').length > before);
      return JSON.parse(output.split('\n').at(-2)!) as Explanation & { error?: string };
    };
    assert.equal((await ask('client')).eligible.length, 1);
    assert.match((await ask('late')).error!, /no pod default\/late/);
    await lab.kube.create('Pod', serverPod('late', 'node1', { app: 'one' }) as never);
    await lab.untilEndpoints('default/one:80', 2);
    assert.equal((await ask('client')).eligible.length, 2);
    await until('the new pod has a name', async () => !(await ask('late')).error);
    batch.stdin.end();
    const [code] = await once(batch, 'exit');
    assert.equal(code, 0);
  });
});
