import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Allocator } from '../../../../control/apiserver/admit/allocator.ts';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { service, startTestApi, type TestApi } from '../../../support/api-server.ts';

const SERVICES = '/api/v1/namespaces/default/services';
const MERGE = { 'content-type': 'application/merge-patch+json' };
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const post = (object: object) => api.call('POST', SERVICES, object);

test('the Service kubernetes has the first address and leads to the API server', async () => {
  const { body } = await api.call('GET', `${SERVICES}/kubernetes`);
  assert.equal(body.spec.clusterIP, '10.96.0.1');
  const slices = await api.kube.list('EndpointSlice');
  assert.deepEqual(slices.items[0]?.endpoints?.[0]?.addresses, ['172.18.0.1']);
});

test('dynamic addresses lie above the band of 256 for manual choice', async () => {
  const { body } = await post(service('dynamic'));
  assert.equal(body.spec.clusterIP, '10.96.1.0');
  assert.deepEqual(body.spec.clusterIPs, ['10.96.1.0']);
});

test('an address has one Service, and is free after its deletion', async () => {
  await post(service('fixed', { clusterIP: '10.96.0.77' }));
  const second = await post(service('late', { clusterIP: '10.96.0.77' }));
  assert.equal(second.code, 422);
  assert.match(second.body.message, /provided IP is already allocated/);
  await api.call('DELETE', `${SERVICES}/fixed`);
  assert.equal((await post(service('late', { clusterIP: '10.96.0.77' }))).code, 201);
});

test('a dry run of an update checks the version', async () => {
  const { body } = await post(service('versioned'));
  const old = { ...body, metadata: { ...body.metadata, resourceVersion: '1', labels: { a: 'b' } } };
  const { code } = await api.call('PUT', `${SERVICES}/versioned?dryRun=All`, old);
  assert.equal(code, 409);
});

test('an address cannot change; an update without it keeps it', async () => {
  const { body } = await post(service('kept'));
  const path = `${SERVICES}/kept`;
  const other = await api.call('PATCH', path, { spec: { clusterIP: '10.96.9.9' } }, MERGE);
  assert.match(other.body.message, /may not change once set/);
  const replaced = await api.call('PUT', path, {
    ...service('kept'),
    metadata: { name: 'kept', resourceVersion: body.metadata.resourceVersion },
  });
  assert.equal(replaced.body.spec.clusterIP, body.spec.clusterIP);
});

test('a headless Service has no address', async () => {
  const { body } = await post(service('headless', { clusterIP: 'None' }));
  assert.equal(body.spec.clusterIP, 'None');
});

test('dynamic node ports start at 30086; TCP and UDP of one port share one', async () => {
  const ports = [
    { name: 'a', port: 53, protocol: 'TCP' },
    { name: 'b', port: 53, protocol: 'UDP' },
  ];
  const { body } = await post(service('shared', { type: 'NodePort', ports }));
  assert.deepEqual(
    body.spec.ports.map((p: { nodePort: number }) => p.nodePort),
    [30_086, 30_086],
  );
});

test('a node port has one Service, and is free after a change of type', async () => {
  const wanted = { type: 'NodePort', ports: [{ port: 80, nodePort: 30_050 }] };
  await post(service('np', wanted));
  const second = await post(service('np2', wanted));
  assert.match(
    second.body.message,
    /spec.ports\[0\].nodePort: .*provided port is already allocated/,
  );
  assert.equal((await api.call('GET', `${SERVICES}/np2`)).code, 404);
  const back = await api.call('PATCH', `${SERVICES}/np`, { spec: { type: 'ClusterIP' } }, MERGE);
  assert.equal(back.body.spec.ports[0].nodePort, undefined);
  assert.equal((await post(service('np2', wanted))).code, 201);
});

test('a refused Service releases what it allocated', async () => {
  const ports = [
    { name: 'a', port: 1, nodePort: 30_060 },
    { name: 'b', port: 2, nodePort: 1 },
  ];
  assert.equal((await post(service('half', { type: 'NodePort', ports }))).code, 422);
  const whole = { type: 'NodePort', ports: [{ port: 1, nodePort: 30_060 }] };
  assert.equal((await post(service('whole', whole))).code, 201);
});

test('200 Services have 200 addresses', async () => {
  const made = await Promise.all(
    Array.from({ length: 200 }, (_, i) => post(service(`many-${i}`, { type: 'NodePort' }))),
  );
  assert.equal(new Set(made.map(({ body }) => body.spec.clusterIP)).size, 200);
  assert.equal(new Set(made.map(({ body }) => body.spec.ports[0].nodePort)).size, 200);
});

