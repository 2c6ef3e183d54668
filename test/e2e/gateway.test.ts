// The edge of a lab: public addresses of nodes, allowed senders, and load balancers with health
// checks.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { askAgent } from '../../control/admin-client.ts';
import { namespaceOf } from '../../lab/places/names.ts';
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
import { SUMMED, wrongSums } from '../support/tshark.ts';

interface Connected {
  answers: Record<string, number>;
  errors: Record<string, number>;
}
interface Echoed {
  same: number;
}
interface Row {
  service: string;
  eligible: string[];
}

const NAME = 'e2e-edge';
const NODES = ['node1', 'node2'];
const PUBLIC = ['198.51.100.11', '198.51.100.12'];
const INTERNET = '203.0.113.10';
const PORTS = [
  { name: 'http', port: 80, targetPort: 'http' },
  { name: 'udp', port: 81, protocol: 'UDP', targetPort: 8081 },
];
let lab: TestLab;

const balancer = (name: string, app: string, spec: object = {}) =>
  serviceObject(name, { type: 'LoadBalancer', selector: { app }, ports: PORTS, ...spec });

/** The external address of a Service. */
async function addressOf(name: string): Promise<string> {
  const { status } = await lab.kube.get('Service', { namespace: 'default', name });
  return status!.loadBalancer!.ingress![0]!.ip!;
}

/** Nodes behind a balancer's port, by the last number of their addresses. */
async function behind(port: string): Promise<string[]> {
  const rows = await askAgent<Row[]>(NAME, 'cloud', '/services');
  const eligible = rows.find(({ service }) => service === `default/${port}`)?.eligible ?? [];
  return eligible.map((text) => `node${Number(text.split(':')[0]!.split('.')[3]) - 10}`);
}

const untilBehind = (port: string, nodes: string[]) =>
  until(`${nodes} are behind ${port}`, async () => `${await behind(port)}` === `${nodes}`);

const curl = (from: string, host: string, path: string) =>
  lab.run(from, 'curl', '-sSm5', `http://${host}${path}`);

/** The increase of a counter of the cloud. */
async function counted(name: string, happens: () => Promise<unknown>): Promise<number> {
  const count = async () => (await lab.counters('cloud'))[name]!;
  const was = await count();
  await happens();
  return (await count()) - was;
}

function ip(place: string, ...args: string[]): void {
  const { status, stderr } = spawnSync('ip', ['-n', namespaceOf(NAME, place), ...args]);
  assert.equal(status, 0, `ip ${args.join(' ')}: ${stderr}`);
}

