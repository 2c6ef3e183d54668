// Rules of Services that need several packets or more than the datapath, with real clients.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
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

interface Connected {
  answers: Record<string, number>;
  errors: Record<string, number>;
}

const NAME = 'rules-e2e';
const NODE1 = '198.51.100.11';
const NODE2 = '198.51.100.12';
const UDP_PORTS = [{ name: 'udp', port: 81, protocol: 'UDP', targetPort: 8081 }];
let lab: TestLab;

describe('rules of Services', () => {
  before(async () => {
    lab = startLab(NAME, [
      serverPod('a1', 'node1', { app: 'a' }),
      serverPod('a2', 'node2', { app: 'a' }),
      serverPod('a3', 'node2', { app: 'a' }),
      serverPod('u1', 'node1', { app: 'u' }),
      serverPod('u2', 'node2', { app: 'later' }),
      serverPod('l1', 'node1', { app: 'l' }),
      clientPod('client1', 'node1'),
      clientPod('client2', 'node2'),
      serviceObject('sticky', {
        selector: { app: 'a' },
        sessionAffinity: 'ClientIP',
        ports: [{ port: 80, targetPort: 8080 }],
      }),
      serviceObject('udp', { selector: { app: 'u' }, ports: UDP_PORTS }),
      serviceObject('local', {
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        selector: { app: 'l' },
        ports: [{ port: 80, targetPort: 8080 }],
      }),
    ]);
    await lab.untilEndpoints('default/sticky:80', 3);
    await lab.untilEndpoints('default/udp:udp', 1);
    await lab.untilEndpoints('default/local:80', 1);
  });
  after(() => lab.down());

  const label = (name: string, app: string) =>
    lab.kube.patch('Pod', { namespace: 'default', name }, { metadata: { labels: { app } } });
  const connect = async (from: string, count: number) => {
    const address = await lab.clusterIP('sticky');
    const { answers, errors } = await lab.client<Connected>(from, 'connect', address, 80, count);
    assert.deepEqual(errors, {});
    return Object.keys(answers);
  };

  test('a client keeps its endpoint until that is gone, also across agent restarts', async () => {
    const first = await connect('client1', 50);
    assert.equal(first.length, 1);
    assert.equal((await connect('client2', 50)).length, 1);
    const killed = readAgent(NAME, 'node1')!;
    process.kill(killed.pid, 'SIGKILL');
    await lab.untilNewAgent('node1', killed.pid);
    assert.deepEqual(await connect('client1', 50), first);
    await label(first[0]!, 'gone');
    await lab.untilEndpoints('default/sticky:80', 2);
    const second = await connect('client1', 50);
    assert.equal(second.length, 1);
    assert.notDeepEqual(second, first);
  });

  test('a UDP client with one port moves to the new endpoint at its next datagram', async (t) => {
    const steady = lab.start(
      'client1',
      clientCommand('udp-steady', await lab.clusterIP('udp'), 81),
    );
    const names = () => steady.output().trim().split('\n');
    await until('a stream of answers', () => names().length > 150);
    assert.deepEqual([...new Set(names())], ['u1']);
    await label('u2', 'u');
    await lab.untilEndpoints('default/udp:udp', 2);
    assert.deepEqual(
      [...new Set(names())],
      ['u1'],
      'an additional endpoint does not move the client',
    );
    await label('u1', 'gone');
    await lab.untilEndpoints('default/udp:udp', 1);
    // Replies wait in the pipe of a client on a busy machine.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = names().length;
    await until('answers after the change', () => names().length > before + 20);
    // One datagram may have been in transit when the table changed.
    const after = names().slice(before + 1);
    assert.deepEqual([...new Set(after)], ['u2']);
    t.diagnostic(`${before} answers before the change, ${after.length} after it`);
    steady.child.stdin!.end();
    await steady.done;
  });

  const ask = async (address: string, port: number, path = '/') => {
    const url = `http://${address}:${port}${path}`;
    const text = await lab.run('internet', 'curl', '-sm5', '-w', '%{http_code}', url);
    const [body, code] = text.split('\n');
    return { code: Number(code), body: JSON.parse(body!) };
  };

  test('a load balancer learns which nodes have an endpoint', async () => {
    const { spec } = await lab.kube.get('Service', { namespace: 'default', name: 'local' });
    const port = spec!.healthCheckNodePort!;
    const here = await ask(NODE1, port);
    assert.deepEqual([here.code, here.body.localEndpoints], [200, 1]);
    assert.deepEqual(here.body.service, { namespace: 'default', name: 'local' });
    const there = await ask(NODE2, port);
    assert.deepEqual([there.code, there.body.localEndpoints], [503, 0]);
    await label('l1', 'gone');
    await until('the health port answers 503', async () => (await ask(NODE1, port)).code === 503);
  });

  test('a node that will be removed fails healthz and passes livez', async () => {
    assert.equal((await ask(NODE2, 10_256, '/healthz')).code, 200);
    const taint = { key: 'ToBeDeletedByClusterAutoscaler', value: '1', effect: 'NoSchedule' };
    await lab.kube.patch('Node', { name: 'node2' }, { spec: { taints: [taint] } });
    await until(
      'the node answers 503',
      async () => (await ask(NODE2, 10_256, '/healthz')).code === 503,
    );
    assert.equal((await ask(NODE2, 10_256, '/livez')).code, 200);
    assert.equal((await ask(NODE1, 10_256, '/healthz')).code, 200);
  });
});
