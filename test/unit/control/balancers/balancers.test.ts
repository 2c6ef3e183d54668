import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Balancers } from '../../../../control/balancers/balancers.ts';
import { type HealthTarget, targetKey } from '../../../../control/balancers/health.ts';
import {
  gatewayNode,
  gatewayRanges,
  readBackend,
  readBalancer,
} from '../../../../control/balancers/rows.ts';
import { Compiler } from '../../../../control/compile/compiler.ts';
import { IdAllocator } from '../../../../control/compile/ids.ts';
import type { Node, Service } from '../../../../control/kube/kinds.ts';
import { Tables } from '../../../../control/model/tables.ts';
import { BalancerRoutes } from '../../../../control/node/gateway.ts';
import {
  FRONTEND_LOADBALANCER,
  SERVICE_FLAG_EXTERNAL_LOCAL,
} from '../../../../datapath/image/image.ts';
import { formatAddress, parseAddress } from '../../../../datapath/wire/address.ts';

function node(n: number, change: Partial<Node> = {}, ready = 'True'): Node {
  return {
    metadata: { name: `node${n}`, ...change.metadata },
    spec: { podCIDR: `10.244.${n}.0/24`, ...change.spec },
    status: {
      addresses: [
        { type: 'InternalIP', address: `172.18.0.1${n}` },
        { type: 'ExternalIP', address: `198.51.100.1${n}` },
      ],
      conditions: [{ type: 'Ready', status: ready }],
    },
  };
}

function service(name: string, spec: object = {}, ip = '198.51.100.254', ipMode = 'VIP'): Service {
  return {
    metadata: { name, namespace: 'default' },
    spec: {
      ...{ type: 'LoadBalancer', clusterIP: '10.96.0.7', externalIPs: ['192.0.2.7'] },
      ports: [{ name: 'http', port: 80, nodePort: 30_080 }],
      ...spec,
    },
    status: { loadBalancer: { ingress: [{ ip, ipMode }] } },
  };
}

/** A gateway whose health check targets are all healthy, except those in `ill`. */
function startGateway(ill = new Set<string>(), podRanges: string[] = [], outside: number[] = []) {
  const tables = new Tables('cloud');
  tables.putNode(gatewayNode('cloud', parseAddress('172.18.0.2')!, outside));
  let targets: HealthTarget[] = [];
  const text = ({ address, port }: HealthTarget) => `${formatAddress(address)}:${port}`;
  const balancers = new Balancers({
    tables,
    onTargets: (now) => {
      targets = now;
    },
    isHealthy: (target) => {
      const isAsked = targets.some((t) => targetKey(t) === targetKey(target));
      return isAsked && !ill.has(text(target));
    },
  });
  const usage = { flowsOf: () => 0, acknowledged: () => 0 };
  const ranges = gatewayRanges('198.51.100.0/24', ['172.18.0.0/16'], podRanges);
  const compiler = new Compiler('cloud', ranges, new IdAllocator(new Map(), usage));
  let generation = 0;
  return {
    ...{ balancers, ill, targets: () => targets.map(text).sort() },
    node: (object: Node) => balancers.putBackend(readBackend(object)),
    service: (object: Service) =>
      balancers.putService(`default/${object.metadata!.name}`, readBalancer(object)),
    compile: () => compiler.compile(tables, tables.takeChanges(), ++generation),
    endpoints: (port: string) => {
      compiler.compile(tables, tables.takeChanges(), ++generation);
      const found = compiler.ports().find(({ name }) => name === port);
      const pairs = found?.cluster ?? new Int32Array(0);
      return Array.from({ length: pairs.length / 2 }, (_, i) =>
        text({ address: pairs[i * 2]!, port: pairs[i * 2 + 1]! }),
      );
    },
  };
}

test('the pair of a node has the address that its agent steers, not the InternalIP', () => {
  const gateway = startGateway();
  const annotations = { 'kubetun.dev/steered-address': '172.18.0.99' };
  gateway.node(node(1, { metadata: { name: 'node1', annotations } }));
  const pairs = [...gateway.compile()!.change.node!.gateway!].map(formatAddress);
  assert.deepEqual(pairs, ['172.18.0.99', '198.51.100.11']);
});

test('a Node that claims outside addresses does not cut them off', () => {
  const gateway = startGateway(new Set(), ['10.244.0.0/16']);
  const ghost = node(2, { spec: { podCIDR: '203.0.113.0/24' } });
  ghost.status!.addresses!.find(({ type }) => type === 'ExternalIP')!.address = '203.0.113.10';
  gateway.node(node(1));
  gateway.node(ghost);
  const { gateway: pairs, podRanges } = gateway.compile()!.change.node!;
  assert.deepEqual([...pairs!].map(formatAddress), ['172.18.0.11', '198.51.100.11']);
  const inside = podRanges.map(({ address }) => formatAddress(address)).sort();
  assert.deepEqual(inside, ['10.244.0.0', '172.18.0.0']);
});

test('the gateway has an outside address that is not in the public range', () => {
  const gateway = startGateway(new Set(), [], [parseAddress('203.0.113.1')!]);
  const pairs = [...gateway.compile()!.change.node!.gateway!].map(formatAddress);
  assert.deepEqual(pairs, ['172.18.0.2', '203.0.113.1']);
});