test('a Service port name can be any DNS label, such as 80-80 from kubectl', async () => {
  const create = (name: string, port: string) =>
    api.call('POST', SERVICES, service(name, { ports: [{ port: 80, name: port }] }));
  assert.equal((await create('numbers', '80-80')).code, 201);
  assert.equal((await create('long', 'a-name-of-more-than-15-characters')).code, 201);
  const { code, body } = await create('spaced', 'a b');
  assert.equal(code, 422);
  assert.equal(body.details.causes[0].field, 'spec.ports[0].name');
});

test('a dry run of an update uses up no node port', async () => {
  await post(service('turned'));
  const change = { spec: { type: 'NodePort' } };
  const turn = (query: string) => api.call('PATCH', `${SERVICES}/turned${query}`, change, MERGE);
  const { body: dry } = await turn('?dryRun=All');
  const { body } = await turn('');
  assert.equal(body.spec.ports[0].nodePort, dry.spec.ports[0].nodePort);
});

test('a dry run of a create shows the address that the create gets', async () => {
  for (let times = 0; times < 3; times++) {
    await api.call('POST', `${SERVICES}?dryRun=All`, service('shown'));
  }
  const { body: dry } = await api.call('POST', `${SERVICES}?dryRun=All`, service('shown'));
  const { body } = await post(service('shown'));
  assert.equal(body.spec.clusterIP, dry.spec.clusterIP);
});

test('a refused Service uses up no address', async () => {
  const { body: dry } = await api.call('POST', `${SERVICES}?dryRun=All`, service('next'));
  const ports = [{ port: 80, nodePort: 80 }];
  assert.equal((await post(service('refused', { type: 'NodePort', ports }))).code, 422);
  const { body } = await post(service('next'));
  assert.equal(body.spec.clusterIP, dry.spec.clusterIP);
});

test('a dry run shows what would be allocated, refuses what could not be, and keeps nothing', async () => {
  const dry = (object: object) => api.call('POST', `${SERVICES}?dryRun=All`, object);
  const first = await dry(service('dry', { type: 'NodePort' }));
  assert.match(first.body.spec.clusterIP, /^10\.96\./);
  const { nodePort } = first.body.spec.ports[0];
  assert.ok(nodePort >= 30_000);
  const { clusterIP } = first.body.spec;
  const taken = service('taken', { clusterIP, type: 'NodePort', ports: [{ port: 1, nodePort }] });
  assert.equal((await post(taken)).code, 201);
  assert.match((await dry(service('dry', { clusterIP }))).body.message, /already allocated/);
  const path = `${SERVICES}/taken`;
  const change = { spec: { type: 'ClusterIP', ports: [{ port: 1 }] } };
  const tried = await api.call('PATCH', `${path}?dryRun=All`, change, MERGE);
  assert.equal(tried.body.spec.ports[0].nodePort, undefined);
  const late = service('late-port', { type: 'NodePort', ports: [{ port: 1, nodePort }] });
  assert.match(
    (await post(late)).body.message,
    /already allocated/,
    'the dry run released no port',
  );
});

test('a load balancer with policy Local gets a health check port, keeps it and releases it', async () => {
  const local = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };
  const { body: made } = await post(service('health', local));
  const health = async (spec: object) => {
    const { body } = await api.call('PATCH', `${SERVICES}/health`, { spec }, MERGE);
    return body.spec?.healthCheckNodePort;
  };
  const port = made.spec.healthCheckNodePort;
  assert.ok(port >= 30_086 && port <= 32_767);
  assert.equal(await health({ sessionAffinity: 'ClientIP' }), port, 'it stays');
  const nodePort = (number: number) =>
    post(service('rival', { type: 'NodePort', ports: [{ port: 80, nodePort: number }] }));
  assert.match((await nodePort(port)).body.message, /provided port is already allocated/);
  assert.equal(await health({ externalTrafficPolicy: 'Cluster' }), undefined);
  assert.equal((await nodePort(port)).code, 201);
  await api.call('DELETE', `${SERVICES}/rival`);
  const again = await health({ externalTrafficPolicy: 'Local', healthCheckNodePort: port });
  assert.equal(again, port, 'a port that is named');
  await api.call('DELETE', `${SERVICES}/health`);
  assert.equal((await nodePort(port)).code, 201);
});

for (const [range, first] of [
  ['10.96.0.0/24', '10.96.0.16'],
  ['10.96.0.0/22', '10.96.0.64'],
  ['10.96.0.0/20', '10.96.1.0'],
  ['10.96.0.0/12', '10.96.1.0'],
] as const) {
  test(`the first dynamic address of ${range} is ${first}: above min(max(16, size/16), 256)`, () => {
    const allocator = new Allocator({
      serviceRange: range,
      nodePortMin: 30_000,
      nodePortMax: 32_767,
    });
    const object = service('first') as KubeObject;
    allocator.allocateService(object, undefined);
    assert.equal((object.spec as { clusterIP?: string }).clusterIP, first);
  });
}

