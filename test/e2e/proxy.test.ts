// A lab of two nodes: node1 has the datapath, node2 the kernel's nftables, with the same tables.
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { askAgent } from '../../control/admin-client.ts';
import { agentKubeconfigPath } from '../../lab/places/paths.ts';
import { readAgent } from '../../lab/supervisor/agents.ts';
import {
  assertGone,
  clientCommand,
  clientPod,
  kubetun,
  type Outcome,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-twin';
const NODES = { node1: '172.18.0.11', node2: '172.18.0.12' };
/** Public addresses of the nodes. */
const PUBLIC = { node1: '198.51.100.11', node2: '198.51.100.12' };
const CLIENTS = { node1: 'client1', node2: 'client2' };
const INTERNET = '203.0.113.10';
const NODE_PORT = 30_080;
const LOCAL_PORT = 30_090;
const NO_ADDRESS = '10.96.200.200';

interface Connected {
  answers: Record<string, number>;
  errors: Record<string, number>;
}

const ports = (port: number, more: object = {}) => [{ port, targetPort: 8080, ...more }];
const httpOnly = { selector: { app: 'web' } };
const OBJECTS = [
  serverPod('web1', 'node1'),
  serverPod('web2', 'node2'),
  serverPod('lone', 'node2', { app: 'lone' }),
  clientPod('client1', 'node1'),
  clientPod('client2', 'node2'),
  serviceObject('web', {
    ...httpOnly,
    type: 'NodePort',
    ports: [
      { name: 'http', port: 80, targetPort: 8080, nodePort: NODE_PORT },
      { name: 'udp', port: 81, protocol: 'UDP', targetPort: 8081 },
    ],
  }),
  serviceObject('local', {
    selector: { app: 'lone' },
    type: 'NodePort',
    externalTrafficPolicy: 'Local',
    ports: ports(80, { nodePort: LOCAL_PORT }),
  }),
  serviceObject('inner', {
    selector: { app: 'lone' },
    internalTrafficPolicy: 'Local',
    ports: ports(80),
  }),
  serviceObject('lone', { selector: { app: 'lone' }, ports: ports(80) }),
  serviceObject('sticky', { ...httpOnly, sessionAffinity: 'ClientIP', ports: ports(80) }),
  serviceObject('none', { selector: { app: 'nobody' }, ports: ports(80) }),
];
const TOPOLOGY = { nodes: [{ name: 'node1' }, { name: 'node2', proxy: 'nftables' }] };

let lab: TestLab;

const connect = (from: string, address: string, port: number, count: number) =>
  lab.client<Connected>(from, 'connect', address, port, count);

/** `agent --cleanup`, inside a node. */
function cleanUp(node: string): Promise<Outcome> {
  const agent = ['agent', '--cleanup', '--lab', NAME, '--node', node];
  return lab.start(`node/${node}`, ['scripts/kubetun', ...agent]).done;
}

/** curl's result of one request: the body, or its exit code: 7 is refused, 28 no answer. */
async function curl(from: string, url: string): Promise<string | number> {
  const { child, done } = lab.start(from, ['curl', '-sm2', url]);
  child.stdin?.end();
  const { code, stdout } = await done;
  return code === 0 ? stdout : code!;
}

describe('a lab of both proxies', () => {
  before(async () => {
    lab = startLab(NAME, OBJECTS, TOPOLOGY);
    await lab.untilEndpoints('default/web:http', 2);
    await lab.untilEndpoints('default/sticky:80', 2);
    for (const name of ['local', 'lone']) await lab.untilEndpoints(`default/${name}:80`, 1);
    await lab.untilEndpoints('default/inner:80', 1, ['node2']);
  });
  after(async () => {
    await lab.down();
    assertGone(NAME);
  });

  for (const [node, client] of Object.entries(CLIENTS)) {
    test(`from a pod of ${node}: a ClusterIP reaches every endpoint, with the pod's address`, async () => {
      const { answers, errors } = await connect(client, await lab.clusterIP('web'), 80, 40);
      assert.deepEqual([Object.keys(answers).sort(), errors], [['web1', 'web2'], {}]);
      const seen = await curl(client, `http://${await lab.clusterIP('lone')}/clientip`);
      assert.equal(String(seen).split(':')[0], await lab.podIP(client));
      const { same } = await lab.client<{ same: number }>(
        ...([client, 'udp', await lab.clusterIP('web'), 81, 2000, 3] as const),
      );
      assert.equal(same, 3);
    });

    test(`from a pod of ${node}: refused without an endpoint, on a wrong port, and by echo`, async () => {
      const web = await lab.clusterIP('web');
      assert.equal(await curl(client, `http://${await lab.clusterIP('none')}`), 7);
      assert.equal(await curl(client, `http://${web}:82`), 7);
      const { child, done } = lab.start(client, ['ping', '-c1', '-W2', web]);
      child.stdin?.end();
      assert.match((await done).stdout, /Port Unreachable/);
      // Neither node answers for an unused address.
      assert.equal(await curl(client, `http://${NO_ADDRESS}`), 28);
    });

    test(`from a pod of ${node}: the internet sees the node and a port of its range`, async () => {
      const seen = String(await curl(client, `http://${INTERNET}/clientip`));
      const [address, port] = seen.split(':');
      assert.equal(address, PUBLIC[node as 'node1']);
      assert.ok(Number(port) >= 40_000 && Number(port) <= 65_534, seen);
      await lab.run(client, 'ping', '-c1', '-W2', INTERNET);
    });

    test(`from a pod of ${node}: session affinity keeps one endpoint for a client`, async () => {
      const { answers } = await connect(client, await lab.clusterIP('sticky'), 80, 20);
      assert.deepEqual(Object.values(answers), [20]);
    });

    test(`${node} itself reaches a ClusterIP and its own NodePort`, async () => {
      for (const [address, port] of [
        [await lab.clusterIP('web'), 80],
        [NODES[node as 'node1'], NODE_PORT],
      ] as const) {
        const { answers, errors } = await connect(`node/${node}`, address, port, 20);
        assert.deepEqual([Object.keys(answers).sort(), errors], [['web1', 'web2'], {}]);
      }
    });

    test(`a NodePort of ${node} is reached from the internet, and masqueraded`, async () => {
      const address = PUBLIC[node as 'node1'];
      const { answers, errors } = await connect('internet', address, NODE_PORT, 40);
      assert.deepEqual([Object.keys(answers).sort(), errors], [['web1', 'web2'], {}]);
      const seen = String(await curl('internet', `http://${address}:${NODE_PORT}/clientip`));
      assert.notEqual(seen.split(':')[0], INTERNET);
    });
  }

  test('a pod reaches itself through its Service, and sees its node', async () => {
    const seen = await curl('lone', `http://${await lab.clusterIP('lone')}/clientip`);
    assert.equal(String(seen).split(':')[0], NODES.node2);
  });

  test("policy Local uses endpoints of this node, keeps the client's address, and drops if there are none", async () => {
    const at = (address: string, path = 'hostname') => `http://${address}:${LOCAL_PORT}/${path}`;
    const seen = String(await curl('internet', at(PUBLIC.node2, 'clientip')));
    assert.equal(seen.split(':')[0], INTERNET);
    assert.equal(await curl('internet', at(PUBLIC.node1)), 28);
    for (const from of ['client1', 'client2', 'node/node1', 'node/node2']) {
      assert.equal(await curl(from, at(NODES.node2)), 'lone', from);
    }
    const inner = `http://${await lab.clusterIP('inner')}/hostname`;
    assert.equal(await curl('client2', inner), 'lone');
    assert.equal(await curl('client1', inner), 28);
  });

  test('datapath commands report that node2 has none, and services and status show its proxy', async () => {
    for (const command of [
      ['conntrack', 'list', '--node', 'node2'],
      ['trace', '--node', 'node2'],
      ['explain', '--node', 'node2', '--from', 'default/client2', '--to', 'svc/web:http'],
      ['explain', '--from', 'default/client2', '--to', 'svc/web:http'],
    ]) {
      const { code, stderr } = kubetun('--lab', NAME, ...command);
      assert.equal(code, 1, command.join(' '));
      assert.match(stderr, /^kubetun: node2 runs --proxy nftables.*nf_conntrack.*\n$/);
    }
    const { stdout } = kubetun(
      ...['--lab', NAME, 'explain', '--from', 'client1', '--to', 'svc/lone:80'],
    );
    assert.match(stdout, /node2 +unknown +this node has no datapath/);
    const rows = await lab.json<{ service: string; eligible: string[] }[]>(
      ...['services', '--node', 'node2'],
    );
    assert.equal(rows.find(({ service }) => service === 'default/web:http')?.eligible.length, 2);
    const { nodes } = await lab.json<{ nodes: { proxy: string }[] }>('lab', 'status');
    assert.deepEqual(
      nodes.map(({ proxy }) => proxy),
      ['kubetun', 'nftables'],
    );
  });

  test('a removed endpoint gets no new connection on either node', async () => {
    const label = (app: string) =>
      lab.kube.patch(
        ...([
          'Pod',
          { namespace: 'default', name: 'web1' },
          { metadata: { labels: { app } } },
        ] as const),
      );
    await label('gone');
    await lab.untilEndpoints('default/web:http', 1);
    for (const client of Object.values(CLIENTS)) {
      const { answers, errors } = await connect(client, await lab.clusterIP('web'), 80, 20);
      assert.deepEqual([answers, errors], [{ web2: 20 }, {}]);
      const sticky = await connect(client, await lab.clusterIP('sticky'), 80, 5);
      assert.deepEqual(sticky.answers, { web2: 5 });
    }
    await label('web');
    await lab.untilEndpoints('default/web:http', 2);
  });

  test('an agent killed on node2 leaves its rules and affinity in force for the next one', async () => {
    const vip = await lab.clusterIP('web');
    const sticky = await lab.clusterIP('sticky');
    const { answers: before } = await connect('client2', sticky, 80, 3);
    const held = lab.start('client2', clientCommand('idle', vip, 80, 20));
    await until('connections are open', () => held.output().includes('open'));
    const killed = readAgent(NAME, 'node2')!;
    process.kill(killed.pid, 'SIGSTOP');
    process.kill(killed.pid, 'SIGKILL');
    const load = await connect('client2', vip, 80, 200);
    assert.deepEqual(load.errors, {});
    await until('another agent has its table in force', async () => {
      const status = await askAgent<{ pid: number; synced: boolean }>(
        ...([NAME, 'node2', '/status'] as const),
      ).catch(() => null);
      return status !== null && status.pid !== killed.pid && status.synced;
    });
    held.child.stdin?.end();
    const { stdout } = await held.done;
    assert.deepEqual(JSON.parse(stdout.split('\n')[1]!), { opened: 20, answered: 20 });
    const { answers: after } = await connect('client2', sticky, 80, 20);
    assert.deepEqual(Object.keys(after), Object.keys(before));
  });

  test('an unsupported NetworkPolicy is reported once', async () => {
    await lab.kube.create('NetworkPolicy', {
      metadata: { namespace: 'default', name: 'deny' },
      spec: { podSelector: { matchLabels: { app: 'lone' } }, policyTypes: ['Ingress'] },
    });
    const log = () => lab.run('node/node2', 'cat', `/run/kubetun/${NAME}/agents/node2.log`);
    await until('the agent warns', async () => (await log()).includes('are not enforced'));
    assert.equal((await log()).split('are not enforced').length, 2);
    const { stdout, stderr } = kubetun('--lab', NAME, 'policy', 'list', '--node', 'node2');
    assert.match(stdout, /default\/deny/);
    assert.match(stderr, /node2 runs --proxy nftables: it does not enforce them/);
    assert.equal(await curl('client2', `http://${await lab.clusterIP('lone')}/hostname`), 'lone');
  });

  for (const node of Object.keys(NODES)) {
    test(`cleaning up ${node} is refused while its agent runs or hangs`, async () => {
      const { pid } = readAgent(NAME, node)!;
      const applied = () => lab.run(`node/${node}`, 'sh', '-c', 'ip rule; nft list tables');
      const before = await applied();
      for (const signal of ['SIGCONT', 'SIGSTOP'] as const) {
        process.kill(pid, signal);
        try {
          const { code, stderr } = await cleanUp(node);
          assert.equal(code, 1, signal);
          assert.match(stderr, new RegExp(`^kubetun: .*process ${pid}: stop that process.*\n$`));
          assert.equal(await applied(), before);
        } finally {
          process.kill(pid, 'SIGCONT');
        }
      }
    });
  }

  test("cleaning up after the agent's end removes its table only", async () => {
    await lab.run('node/node2', 'nft', 'add', 'table', 'ip', 'other');
    const path = agentKubeconfigPath(NAME);
    // The supervisor restarts agents, and each fails at this file.
    renameSync(path, `${path}.away`);
    try {
      process.kill(readAgent(NAME, 'node2')!.pid, 'SIGKILL');
      await until('node2 is cleaned up', async () => (await cleanUp('node2')).code === 0);
      assert.equal(await lab.run('node/node2', 'nft', 'list', 'tables'), 'table ip other\n');
    } finally {
      renameSync(`${path}.away`, path);
    }
  });
});
