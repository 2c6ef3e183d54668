// An agent on a node that other programs configure too.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Finding } from '../../control/node/preflight.ts';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import { until } from '../support/lab.ts';
import {
  FAR_POD_ADDRESS,
  NODE_ADDRESS,
  POD_ADDRESS,
  RealNode,
  WORLD_ADDRESS,
} from '../support/real-node.ts';

const real = new RealNode('agent1');
const KUBETUN = join(PROJECT_ROOT, 'scripts/kubetun');
const ARENA = '/dev/shm/kubetun-agent1-n1';
const AGENT = [
  ...[KUBETUN, 'agent', '--node', 'n1', '--steer', 'narrow', '--kubeconfig', real.kubeconfig],
  ...['--arena', ARENA, '--admin', join(real.folder, 'n1.sock')],
];
const RANGE = ['--service-range', '10.96.0.0/16'];

/** Rules, routes and links of the node: what an agent might leave. */
async function picture(): Promise<string[]> {
  const show = async (...args: string[]) =>
    (await real.run('node', 'ip', '-4', ...args)).split('\n');
  const links = JSON.parse(await real.run('node', 'ip', '-j', 'link')) as { ifname: string }[];
  return [
    ...(await show('rule')),
    ...(await show('route', 'show', 'table', 'all')),
    ...links.map((l) => l.ifname),
  ];
}

async function check(): Promise<string[]> {
  const { stdout } = await real.try('node', ...AGENT, '--check', '-o', 'json');
  const findings = JSON.parse(stdout) as Finding[];
  return findings.filter((f) => f.verdict === 'refused').map((f) => f.code);
}

async function createNode(name: string, podCIDR: string, address: string): Promise<void> {
  await real.kube.create('Node', { metadata: { name }, spec: { podCIDR } });
  const addresses = [{ type: 'InternalIP', address }];
  await real.kube.patch('Node', { name }, { status: { addresses } }, 'status');
}