test('a load balancer without allocated node ports has only those that it names', async () => {
  const portOf = async (name: string, spec: object) => {
    const { body } = await post(service(name, { type: 'LoadBalancer', ...spec }));
    return body.spec.ports[0].nodePort;
  };
  assert.ok((await portOf('lb-usual', {})) >= 30_086);
  const none = { allocateLoadBalancerNodePorts: false };
  assert.equal(await portOf('lb-none', none), undefined);
  assert.equal(
    await portOf('lb-named', { ...none, ports: [{ port: 1, nodePort: 30_070 }] }),
    30_070,
  );
});

const portsOf = (body: { spec: { ports: { nodePort: number }[] } }) =>
  body.spec.ports.map(({ nodePort }) => nodePort);
const named = (name: string, port: number, rest: object = {}) => ({ name, port, ...rest });

test('an allocated port differs from those that the Service names', async () => {
  const { body: probe } = await post(service('probe', { type: 'NodePort' }));
  const next = probe.spec.ports[0].nodePort + 1;
  const ports = [named('a', 80), named('b', 81, { nodePort: next })];
  const { code, body } = await post(service('drawn', { type: 'NodePort', ports }));
  assert.equal(code, 201, JSON.stringify(body));
  const [first, second] = portsOf(body);
  assert.equal(second, next);
  assert.notEqual(first, second);
});

test('an allocated port differs from the health check port that the Service names', async () => {
  const { body: probe } = await post(service('probe2', { type: 'NodePort' }));
  const healthCheckNodePort = probe.spec.ports[0].nodePort + 1;
  const local = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort };
  const { code, body } = await post(service('drawn-health', local));
  assert.equal(code, 201, JSON.stringify(body));
  assert.notEqual(body.spec.ports[0].nodePort, healthCheckNodePort);
});

test('TCP and UDP share a number named for both or for the second', async () => {
  const both = (name: string, first: object) =>
    post(
      service(name, {
        type: 'NodePort',
        ports: [
          named('u', 53, { protocol: 'UDP', ...first }),
          named('t', 53, { nodePort: 30_053 }),
        ],
      }),
    );
  assert.deepEqual(portsOf((await both('dns', { nodePort: 30_053 })).body), [30_053, 30_053]);
  await api.call('DELETE', `${SERVICES}/dns`);
  assert.deepEqual(portsOf((await both('dns', {})).body), [30_053, 30_053]);
});

test('an update keeps node ports of ports with the same name and releases the others', async () => {
  const patch = async (ports: object[]) => {
    const { code, body } = await api.call('PATCH', `${SERVICES}/moves`, { spec: { ports } }, MERGE);
    assert.equal(code, 200, JSON.stringify(body));
    return portsOf(body);
  };
  const { body } = await post(
    service('moves', { type: 'NodePort', ports: [named('a', 80), named('b', 81)] }),
  );
  const [a, b] = portsOf(body) as [number, number];
  assert.deepEqual(await patch([named('a', 8080), named('b', 81)]), [a, b], 'another port');
  const swapped = [named('a', 80, { nodePort: b }), named('b', 81, { nodePort: a })];
  assert.deepEqual(await patch(swapped), [b, a]);
  assert.deepEqual(await patch([named('b', 81)]), [a]);
  const claim = (name: string, nodePort: number) =>
    post(service(name, { type: 'NodePort', ports: [{ port: 1, nodePort }] }));
  assert.equal((await claim('takes-b', b)).code, 201, 'the released port is free');
  assert.equal((await claim('takes-a', a)).code, 422, 'the kept port is not');
});

test('a refused update changes no allocation', async () => {
  const first = [named('a', 80, { nodePort: 30_061 })];
  await post(service('stays', { type: 'NodePort', ports: first }));
  const ports = [named('a', 80, { nodePort: 30_062 }), named('b', 81, { nodePort: 1 })];
  const refused = await api.call('PATCH', `${SERVICES}/stays`, { spec: { ports } }, MERGE);
  assert.equal(refused.code, 422);
  const claim = (name: string, nodePort: number) =>
    post(service(name, { type: 'NodePort', ports: [{ port: 1, nodePort }] }));
  assert.equal((await claim('not-taken', 30_062)).code, 201);
  assert.equal((await claim('still-held', 30_061)).code, 422);
});
