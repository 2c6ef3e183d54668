// Pods that are attached by TUN devices: their node's agent serves them as ports of the datapath.
// Most other files run with them too (scripts/e2e.ts).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { askAgent, tellAgent } from '../../control/admin-client.ts';
import type { PortDescription } from '../../control/node/pod-ports.ts';
import { WORKER_NICE } from '../../datapath/worker/priority.ts';
import { ipBatch } from '../../lab/host/ip.ts';
import { namespaceOf, namespacePath } from '../../lab/places/names.ts';
import { checkCables } from '../../lab/pods/sandbox/cables.ts';
import { layDevice } from '../../lab/pods/sandbox/port.ts';
import { requireLab } from '../../lab/state/record.ts';
import {
  assertGone,
  clientCommand,
  clientPod,
  iperfPod,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-tun';
const NODE1 = '172.18.0.11';
const INTERNET = '203.0.113.10';
/** Namespaces beside the three pods, each with a port on node1: 200 ports. */
const MORE = 197;
const AT_ONCE = 8;
const FLOODS = 4;
/** Of these, each holds a connection while the agent dies. */
const CONNECTED = 20;
const more = (n: number) => ({
  netns: `${NAME}-more${n}`,
  address: `10.244.1.${40 + n}`,
});
const ALL_MORE = Array.from({ length: MORE }, (_, i) => more(i + 1));

let lab: TestLab;
let vip: string;
let near: string;
let far: string;

/**
 * Two requests of one connection. The second one waits for a line of input before its last line, so
 * that the server does not close the connection.
 */
const TWO_REQUESTS = `exec 3<>/dev/tcp/$0/8080
begin() { printf 'GET /hostname HTTP/1.1\\r\\n' >&3; }
end() {
  printf 'Host: pod\\r\\n\\r\\n' >&3
  while read -r -t 30 line <&3 && [ "$line" != $'\\r' ]; do :; done
  read -r -t 30 -N 4 body <&3 && echo "$body"
}
begin; end; begin; read -r _; end`;

const portsOf = (node: string) => askAgent<PortDescription[]>(NAME, node, '/ports');
const pidOf = async () => (await askAgent<{ pid: number }>(NAME, 'node1', '/status')).pid;
const fetch = (from: string, address: string) =>
  lab.run(from, 'curl', '-s', '-m', '3', `http://${address}/hostname`);
const pings = (from: string, to: string, ...flags: string[]) =>
  lab.succeeds(from, 'ping', '-c1', '-W2', ...flags, to);

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  assert.equal(status, 0, `ip ${args.join(' ')}: ${stderr}`);
}