/** A Service with fixed endpoints. */
async function createService(name: string, addresses: string[], port: number, nodePort?: number) {
  const ports = [{ name: 'p', port: 80, targetPort: port, nodePort }];
  const type = nodePort ? 'NodePort' : 'ClusterIP';
  const { spec } = await real.kube.create('Service', { metadata: { name }, spec: { type, ports } });
  await real.kube.create('EndpointSlice', {
    metadata: { name, labels: { 'kubernetes.io/service-name': name }, namespace: 'default' },
    addressType: 'IPv4',
    ports: [{ name: 'p', port }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  });
  return spec!.clusterIP!;
}

describe('a node shared with other programs', () => {
  let agent: ChildProcess;
  let untouched: string[];
  let near = '';
  let far = '';
  let host = '';

  before(async () => {
    await real.start();
    untouched = await picture();
    await createNode('n1', '10.244.1.0/24', NODE_ADDRESS);
    await createNode('n2', '10.244.7.0/24', '192.0.2.12');
    near = await createService('near', [POD_ADDRESS], 8080, 30_080);
    far = await createService('far', [FAR_POD_ADDRESS], 8081);
    host = await createService('host', [NODE_ADDRESS], 8082);
    await real.serve('pod', 'pod', POD_ADDRESS, 8080);
    await real.serve('world', 'far', FAR_POD_ADDRESS, 8081);
    await real.serve('world', 'out', '203.0.113.9', 443);
    await real.serve('node', 'host', NODE_ADDRESS, 22, 8082);
  });
  after(() => real.stop());

  test('is refused with every reason, and stays unchanged', async () => {
    assert.deepEqual(await check(), ['KT_FORWARD_OFF', 'KT_RP_FILTER', 'KT_EPHEMERAL_PORTS']);
    const { code, stderr } = await real.try('node', ...AGENT, ...RANGE);
    assert.equal(code, 1);
    assert.match(stderr, /does not forward.*ip_forward=1/s);
    assert.deepEqual(await picture(), untouched);
  });

  test('a running kube-proxy is detected', async () => {
    await real.run('node', 'nft', 'add', 'table', 'ip', 'nat');
    await real.run('node', 'nft', 'add', 'chain', 'ip', 'nat', 'KUBE-SERVICES');
    assert.ok((await check()).includes('KT_PROXY_ACTIVE'));
    await real.run('node', 'nft', 'delete', 'table', 'ip', 'nat');
    assert.ok(!(await check()).includes('KT_PROXY_ACTIVE'));
  });

  test('--prepare --set-sysctls makes it ready', async () => {
    await real.run('node', ...AGENT, '--prepare', '--set-sysctls');
    assert.deepEqual(await check(), []);
  });

  test('without a known Service range the error names the flag', async () => {
    const { code, stderr } = await real.try('node', ...AGENT);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /ServiceCIDR kubernetes is missing or has no IPv4 range.*--service-range/s,
    );
  });

  test('serves Services from everywhere through the datapath', async () => {
    agent = await real.spawn('node', 'first image published', ...AGENT, ...RANGE);
    const asked: [string, Record<string, number>, string][] = [];
    const ask = async (what: string, ...args: Parameters<RealNode['ask']>) => {
      const was = await real.steered();
      asked.push([
        what,
        await real.ask(...args),
        (await real.steered()) > was ? 'steered' : 'past',
      ]);
    };
    await ask('NodePort from outside', 'world', NODE_ADDRESS, 30_080);
    await ask('NodePort from the node', 'node', NODE_ADDRESS, 30_080);
    await ask('NodePort from a pod', 'pod', NODE_ADDRESS, 30_080);
    await ask('ClusterIP from the node', 'node', near, 80);
    await ask('ClusterIP from a pod, itself behind it', 'pod', near, 80);
    await ask('ClusterIP of a far pod, from a pod', 'pod', far, 80);
    await ask('ClusterIP of a far pod, from the node', 'node', far, 80);
    await ask('ClusterIP of a host endpoint, from a pod', 'pod', host, 80);
    await ask('ClusterIP of a host endpoint, from outside', 'world', host, 80);
    assert.deepEqual(asked, [
      ['NodePort from outside', { pod: 4 }, 'steered'],
      ['NodePort from the node', { pod: 4 }, 'steered'],
      ['NodePort from a pod', { pod: 4 }, 'steered'],
      ['ClusterIP from the node', { pod: 4 }, 'steered'],
      ['ClusterIP from a pod, itself behind it', { pod: 4 }, 'steered'],
      ['ClusterIP of a far pod, from a pod', { far: 4 }, 'steered'],
      ['ClusterIP of a far pod, from the node', { far: 4 }, 'steered'],
      ['ClusterIP of a host endpoint, from a pod', { host: 4 }, 'steered'],
      ['ClusterIP of a host endpoint, from outside', { host: 4 }, 'steered'],
    ]);
  });

  async function assertHostGoesOn(): Promise<void> {
    assert.deepEqual(await real.ask('world', NODE_ADDRESS, 22), { host: 4 }, 'outside to the node');
    assert.deepEqual(
      await real.ask('node', '203.0.113.9', 443),
      { out: 4 },
      'the node to the outside',
    );
    assert.deepEqual(await real.ask('node', POD_ADDRESS, 8080), { pod: 4 }, 'a probe of a pod');
  }

  test("the node's own connections do not cross the datapath", async () => {
    const was = await real.steered();
    await real.ask('world', NODE_ADDRESS, 22, 50);
    await real.ask('node', '203.0.113.9', 443, 50);
    await real.ask('node', POD_ADDRESS, 8080, 50);
    assert.equal(await real.steered(), was);
    await assertHostGoesOn();
    assert.deepEqual(await real.ask('pod', NODE_ADDRESS, 22), { host: 4 }, 'a pod to the node');
    await real.run('node', 'ping', '-c1', '-W2', WORLD_ADDRESS);
    await real.run('world', 'ping', '-c1', '-W2', NODE_ADDRESS);
  });

  test('rules of other programs stay in place', async () => {
    const rules = await real.run('node', 'ip', 'rule');
    assert.match(rules, /^50:\tfrom 198\.51\.100\.0\/24 lookup 7/m);
    assert.match(rules, /^512:\tfrom all to 10\.244\.1\.5 lookup main/m);
  });

  test('new and deleted pod ranges change routes, not rules', async () => {
    const rules = await real.run('node', 'ip', 'rule');
    const routes = () => real.run('node', 'ip', 'route', 'show', 'table', '103');
    const before = await routes();
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    // Every second range, so that no adjacent ranges can be merged.
    const rangeOf = (n: number) => `10.245.${n * 2}.0/24`;
    await Promise.all(numbers.map((n) => createNode(`other${n}`, rangeOf(n), `198.18.0.${n + 1}`)));
    await until('the ranges are steered', async () => {
      const text = await routes();
      return numbers.every((n) => text.includes(`${rangeOf(n)} `));
    });
    assert.equal(await real.run('node', 'ip', 'rule'), rules);
    assert.deepEqual(await real.ask('pod', far, 80), { far: 4 });
    await Promise.all(numbers.map((n) => real.kube.delete('Node', { name: `other${n}` })));
    await until('the routes of the ranges are gone', async () => (await routes()) === before);
    assert.deepEqual(await real.ask('pod', far, 80), { far: 4 });
  });

  test('a range whose route is gone is steered again', async () => {
    const route = ['10.244.7.0/24', 'table', '103'];
    await real.run('node', 'ip', 'route', 'del', ...route);
    const isBack = async () =>
      (await real.run('node', 'ip', 'route', 'show', ...route)).includes('kt0');
    await until('the route is back', isBack);
  });

  test('a second agent is refused', async () => {
    assert.ok((await check()).includes('KT_AGENT_ACTIVE'));
  });

  test('with the agent killed, TCP works to the node and from it to others and its pods', async () => {
    agent.kill('SIGKILL');
    await until('it has ended', () => agent.exitCode !== null || agent.signalCode !== null);
    await assertHostGoesOn();
  });

  test('the next agent starts without the API server', async () => {
    const away = ['--server', `https://${WORLD_ADDRESS}:1`];
    agent = await real.spawn('node', '"forwarding"', ...AGENT, ...RANGE, ...away);
    assert.deepEqual(await real.ask('world', NODE_ADDRESS, 30_080), { pod: 4 });
  });

  test('--cleanup restores everything but the sysctls that it keeps', async () => {
    agent.kill('SIGTERM');
    await until('it has ended', () => agent.exitCode !== null || agent.signalCode !== null);
    await real.run('node', ...AGENT, '--cleanup');
    assert.deepEqual(await picture(), untouched);
    assert.ok(!existsSync(ARENA) && !existsSync(`${ARENA}.site`));
    await assertHostGoesOn();
  });
});