test('the image has public node addresses, inside ranges, and frontends of balancers only', () => {
  const gateway = startGateway();
  gateway.node(node(1));
  gateway.node(node(2));
  gateway.service(service('web', { loadBalancerSourceRanges: ['203.0.113.0/24'] }));
  const { change } = gateway.compile()!;
  const pairs = [...change.node!.gateway!].map(formatAddress);
  assert.deepEqual(pairs, ['172.18.0.11', '198.51.100.11', '172.18.0.12', '198.51.100.12']);
  assert.deepEqual(change.node!.nodeAddresses.map(formatAddress), ['172.18.0.11', '172.18.0.12']);
  assert.equal(formatAddress(change.node!.nodeAddress), '172.18.0.2');
  assert.deepEqual(
    change.node!.podRanges.map(({ address }) => formatAddress(address)),
    ['172.18.0.0', '10.244.1.0', '10.244.2.0'].sort((a, b) => parseAddress(a)! - parseAddress(b)!),
  );
  assert.deepEqual(
    change.addFrontends.map(({ address, port, kind }) => [formatAddress(address), port, kind]),
    [['198.51.100.254', 80, FRONTEND_LOADBALANCER]],
  );
  const [entry] = change.upsert;
  assert.equal(entry!.flags, SERVICE_FLAG_EXTERNAL_LOCAL);
  assert.deepEqual(entry!.local, entry!.cluster);
  assert.equal(entry!.sourceRanges.length, 2);
});

const OUT: [why: string, node: Node][] = [
  ['not ready', node(2, {}, 'Unknown')],
  [
    'labelled as no backend',
    node(2, {
      metadata: {
        name: 'node2',
        labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': '' },
      },
    }),
  ],
  [
    'about to be removed',
    node(2, {
      spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] },
    }),
  ],
];
for (const [why, object] of OUT) {
  test(`a node that is ${why} is not a backend, and its health is not checked`, () => {
    const gateway = startGateway();
    gateway.node(node(1));
    gateway.node(node(2));
    gateway.service(service('web'));
    assert.deepEqual(gateway.endpoints('default/web:http'), [
      ...['172.18.0.11:30080', '172.18.0.12:30080'],
    ]);
    gateway.node(object);
    assert.deepEqual(gateway.endpoints('default/web:http'), ['172.18.0.11:30080']);
    assert.deepEqual(gateway.targets(), ['172.18.0.11:10256']);
  });
}

test('policy Local uses the health of the Service on a node, Cluster that of the node', () => {
  const gateway = startGateway(new Set(['172.18.0.11:31000', '172.18.0.12:10256']));
  gateway.node(node(1));
  gateway.node(node(2));
  gateway.service(service('web'));
  const local = { externalTrafficPolicy: 'Local', healthCheckNodePort: 31_000 };
  gateway.service(service('local', local, '198.51.100.253'));
  assert.deepEqual(gateway.endpoints('default/web:http'), ['172.18.0.11:30080']);
  assert.deepEqual(gateway.endpoints('default/local:http'), ['172.18.0.12:30080']);
  gateway.ill.add('172.18.0.12:31000');
  gateway.balancers.healthChanged();
  assert.deepEqual(gateway.endpoints('default/local:http'), []);
});

test('a port without NodePort keeps the balancer address, with a route to healthy nodes', () => {
  const gateway = startGateway();
  gateway.node(node(1));
  gateway.node(node(2));
  gateway.service(service('direct', { ports: [{ name: 'http', port: 80 }] }));
  assert.deepEqual(gateway.endpoints('default/direct:http'), ['198.51.100.254:80']);
  const routes = new BalancerRoutes(new Map([['198.51.100.200', '']]));
  assert.deepEqual(routes.take(gateway.balancers.routes()), [
    'route replace 198.51.100.254/32 nexthop via 172.18.0.11 nexthop via 172.18.0.12',
    'route del 198.51.100.200/32',
  ]);
  assert.deepEqual(routes.take(gateway.balancers.routes()), []);
  gateway.ill.add('172.18.0.12:10256');
  gateway.balancers.healthChanged();
  assert.deepEqual(routes.take(gateway.balancers.routes()), [
    'route replace 198.51.100.254/32 via 172.18.0.11',
  ]);
  gateway.ill.add('172.18.0.11:10256');
  gateway.balancers.healthChanged();
  assert.deepEqual(gateway.endpoints('default/direct:http'), []);
  assert.deepEqual(routes.take(gateway.balancers.routes()), [
    'route replace unreachable 198.51.100.254/32',
  ]);
});

test('repairs missing and changed routes, and deletes foreign routes in the range', () => {
  const routes = new BalancerRoutes(new Map());
  const [one, two] = routes.take(
    new Map([
      ['198.51.100.254', ['172.18.0.11']],
      ['198.51.100.253', []],
    ]),
  );
  const whole = new Map([
    ['198.51.100.254', one!],
    ['198.51.100.253', two!],
  ]);
  assert.deepEqual(routes.diff(whole), []);
  assert.deepEqual(routes.diff(new Map()), [one, two]);
  const astray = 'route replace 198.51.100.254/32 via 172.18.0.12';
  const observed = new Map([...whole, ['198.51.100.254', astray], ['198.51.100.9', '']]);
  assert.deepEqual(routes.diff(observed), [one, 'route del 198.51.100.9/32']);
});

test('a Service with an address and type LoadBalancer is a balancer, with any ipMode', () => {
  const gateway = startGateway();
  gateway.node(node(1));
  gateway.service(service('web', {}, '198.51.100.254', 'Proxy'));
  assert.equal(gateway.endpoints('default/web:http').length, 1);
  gateway.service(service('web', { type: 'NodePort' }));
  const { change } = gateway.compile()!;
  assert.deepEqual([change.remove.length, change.removeFrontends.length], [1, 1]);
  assert.equal(readBalancer({ ...service('web'), status: {} }), null);
});
