import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  clientCommand,
  clientPod,
  NODE,
  serverPod,
  serviceObject,
  type TestLab,
  until,
} from '../support/lab.ts';
import { takeLab } from '../support/shared-lab.ts';

interface Connected {
  answers: Record<string, number>;
  errors: Record<string, number>;
}
interface Echoed {
  sent: number;
  same: number;
  other: number;
  errors: Record<string, number>;
}

const PORTS = [
  { name: 'http', port: 80, targetPort: 'http' },
  { name: 'udp', port: 81, protocol: 'UDP', targetPort: 8081 },
];
const NODES: Record<string, string> = { node1: '172.18.0.11', node2: '172.18.0.12' };
/** Public addresses of the nodes. */
const PUBLIC: Record<string, string> = { node1: '198.51.100.11', node2: '198.51.100.12' };
const INTERNET = '203.0.113.10';
/** A server of datagrams that a test starts in the pod `two`. */
const STREAM_PORT = 9082;
const BURSTS = 60;
/**
 * A server on the address that every node has for its pods; it answers with the client's address.
 */
const WHO = `require('node:http').createServer((q, r) => r.end(q.socket.remoteAddress))
  .listen(8088, '169.254.1.1')`;
let lab: TestLab;

describe('Services', () => {
  before(async () => {
    lab = await takeLab('e2e-svc', [
      serverPod('web1', 'node1'),
      serverPod('web2', 'node1'),
      serverPod('web3', 'node2'),
      serverPod('one', 'node1', { app: 'one' }),
      serverPod('two', 'node2', { app: 'two' }),
      clientPod('client1', 'node1'),
      clientPod('client2', 'node2'),
      serviceObject('web', { selector: { app: 'web' }, ports: PORTS }),
      serviceObject('one', {
        type: 'NodePort',
        selector: { app: 'one' },
        ports: PORTS.map((port, i) => ({ ...port, nodePort: 30_001 + i })),
      }),
      serviceObject('mine', {
        ...{ selector: { app: 'two' }, externalIPs: [NODES.node1] },
        ports: [{ port: 8081, targetPort: 'http' }],
      }),
      serviceObject('far', { ports: [{ port: 80 }] }),
      {
        ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
        metadata: { name: 'far-1', labels: { 'kubernetes.io/service-name': 'far' } },
        ...{ ports: [{ port: 80 }], endpoints: [{ addresses: [INTERNET] }] },
      },
      serviceObject('two', { selector: { app: 'two' }, ports: PORTS }),
      serviceObject('stream', {
        selector: { app: 'two' },
        ports: [{ port: 82, protocol: 'UDP', targetPort: STREAM_PORT }],
      }),
      serviceObject('none', {
        type: 'NodePort',
        selector: { app: 'none' },
        ports: PORTS.map((port, i) => ({ ...port, nodePort: 30_011 + i })),
      }),
    ]);
    await lab.untilEndpoints('default/web:http', 3);
    await lab.untilEndpoints('default/one:http', 1);
    await lab.untilEndpoints('default/two:http', 1);
    await lab.untilEndpoints('default/far:80', 1);
    await lab.untilEndpoints('default/stream:82', 1);
    await lab.untilEndpoints('default/mine:8081', 1);
  });
  after(() => lab.down());

  const tcp = (from: string, address: string, port: number, count = 1) =>
    lab.client<Connected>(from, 'connect', address, port, count);
  const udp = (from: string, address: string, port: number, bytes: number, count = 1) =>
    lab.client<Echoed>(from, 'udp', address, port, bytes, count);

  for (const [service, where] of [
    ['one', 'the same node'],
    ['two', 'the other node'],
  ] as const) {
    test(`TCP through a ClusterIP to ${where}`, async () => {
      const { answers, errors } = await tcp('client1', await lab.clusterIP(service), 80, 20);
      assert.deepEqual({ answers, errors }, { answers: { [service]: 20 }, errors: {} });
    });

    test(`UDP through a ClusterIP to ${where}, also in fragments`, async () => {
      const address = await lab.clusterIP(service);
      for (const bytes of [10, 1400, 2000, 9000]) {
        const { same, other } = await udp('client1', address, 81, bytes, 5);
        assert.deepEqual({ bytes, same, other }, { bytes, same: 5, other: 0 });
      }
    });
  }

  test('datagrams that a node merges arrive on the other complete and unchanged', async () => {
    const before = await lab.counters('node1');
    const receiver = lab.start('two', clientCommand('udp-stream', 'receive', STREAM_PORT));
    await until('the receiver listens', () => receiver.output().includes('ready'));
    const address = await lab.clusterIP('stream');
    await lab.run('client1', ...clientCommand('udp-stream', 'send', address, 82, BURSTS));
    await until('the receiver has ended', () => receiver.output().includes('received'));
    const [, seen] = receiver.output().trim().split('\n');
    const expected = { received: BURSTS * 48, damaged: 0, outOfOrder: 0 };
    assert.deepEqual(JSON.parse(seen!), expected);
    const [names, values] = (await lab.run('two', 'grep', '^Udp:', '/proc/net/snmp'))
      .split('\n')
      .map((line) => line.split(' ')) as [string[], string[]];
    assert.equal(values[names.indexOf('InCsumErrors')], '0');
    const after = await lab.counters('node1');
    const grown = (name: string) => after[name]! - before[name]!;
    assert.ok(grown('merged-packets') > BURSTS, `${grown('merged-packets')} were merged`);
    assert.equal(grown('write-errors'), 0);
  });

  test('the server of a ClusterIP sees the address of the client pod', async () => {
    const seen = await lab.run(
      'client1',
      'curl',
      '-sm5',
      `http://${await lab.clusterIP('two')}/clientip`,
    );
    assert.equal(seen.split(':')[0], await lab.podIP('client1'));
  });

  test('a pod reaches itself through its Service, and sees its node', async () => {
    const url = `http://${await lab.clusterIP('one')}`;
    assert.equal(await lab.run('one', 'curl', '-sm5', `${url}/hostname`), 'one');
    const seen = await lab.run('one', 'curl', '-sm5', `${url}/clientip`);
    assert.equal(seen.split(':')[0], NODES.node1);
    const { same } = await udp('one', await lab.clusterIP('one'), 81, 100, 3);
    assert.equal(same, 3);
  });

  test('the node itself reaches a ClusterIP', async () => {
    for (const node of ['node/node1', 'node/node2']) {
      const { answers } = await tcp(node, await lab.clusterIP('one'), 80, 5);
      assert.deepEqual(answers, { one: 5 });
    }
  });

  for (const [node, address] of Object.entries(PUBLIC)) {
    test(`a NodePort of ${node} is reached from the internet, and masqueraded`, async () => {
      const { answers, errors } = await tcp('internet', address, 30_001, 20);
      assert.deepEqual({ answers, errors }, { answers: { one: 20 }, errors: {} });
      const seen = await lab.run('internet', 'curl', '-sm5', `http://${address}:30001/clientip`);
      assert.equal(seen.split(':')[0], NODES[node]);
      const { same } = await udp('internet', address, 30_002, 2000, 3);
      assert.equal(same, 3);
    });
  }

  test('a pod reaches the internet with the public address of its node and a port of its range', async () => {
    for (const [pod, node] of [
      ['client1', 'node1'],
      ['client2', 'node2'],
    ]) {
      const seen = await lab.run(pod!, 'curl', '-sm5', `http://${INTERNET}/clientip`);
      const [address, port] = seen.split(':');
      assert.equal(address, PUBLIC[node!]);
      assert.ok(Number(port) >= 40_000, `${port} is in the masquerade range`);
      const { same } = await udp(pod!, INTERNET, 8081, 2000, 3);
      assert.equal(same, 3);
    }
  });

  test('ping from a pod reaches a pod, the node and the internet', async () => {
    for (const address of [await lab.podIP('two'), '172.18.0.12', INTERNET]) {
      await lab.run('client1', 'ping', '-c2', '-i0.2', '-W2', address);
    }
  });

  test('a node lowers the TTL in transit, not from or to its own pods', async () => {
    const ttlOf = async (from: string, address: string) =>
      /ttl=(\d+)/.exec(await lab.run(from, 'ping', '-c1', '-W2', address))?.[1];
    assert.equal(await ttlOf('node/node1', await lab.podIP('client1')), '64');
    assert.equal(await ttlOf('node/node1', await lab.podIP('client2')), '63');
    assert.equal(await ttlOf('client1', NODES.node1!), '64');
    assert.equal(await ttlOf('client1', NODES.node2!), '63');
    assert.equal(await ttlOf('client1', await lab.podIP('client2')), '62');
  });

  test('pods reach each other without a Service and without translation', async () => {
    const seen = await lab.run(
      'client1',
      'curl',
      '-sm5',
      `http://${await lab.podIP('two')}:8080/clientip`,
    );
    assert.equal(seen.split(':')[0], await lab.podIP('client1'));
  });

  test("a local address of the pod's own node sees the pod's address", async () => {
    const server = lab.start('node/node1', [NODE, '-e', WHO]);
    const who = () => lab.start('client1', ['curl', '-sm2', 'http://169.254.1.1:8088/']).done;
    await until('the server answers', async () => (await who()).code === 0);
    assert.equal((await who()).stdout, await lab.podIP('client1'));
    server.child.kill('SIGKILL');
    await server.done;
  });

  test('an endpoint outside the cluster is reached through a ClusterIP and the name of the node', async () => {
    const url = `http://${await lab.clusterIP('far')}/clientip`;
    for (const [pod, node] of [
      ['client1', 'node1'],
      ['client2', 'node2'],
    ]) {
      assert.equal((await lab.run(pod!, 'curl', '-sSm5', url)).split(':')[0], PUBLIC[node!]);
    }
  });

  test("the node's own external address leads to the Service on its port only", async () => {
    const { answers, errors } = await tcp('node/node1', NODES.node1!, 8081, 5);
    assert.deepEqual({ answers, errors }, { answers: { two: 5 }, errors: {} });
    for (const from of ['client1', 'client2', 'node/node2']) {
      assert.deepEqual((await tcp(from, NODES.node1!, 8081, 2)).answers, { two: 2 });
    }
    assert.deepEqual((await tcp('node/node1', NODES.node1!, 8082)).errors, { ECONNREFUSED: 1 });
  });

  test('the API server is reached through the Service kubernetes', async () => {
    const answer = await lab.run('client2', 'curl', '-skm5', 'https://10.96.0.1/healthz');
    assert.match(answer, /Unauthorized/);
  });

  const refusals: [what: string, from: string, address: () => Promise<string>, port: number][] = [
    ['a Service without endpoints', 'client1', () => lab.clusterIP('none'), 80],
    ['a Service without endpoints, from the node,', 'node/node1', () => lab.clusterIP('none'), 80],
    ['a NodePort without endpoints', 'internet', async () => PUBLIC.node1!, 30_011],
    ['a port that the Service does not have', 'client1', () => lab.clusterIP('web'), 9999],
  ];
  for (const [what, from, address, port] of refusals) {
    test(`${what} refuses at once`, async () => {
      const begun = performance.now();
      const { answers, errors } = await tcp(from, await address(), port);
      assert.deepEqual({ answers, errors }, { answers: {}, errors: { ECONNREFUSED: 1 } });
      assert.ok(performance.now() - begun < 3000, 'not after a time-out');
      const { errors: udpErrors } = await udp(from, await address(), port + 1, 10);
      assert.deepEqual(udpErrors, { ECONNREFUSED: 1 });
    });
  }

  test('10,000 connections are spread evenly, and none is lost', async (t) => {
    const count = 10_000;
    const { answers, errors } = await tcp('client1', await lab.clusterIP('web'), 80, count);
    assert.deepEqual(errors, {});
    const expected = count / 3;
    const seen = ['web1', 'web2', 'web3'].map((name) => answers[name] ?? 0);
    assert.equal(
      seen.reduce((a, b) => a + b),
      count,
    );
    const chiSquare = seen.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    t.diagnostic(`${seen.join(' / ')}, chi-square ${chiSquare.toFixed(2)}`);
    // Two degrees of freedom: p = exp(-x/2), so 27.63 is p = 1e-6.
    assert.ok(chiSquare < 27.63, `${seen}`);
  });
});