/** Numbers from `first` to `last`, each through `act`, a few at once. */
async function each<T>(first: number, last: number, act: (n: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = first;
  const work = async () => {
    while (next <= last) {
      const n = next++;
      results[n - first] = await act(n);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}

/**
 * Starts tcpdump and resolves once it captures. The returned function ends it and returns its
 * output.
 */
async function capture(place: string, link: string, filter: string) {
  const running = lab.start(place, ['timeout', '30', 'tcpdump', '-lnni', link, filter]);
  await new Promise((resolve) => running.child.stderr!.once('data', resolve));
  return async () => {
    // Waits until tcpdump has printed the last packets.
    await new Promise((resolve) => setTimeout(resolve, 500));
    running.child.kill();
    return running.output();
  };
}

describe('pods attached by TUN', () => {
  before(async () => {
    lab = startLab(
      NAME,
      [
        clientPod('client', 'node1'),
        serverPod('near', 'node1'),
        serverPod('far', 'node2', { app: 'far' }),
        iperfPod('iperf', 'node1'),
        serviceObject('web', {
          type: 'NodePort',
          selector: { app: 'web' },
          ports: [{ port: 80, targetPort: 8080, nodePort: 30_080 }],
        }),
      ],
      { attach: 'tun' },
    );
    [vip, near, far] = [
      await lab.clusterIP('web'),
      await lab.podIP('near'),
      await lab.podIP('far'),
    ];
    await lab.untilEndpoints('default/web:80', 1);
  });
  after(async () => {
    await lab.down();
    assertGone(NAME);
  });

  test('a Service answers pods of both nodes, the node itself, and its own endpoint', async () => {
    for (const from of ['client', 'far', 'near', 'node/node1', 'node/node2']) {
      assert.equal(await fetch(from, `${vip}:80`), 'near', from);
    }
    for (const from of ['client', 'far', 'internet']) {
      const node = from === 'internet' ? '198.51.100.12' : NODE1;
      assert.equal(await fetch(from, `${node}:30080`), 'near', `NodePort from ${from}`);
    }
    assert.ok(await pings('client', INTERNET));
  });

  test("packets between pods of one node do not enter the node's kernel; tcpdump in a pod shows them", async () => {
    const client = await lab.podIP('client');
    const filter = `tcp and host ${client}`;
    const [inNode, inPod] = [
      await capture('node/node1', 'any', filter),
      await capture('near', 'eth0', filter),
    ];
    assert.equal(await fetch('client', `${vip}:80`), 'near');
    assert.match(await inPod(), new RegExp(`IP ${client}\\.\\d+ > ${near}\\.8080: Flags \\[S\\]`));
    assert.equal(await inNode(), '');
  });

  test('a node is one hop, and answers for a packet whose TTL ends there', async () => {
    const { stdout } = await lab.start('client', ['ping', '-c1', '-W2', '-t1', far]).done;
    assert.match(stdout, /From 172\.18\.0\.11 .*Time to live exceeded/);
    assert.ok(await pings('client', near, '-t2'));
    assert.ok(!(await pings('client', near, '-t1')));
    assert.ok(await pings('client', far, '-t3'));
    assert.ok(!(await pings('client', far, '-t2')));
    assert.match(await lab.run('client', 'ping', '-c1', '-W2', near), /ttl=63/);
    assert.match(await lab.run('node/node1', 'ping', '-c1', '-W2', near), /ttl=64/);
  });

  test('an address without a pod, and a port without a server, are refused at once', async () => {
    const { stdout } = await lab.start('client', ['ping', '-c1', '-W5', '10.244.1.250']).done;
    assert.match(stdout, /From 172\.18\.0\.11 .*Destination Host Unreachable/);
    for (const to of [`${near}:9`, `${vip}:9`]) {
      const { code } = await lab.start('client', ['curl', '-s', '-m', '5', `http://${to}/`]).done;
      assert.equal(code, 7, `${to}: connection refused`);
    }
  });

  test("a pod that sends with another pod's address is caught at its port", async () => {
    const before = (await lab.counters('node1')).spoofed!;
    const script = clientCommand('odd').at(-1)!.replace(/\.ts$/, '.py');
    await lab.run('client', '/usr/bin/python3', script, near, '80', 'spoofed', '20', far);
    assert.equal((await lab.counters('node1')).spoofed, before + 20);
  });

  test('a policy stops pods of the same node and of another one', async () => {
    const metadata = { name: 'closed', namespace: 'default' };
    const spec = { podSelector: { matchLabels: { app: 'web' } }, ingress: [] };
    await lab.kube.create('NetworkPolicy', { metadata, spec });
    const reaches = (from: string) =>
      lab.succeeds(from, 'curl', '-sf', '-m', '1', `http://${vip}:80/hostname`);
    for (const from of ['client', 'far']) {
      await until(`the policy stops ${from}`, async () => !(await reaches(from)));
    }
    assert.ok((await lab.counters('node1'))['policy-ingress']! > 0);
    await lab.kube.delete('NetworkPolicy', metadata);
    for (const from of ['client', 'far']) {
      await until(`${from} reaches it again`, () => reaches(from));
    }
  });

  test("a pod learns the path MTU of its node's uplink, for the address that it dialled", async () => {
    const setMtu = async (mtu: number) => {
      ip('-n', namespaceOf(NAME, 'node1'), 'link', 'set', 'eth0', 'mtu', `${mtu}`);
      // Replies have the same size: the narrow end of the cable would drop whole ones.
      await lab.run('far', 'ip', 'link', 'set', 'eth0', 'mtu', `${mtu}`);
    };
    await setMtu(1280);
    try {
      const { same } = await lab.client<{ same: number }>('client', 'udp', far, 8081, 1400, 4);
      // The first datagram may be lost: its sender learns the MTU from it.
      assert.ok(same >= 3, `${same} of 4`);
      assert.match(await lab.run('client', 'ip', 'route', 'get', far), /mtu 1280/);
    } finally {
      await setMtu(1500);
    }
  });

  const inside = (n: number, ...command: string[]) => [
    'ip',
    'netns',
    'exec',
    more(n).netns,
    ...command,
  ];

  test("the datapath's thread has priority, and no other thread of the agent has", async () => {
    const tasks = `/proc/${await pidOf()}/task`;
    const niceValues = readdirSync(tasks).map((task) => {
      const afterName = readFileSync(`${tasks}/${task}/stat`, 'utf8').split(') ').at(-1)!;
      return Number(afterName.split(' ')[16]); // proc(5): field 19.
    });
    assert.deepEqual(
      niceValues.filter((nice) => nice !== 0),
      [WORKER_NICE],
    );
  });

  test('200 ports: each gets answers while four of them flood', async () => {
    await ipBatch(
      null,
      ALL_MORE.map(({ netns }) => `netns add ${netns}`),
    );
    await each(1, MORE, (n) => layDevice({ lab: NAME, node: 'node1', mtu: 1500, ...more(n) }));
    const served = (await portsOf('node1')).filter(({ attached }) => attached);
    assert.equal(served.length, MORE + 3);
    const floods = Array.from({ length: FLOODS }, (_, n) =>
      lab.start('node/node1', inside(n + 1, 'ping', '-f', '-q', '-s', '1400', near)),
    );
    const answers = await each(FLOODS + 1, MORE, (n) =>
      lab.succeeds('node/node1', ...inside(n, 'ping', '-c1', '-W3', near)),
    );
    for (const { child } of floods) child.kill('SIGINT');
    const texts = await Promise.all(floods.map(({ done }) => done));
    assert.ok(texts.every(({ stdout }) => /[1-9]\d* received/.test(stdout)));
    assert.deepEqual(
      answers.filter((answered) => !answered),
      [],
    );
  });

  test('a restarted agent serves 200 ports again, and their connections continue', async () => {
    const before = await portsOf('node1');
    assert.equal(before.length, MORE + 3);
    // A connection that is idle while the agent dies: the second request takes the same one.
    const idle = Array.from({ length: CONNECTED }, (_, n) =>
      lab.start('node/node1', inside(n + 1, 'bash', '-c', TWO_REQUESTS, near)),
    );
    const hasAnswer = () => idle.every(({ output }) => output() === 'near\n');
    await until('each has an answer', hasAnswer, 60_000);
    const server = await lab.podIP('iperf');
    // Longer than an agent takes to come back on a busy machine. The end of the lab ends it.
    const client = lab.start('client', ['iperf3', '-c', server, '-t', '60', '-b', '20M']);
    await until('the connection runs', async () => {
      const { bytes } = await flowTo(server);
      return bytes > 1e6;
    });
    const { sport } = await flowTo(server);
    const killed = await pidOf();
    process.kill(killed, 'SIGKILL');
    await lab.untilNewAgent('node1', killed);
    const { bytes } = await flowTo(server);
    await until('the same connection goes on', async () => {
      const now = await flowTo(server);
      return now.sport === sport && now.bytes > bytes + 1e6;
    });
    assert.equal(client.child.exitCode, null);
    client.child.kill();
    assert.deepEqual(await portsOf('node1'), before);
    for (const { child } of idle) child.stdin!.end('again\n');
    const texts = await Promise.all(idle.map(({ done }) => done));
    assert.deepEqual([...new Set(texts.map(({ stdout }) => stdout))], ['near\nnear\n']);
    assert.equal(await fetch('client', `${vip}:80`), 'near');
  });

  interface Flow {
    original: { dst: string; dport: number; sport: number };
    bytes: number;
  }
  /** The flow with the most bytes from the client to iperf3: its data. */
  async function flowTo(server: string): Promise<{ sport: number; bytes: number }> {
    const flows = await lab.json<Flow[]>('conntrack', 'list', '--node', 'node1');
    const own = flows.filter(({ original: { dst, dport } }) => dst === server && dport === 5201);
    const [most] = own.sort((a, b) => b.bytes - a.bytes);
    return { sport: most?.original.sport ?? 0, bytes: most?.bytes ?? 0 };
  }

  test('a deleted device is created again, and a detached port is attached again', async () => {
    const pod = (await portsOf('node1')).find(({ address }) => address === near)!;
    ip('-n', pod.netns.split('/').at(-1)!, 'link', 'del', 'eth0');
    assert.match((await checkCables(requireLab(NAME))).join('\n'), /does not serve the device of/);
    await until('the Service answers', () => lab.succeeds('client', 'curl', '-sfm1', vip));
    await tellAgent(NAME, 'node1', { method: 'DELETE', path: '/ports' }, { netns: pod.netns });
    assert.ok(!(await portsOf('node1')).some(({ netns }) => netns === pod.netns));
    await until('the Service answers', () => lab.succeeds('client', 'curl', '-sfm1', vip));
  });

  test('ports end with their namespaces, even without a request to the agent', async () => {
    await ipBatch(
      null,
      ALL_MORE.map(({ netns }) => `netns del ${netns}`),
    );
    await until('the agent has left them', async () => (await portsOf('node1')).length === 3);
    const inode = namespacePath(more(1).netns);
    assert.ok((await portsOf('node1')).every(({ netns }) => netns !== inode));
  });

  test('a port that cannot be served is refused with the reason', async () => {
    const add = (body: object) =>
      tellAgent(NAME, 'node1', { method: 'POST', path: '/ports' }, body);
    const netns = namespacePath(namespaceOf(NAME, 'internet'));
    const good = { netns, device: 'nothing', address: '10.244.1.240' };
    await assert.rejects(add(good), /has no device nothing/);
    await assert.rejects(add({ ...good, netns: '/run/netns/none' }), /is no network namespace/);
    await assert.rejects(add({ ...good, device: 'eth0' }), /eth0 cannot be attached/);
    await assert.rejects(add({ ...good, address: 'pod' }), /address is "pod", expected the IPv4/);
    assert.equal((await portsOf('node1')).length, 3);
  });
});
