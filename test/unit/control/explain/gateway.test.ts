import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { stringify } from 'yaml';
import { explainQuestion } from '../../../../control/explain/explain.ts';
import type { Explanation } from '../../../../control/explain/explanation.ts';
import { fromFiles } from '../../../../control/explain/source.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-explain-'));
after(() => rmSync(folder, { recursive: true }));

function node(n: number, isPublic: boolean): object {
  const addresses = [{ type: 'InternalIP', address: `172.18.0.1${n}` }];
  if (isPublic) addresses.push({ type: 'ExternalIP', address: `198.51.100.1${n}` });
  return {
    ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: `node${n}` } },
    spec: { podCIDR: `10.244.${n}.0/24` },
    status: { addresses, conditions: [{ type: 'Ready', status: 'True' }] },
  };
}

function balancer(name: string, ip: string, spec: object): object {
  return {
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' } },
    spec: { type: 'LoadBalancer', ...spec },
    status: { loadBalancer: { ingress: [{ ip, ipMode: 'VIP' }] } },
  };
}

function slice(name: string): object {
  return {
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
    metadata: {
      ...{ name, namespace: 'default' },
      labels: { 'kubernetes.io/service-name': name },
    },
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: ['10.244.2.5'], nodeName: 'node2', conditions: { ready: true } }],
  };
}

const CLIENT = {
  ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'client', namespace: 'default' } },
  spec: { nodeName: 'node1', containers: [] },
  status: { podIP: '10.244.1.5', phase: 'Running' },
};
const PORT = { name: 'http', port: 80, targetPort: 8080 };
const SERVICES = [
  balancer('local', '198.51.100.254', {
    ...{ clusterIP: '10.96.0.20', externalTrafficPolicy: 'Local', healthCheckNodePort: 30_090 },
    ports: [{ ...PORT, nodePort: 30_080 }],
  }),
  balancer('ranged', '198.51.100.252', {
    ...{ clusterIP: '10.96.0.22', loadBalancerSourceRanges: ['192.0.2.0/24'] },
    ports: [{ ...PORT, nodePort: 30_082 }],
  }),
  balancer('direct', '198.51.100.253', { clusterIP: '10.96.0.21', ports: [PORT] }),
];

function cluster(isPublic: boolean, services: object[]) {
  const nodes = [node(1, isPublic), node(2, isPublic)];
  const file = join(folder, 'all.yaml');
  const objects = [...nodes, CLIENT, ...services, slice('local'), slice('direct')];
  writeFileSync(file, objects.map((object) => stringify(object)).join('---\n'));
  return fromFiles([file], { services: '10.96.0.0/16', public: '198.51.100.0/24' });
}

const world = cluster(true, SERVICES);
const stages = ({ steps }: Explanation) => steps.map(({ node, stage }) => `${node} ${stage}`);

test('a packet of a pod to the outside leaves by the gateway with its node address outside', () => {
  const found = explainQuestion(world, { from: 'client', to: '203.0.113.10:80' });
  assert.equal(found.masquerade, 'egress');
  assert.deepEqual(stages(found).slice(-4), [
    ...['node1 wire', 'cloud establish', 'cloud translate', 'cloud leave'],
  ]);
  assert.match(found.steps.at(-2)!.text, /172\.18\.0\.11:\d+ -> .* becomes 198\.51\.100\.11:/);
});

test('a balancer sends to nodes with an endpoint, and explains the exclusion of others', () => {
  const found = explainQuestion(world, { from: '203.0.113.10', to: '198.51.100.254:80' });
  assert.deepEqual(found.eligible, ['172.18.0.12:30080']);
  assert.deepEqual(found.excluded, [
    { endpoint: '172.18.0.11:30080', why: 'node1 has no ready endpoint, policy Local' },
  ]);
  assert.deepEqual([found.verdict, found.service], ['forward', 'default/local:http']);
  assert.ok(stages(found).includes('cloud select'));
  assert.equal(stages(found).at(-1), 'node2 deliver');
});

test('a client outside the source ranges gets no message about unhealthy nodes', () => {
  for (const from of ['203.0.113.10', 'client']) {
    const found = explainQuestion(world, { from, to: '198.51.100.252:80' });
    assert.deepEqual([found.verdict, found.reason, found.excluded], ['drop', 'source-range', []]);
    assert.doesNotMatch(JSON.stringify(found.steps), /health check|not ready/);
  }
});

test('without NodePorts a packet keeps the address of the balancer on its way to a node', () => {
  const found = explainQuestion(world, { from: '203.0.113.10', to: '198.51.100.253:80' });
  assert.equal(found.verdict, 'forward');
  assert.ok(stages(found).includes('cloud wire'));
  assert.equal(stages(found).at(-1), 'node2 deliver');
});

test('names the Service of a NodePort, although the gateway has no NodePorts', () => {
  const found = explainQuestion(world, { from: '203.0.113.10', to: '198.51.100.12:30080' });
  assert.deepEqual([found.service, found.reason], ['default/local:http', 'one-to-one']);
  assert.deepEqual(found.chosen, { endpoint: '10.244.2.5:8080', by: 'only' });
});

const DROPPED: [what: string, to: string, reason: string][] = [
  ['a private address', '172.18.0.11:30080', 'foreign-source'],
  ['an unused public address', '198.51.100.99:80', 'unallocated'],
];
for (const [what, to, reason] of DROPPED) {
  test(`from outside ${what} is dropped at the gateway: ${reason}`, () => {
    const found = explainQuestion(world, { from: '203.0.113.10', to });
    assert.deepEqual([found.verdict, found.reason], ['drop', reason]);
  });
}

test('--node cloud examines only the gateway, which needs public addresses', () => {
  const to = '198.51.100.254:80';
  const here = explainQuestion(world, { from: '203.0.113.10', to, node: 'cloud' });
  assert.ok(here.steps.every(({ node }) => node === 'cloud'));
  const plain = cluster(false, []);
  const found = explainQuestion(plain, { from: 'client', to: '203.0.113.10:80' });
  assert.deepEqual(stages(found).at(-1), 'node1 leave');
  assert.throws(() => explainQuestion(plain, { from: '203.0.113.10', to, node: 'cloud' }), {
    code: 'KT_EXPLAIN',
  });
});
