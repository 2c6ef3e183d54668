import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Admission } from '../../../../control/compile/admission.ts';
import { Compiler } from '../../../../control/compile/compiler.ts';
import { IdAllocator } from '../../../../control/compile/ids.ts';
import { readService } from '../../../../control/model/service.ts';
import { addr } from '../../../support/datapath.ts';
import { node, service, slice } from '../model/objects.ts';
import { RANGES, World } from './world.ts';

const API = addr('172.18.0.1');

let world: World;
beforeEach(() => {
  world = new World('n1', new Map(), [API]);
  world.put({ node: node('n1', '172.18.0.11') });
  world.put({ node: node('n2', '172.18.0.12') });
});

const messages = () => world.compiler.refusals().map(({ key, message }) => `${key}: ${message}`);
const captured = () => world.mirror.frontendNames().filter((name) => name.includes('external'));

for (const [address, what] of [
  ['172.18.0.1', 'an address of the API server'],
  ['127.0.0.1', 'a loopback address'],
  ['0.0.0.0', 'an unspecified address'],
  ['169.254.1.1', 'a link-local address'],
  ['224.0.0.1', 'a multicast address'],
  ['255.255.255.255', 'the broadcast address'],
]) {
  test(`does not capture the external IP ${address}, reports it, and captures the others`, () => {
    world.put({ service: service('web', { externalIPs: [address, '192.0.2.1'] }) });
    world.publish();
    assert.deepEqual(captured(), ['192.0.2.1:80/6 external ns/web:80']);
    assert.deepEqual(messages(), [`ns/web: ${address} is not captured: it is ${what}`]);
    world.deleteService('web');
    world.publish();
    assert.deepEqual([world.mirror.frontends.size, messages()], [0, []]);
  });
}

test('reports a Service that loses its address and port, until the winner is deleted', () => {
  world.put({ service: service('web', { clusterIP: '10.96.0.20' }) });
  const externalIPs = ['10.96.0.20', '192.0.2.1'];
  world.put({ service: service('clash', { clusterIP: '10.96.0.21', externalIPs }) });
  world.put({ service: service('later', { clusterIP: '10.96.0.22', externalIPs }) });
  world.publish();
  const first = 'claims the same address and port first';
  assert.deepEqual(messages().sort(), [
    `ns/clash: 10.96.0.20:80 is not captured: ns/web:80 ${first}`,
    `ns/later: 10.96.0.20:80 is not captured: ns/web:80 ${first}`,
    `ns/later: 192.0.2.1:80 is not captured: ns/clash:80 ${first}`,
  ]);
  world.deleteService('clash');
  world.deleteService('web');
  world.publish();
  assert.deepEqual(messages(), []);
});

test('reports a Service that loses many addresses to another one once', () => {
  const externalIPs = Array.from({ length: 50 }, (_, n) => `192.0.2.${n + 1}`);
  for (const [n, name] of ['a', 'b'].entries()) {
    world.put({ service: service(name, { clusterIP: `10.96.0.2${n}`, externalIPs }) });
  }
  world.publish();
  assert.equal(messages().length, 1);
  assert.match(messages()[0]!, /^ns\/b: 192\.0\.2\.\d+:80 and 49 more are not captured: ns\/a:80 /);
});

test('a load balancer may use the address of a node, but not that of the API server', () => {
  const status = { loadBalancer: { ingress: [{ ip: '172.18.0.12' }, { ip: '172.18.0.1' }] } };
  world.put({ service: service('web', { type: 'LoadBalancer' }, { status }) });
  world.publish();
  const names = world.mirror.frontendNames().filter((name) => name.includes('loadbalancer'));
  assert.deepEqual(names, ['172.18.0.12:80/6 loadbalancer ns/web:80']);
  assert.equal(messages().length, 1);
});

test('an external IP of a node is captured, as kube-proxy does', () => {
  world.put({ service: service('web', { externalIPs: ['172.18.0.11', '172.18.0.12'] }) });
  world.publish();
  assert.deepEqual([captured().length, messages()], [2, []]);
});

test('releases an address that becomes an endpoint of the API server', () => {
  world.put({ service: service('web', { externalIPs: ['192.0.2.2'] }) });
  world.publish();
  assert.equal(captured().length, 1);
  const api = slice('kubernetes', 'kubernetes', [{ ip: '192.0.2.2' }]);
  api.metadata!.namespace = 'default';
  world.put({ slice: api });
  world.publish();
  assert.deepEqual([captured(), messages().length], [[], 1]);
});

test('refuses the newest Services while the image is full, and serves them afterwards', () => {
  const at = (day: number) => ({ creationTimestamp: `2026-01-0${day}T00:00:00Z` });
  const put = (name: string, day: number, externals: number) => {
    const externalIPs = Array.from({ length: externals }, (_, n) => `192.0.2.${n + 1}`);
    const metadata = { namespace: 'ns', name, ...at(day) };
    // Different addresses, so that no Service loses one to another.
    const own = externalIPs.map((address) => address.replace('2', String(day)));
    const spec = { clusterIP: `10.96.0.${day}`, externalIPs: own };
    world.put({ service: service(name, spec, { metadata }) });
  };
  world.compiler.wordsMax = 2000;
  put('old', 1, 1);
  put('flood', 2, 66);
  put('new', 3, 1);
  world.publish();
  const served = () => [...world.mirror.services.values()].map(({ name }) => name).sort();
  assert.deepEqual(served(), ['ns/new:80', 'ns/old:80']);
  assert.deepEqual(
    world.compiler.refusals().map(({ key, reason }) => [key, reason]),
    [['ns/flood', 'DoesNotFit']],
  );
  world.deleteService('new');
  world.compiler.wordsMax = 4000;
  world.publish();
  assert.deepEqual(served(), ['ns/flood:80', 'ns/old:80']);
  assert.deepEqual(messages(), []);
});

test('refuses a Service of 10,000 ports and 10,000 addresses before compiling it', () => {
  const externalIPs = Array.from({ length: 10_000 }, (_, n) => `198.18.${n >> 8}.${n & 255}`);
  const ports = Array.from({ length: 10_000 }, (_, n) => ({ name: `p${n}`, port: n + 1 }));
  const row = readService(service('flood', { externalIPs, ports }));
  const admission = new Admission();
  admission.put(row, []);
  assert.deepEqual(admission.decide(8_000_000), ['ns/flood']);
  world.tables.putService(row);
  const compiler = new Compiler(
    'n1',
    RANGES,
    new IdAllocator(new Map(), { flowsOf: () => 0, acknowledged: () => 0 }),
  );
  compiler.wordsMax = 8_000_000;
  const result = compiler.compile(world.tables, world.tables.takeChanges(), 1);
  assert.equal(result?.change.addFrontends.length, 0);
});