describe('the gateway', () => {
  before(async () => {
    lab = startLab(NAME, [
      serverPod('web1', 'node1'),
      serverPod('web2', 'node2'),
      serverPod('one', 'node2', { app: 'one' }),
      iperfPod('iperf', 'node1'),
      clientPod('client', 'node1'),
      balancer('web', 'web'),
      balancer('local', 'one', { externalTrafficPolicy: 'Local' }),
      balancer('direct', 'web', { allocateLoadBalancerNodePorts: false }),
      balancer('closed', 'web', { loadBalancerSourceRanges: ['192.0.2.0/24'] }),
      serviceObject('iperf', {
        ...{ type: 'LoadBalancer', selector: { app: 'iperf' } },
        ports: [{ port: 5201, nodePort: 30_052 }],
      }),
    ]);
    await untilBehind('web:http', NODES);
    await untilBehind('local:http', ['node2']);
    await lab.untilEndpoints('default/web:http', 2);
  });
  after(() => lab.down());

  test("a pod has its node's public address in the internet: TCP, UDP, fragments, ping", async () => {
    assert.equal((await curl('client', INTERNET, '/clientip')).split(':')[0], PUBLIC[0]);
    for (const bytes of [100, 3000]) {
      const { same } = await lab.client<Echoed>('client', 'udp', INTERNET, 8081, bytes, 3);
      assert.equal(same, 3, `${bytes} bytes`);
    }
    await lab.run('client', 'ping', '-c2', '-i0.2', '-W2', INTERNET);
    // In the other direction: a node is reachable by its public address only.
    for (const address of PUBLIC) await lab.run('internet', 'ping', '-c1', '-W2', address);
    const { code } = await lab.start('internet', ['ping', '-c1', '-W1', '172.18.0.11']).done;
    assert.notEqual(code, 0);
  });

  test('the cloud answers an echo to its outside address and sends time exceeded from it', async () => {
    await lab.run('internet', 'ping', '-c1', '-W2', '203.0.113.1');
    const ping = ['ping', '-c1', '-W2', '-t1', PUBLIC[0]!];
    const { stdout } = await lab.start('internet', ping).done;
    assert.match(stdout, /From 203\.0\.113\.1 .*Time to live exceeded/);
  });

  test('only nodes may send to the outside', async () => {
    const stranger = namespaceOf(NAME, 'stranger');
    spawnSync('ip', ['netns', 'add', stranger]);
    ip('fabric', ...'link add to-stranger type veth peer name eth0 netns'.split(' '), stranger);
    ip('fabric', ...'link set to-stranger master br0 up'.split(' '));
    ip('stranger', ...'addr add 172.18.0.200/16 dev eth0'.split(' '));
    ip('stranger', 'link', 'set', 'eth0', 'up');
    ip('stranger', ...'route add default via 172.18.0.2'.split(' '));
    const ping = ['ping', '-c3', '-i0.2', '-W1', INTERNET];
    const forged = await counted('foreign-source', async () => {
      const inside = ['netns', 'exec', stranger, ...ping];
      assert.notEqual(spawnSync('ip', inside, { timeout: 10_000 }).status, 0);
    });
    assert.equal(forged, 3);
    ip('fabric', 'link', 'del', 'to-stranger');
    spawnSync('ip', ['netns', 'del', stranger]);
    // A node that does not masquerade a pod's address.
    const address = '10.244.1.250';
    ip('node1', 'addr', 'add', `${address}/32`, 'dev', 'lo');
    const leaked = await counted(
      'foreign-source',
      () =>
        lab.start('node/node1', ['curl', '-sm2', '--interface', address, `http://${INTERNET}`])
          .done,
    );
    ip('node1', 'addr', 'del', `${address}/32`, 'dev', 'lo');
    assert.ok(leaked >= 1, `${leaked}`);
  });

  test('a load balancer spreads over nodes and pods; policy Local keeps the client', async () => {
    const web = await addressOf('web');
    const { answers, errors } = await lab.client<Connected>('internet', 'connect', web, 80, 60);
    assert.deepEqual([Object.keys(answers).sort(), errors], [['web1', 'web2'], {}]);
    const used = (
      await lab.json<{ reply: { src: string } }[]>(
        ...['conntrack', 'list', '--node', 'cloud', '--service', 'web'],
      )
    ).map(({ reply }) => reply.src);
    assert.deepEqual([...new Set(used)].sort(), ['172.18.0.11', '172.18.0.12']);
    const { same } = await lab.client<Echoed>('internet', 'udp', web, 81, 3000, 3);
    assert.equal(same, 3);
    const seen = await curl('internet', web, '/clientip');
    assert.match(seen, /^172\.18\.0\.1[12]:/, 'policy Cluster: masqueraded by the node');
    const local = await addressOf('local');
    assert.equal((await curl('internet', local, '/clientip')).split(':')[0], INTERNET);
  });

  test('without NodePorts the nodes capture the external address', async () => {
    const { spec } = await lab.kube.get('Service', { namespace: 'default', name: 'direct' });
    assert.equal(spec!.ports![0]!.nodePort, undefined);
    const address = await addressOf('direct');
    const { answers, errors } = await lab.client<Connected>(
      ...(['internet', 'connect', address, 80, 60] as const),
    );
    assert.deepEqual([Object.keys(answers).sort(), errors], [['web1', 'web2'], {}]);
    assert.match(
      await lab.run('cloud', 'ip', 'route', 'show', address),
      /172\.18\.0\.11.*172\.18\.0\.12/s,
    );
  });

  test('source ranges are enforced at the balancer', async () => {
    const url = `http://${await addressOf('closed')}/`;
    const dropped = await counted(
      'source-range',
      () => lab.start('internet', ['curl', '-sm2', url]).done,
    );
    assert.ok(dropped >= 1, `${dropped}`);
  });

  test('a balancer drops a node without local endpoints or health, and takes it back', async () => {
    const label = (app: string) =>
      lab.kube.patch(
        'Pod',
        { namespace: 'default', name: 'one' },
        { metadata: { labels: { app } } },
      );
    await label('gone');
    await untilBehind('local:http', []);
    await label('one');
    await untilBehind('local:http', ['node2']);
    const { pid } = readAgent(NAME, 'node2')!;
    process.kill(pid, 'SIGSTOP');
    try {
      await untilBehind('web:http', ['node1']);
      const direct = await addressOf('direct');
      const route = await lab.run('cloud', 'ip', 'route', 'show', direct);
      assert.doesNotMatch(route, /172\.18\.0\.12/);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await untilBehind('web:http', NODES);
  });

  test('connections survive a killed cloud agent', async () => {
    const web = await addressOf('web');
    const idle = lab.start('internet', clientCommand('idle', web, 80, 20));
    const out = lab.start('client', clientCommand('idle', INTERNET, 80, 20));
    await until('connections are open', () =>
      [idle, out].every(({ output }) => output().startsWith('open')),
    );
    const killed = readAgent(NAME, 'cloud')!.pid;
    process.kill(killed, 'SIGKILL');
    // A request that is sent while no agent runs is retransmitted at growing intervals.
    await lab.untilNewAgent('cloud', killed);
    for (const { child, done } of [idle, out]) {
      child.stdin!.end();
      const { answered } = JSON.parse((await done).stdout.split('\n')[1]!) as { answered: number };
      assert.equal(answered, 20);
    }
    await untilBehind('web:http', NODES);
  });

  describe('path MTU', () => {
    /** Bytes received of 32 MiB; `-R` sends to the client. */
    const transfer = async (address: string, port: number, ...more: string[]) => {
      const flags = ['-n', '32M', '-J', '--connect-timeout', '3000', ...more];
      const text = await lab.run('internet', 'iperf3', '-c', address, '-p', String(port), ...flags);
      return (JSON.parse(text) as { end: { sum_received: { bytes: number } } }).end.sum_received
        .bytes;
    };

    // Runs first: a pod that has learned a small MTU would ask for smaller segments.
    test("a client outside learns the MTU of a node's link, for the public address", async () => {
      ip('cloud', ...'route add 172.18.0.12/32 dev eth0 mtu 1280'.split(' '));
      assert.ok((await transfer(PUBLIC[1]!, 30_052)) >= 16e6);
      const route = await lab.run('internet', 'ip', 'route', 'get', PUBLIC[1]!);
      assert.match(route, /mtu 1280/);
      ip('cloud', ...'route del 172.18.0.12/32'.split(' '));
    });

    test("a client outside with a wider link learns the MTU of the nodes' links", async () => {
      for (const [place, link] of [
        ['cloud', 'eth1'],
        ['internet', 'eth0'],
      ] as const) {
        ip(place, 'link', 'set', link, 'mtu', '9000');
      }
      const big = ['ping', '-c1', '-W2', '-M', 'do', '-s', '3000'];
      for (const address of [PUBLIC[0]!, await addressOf('web')]) {
        const { stdout } = await lab.start('internet', [...big, address]).done;
        assert.match(stdout, /From 203\.0\.113\.1 .*Frag needed and DF set \(mtu = 1500\)/);
      }
      for (const [place, link] of [
        ['internet', 'eth0'],
        ['cloud', 'eth1'],
      ] as const) {
        ip(place, 'link', 'set', link, 'mtu', '1500');
      }
      ip('internet', 'route', 'flush', 'cache');
    });

    test("a pod learns the MTU of the cloud's outside link, by a balancer and masqueraded", async () => {
      ip('cloud', 'link', 'set', 'eth1', 'mtu', '1280');
      assert.ok((await transfer(await addressOf('iperf'), 5201, '-R')) >= 16e6);
      const sent = await lab.start('client', [
        ...['curl', '-sm20', '-o', '/dev/null', '-w', '%{http_code} %{size_upload}'],
        ...['--data-binary', '@/bin/bash', `http://${INTERNET}/hostname`],
      ]).done;
      assert.match(sent.stdout, /^200 \d{6,}/);
      ip('cloud', 'link', 'set', 'eth1', 'mtu', '1500');
    });
  });

  test('tshark finds no wrong checksum on its TUN and outside, where sums are full', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'kubetun-pcap-'));
    for (const place of ['client', 'web1', 'web2', 'internet', 'node/node1', 'node/node2']) {
      await lab.run(place, 'ethtool', '-K', 'eth0', 'tx', 'off', 'tso', 'off', 'gso', 'off');
    }
    const links = ['kt0', 'eth1'];
    const captures = links.map((link) =>
      lab.start('cloud', [
        ...['tcpdump', '-Z', 'root', '-U', '-ni', link, '-w', join(folder, link)],
        SUMMED,
      ]),
    );
    await new Promise((resolve) => setTimeout(resolve, 700));
    const web = await addressOf('web');
    await lab.client('internet', 'connect', web, 80, 50, 5);
    await lab.client('internet', 'udp', web, 81, 3000, 5);
    await lab.client('client', 'connect', INTERNET, 80, 50, 5);
    await lab.client('client', 'udp', INTERNET, 9, 10, 4);
    await lab.run('client', 'ping', '-c3', '-i0.2', INTERNET);
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const { child } of captures) child.kill('SIGTERM');
    await Promise.all(captures.map(({ done }) => done));
    for (const link of links) {
      const { all, bad } = wrongSums(join(folder, link));
      t.diagnostic(`${link}: ${all} packets, ${bad.length} of them wrong`);
      assert.ok(all > 500, `${link}: only ${all} packets`);
      assert.deepEqual(bad, []);
    }
    rmSync(folder, { recursive: true });
  });

  test('the command line shows the gateway like a node', async () => {
    const { cloud } = await lab.json<{ cloud: { agent: string } }>('lab', 'status');
    assert.equal(cloud.agent, 'running');
    const rows = await lab.json<Row[]>('services', '--node', 'cloud');
    const { eligible } = rows.find(({ service }) => service === 'default/local:http')!;
    assert.match(eligible.join(), /^172\.18\.0\.12:\d+$/);
    const local = await addressOf('local');
    const said = await lab.json<{ chosen: { endpoint: string }; steps: { node: string }[] }>(
      ...['explain', '--from', INTERNET, '--to', `${local}:80`],
    );
    assert.match(said.chosen.endpoint, /^172\.18\.0\.12:/);
    assert.deepEqual([...new Set(said.steps.map(({ node }) => node))], ['cloud', 'node2']);
  });
});
