import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HealthServers } from '../../../../control/health/health.ts';
import { checkTables, type Fault, HealthMonitor } from '../../../../control/health/monitor.ts';
import { readNode } from '../../../../control/model/node.ts';
import { readService } from '../../../../control/model/service.ts';
import { readSlice } from '../../../../control/model/slice.ts';
import { Tables } from '../../../../control/model/tables.ts';
import { Publisher } from '../../../../control/sync/publisher.ts';
import { KubetunError } from '../../../../datapath/error.ts';
import { FakeClock } from '../../../support/clock.ts';
import { RANGES } from '../compile/world.ts';
import { type EndpointSpec, node, service, slice } from '../model/objects.ts';
import { FakeSink, fakeLog } from '../sync/fake-sink.ts';

const HOST = '127.0.0.1';
/** A free port, for tests to listen on. */
let healthPort: number;
let clock: FakeClock;
let tables: Tables;
let sink: FakeSink;
let log: ReturnType<typeof fakeLog>;
let publisher: Publisher;
let servers: HealthServers;
let monitor: HealthMonitor;
/** Result of the worker's check. */
let workerFault: Fault | null;

const serverOptions = () => ({ host: HOST, nodePort: 0, tables, publisher, monitor, clock, log });

beforeEach(async () => {
  clock = new FakeClock(1000);
  tables = new Tables('n1');
  sink = new FakeSink();
  log = fakeLog();
  publisher = new Publisher({
    ...{ nodeName: 'n1', ranges: RANGES, tables, sink, sources: [], clock, log },
    onRun: () => servers.sync(),
  });
  workerFault = null;
  const checks = { tables: checkTables(publisher), worker: () => workerFault };
  monitor = new HealthMonitor({ checks, clock, log });
  servers = new HealthServers(serverOptions());
  const probe = new HealthServers(serverOptions());
  healthPort = await until(() => probe.nodePort);
  probe.stop();
  await delay(1);
});
afterEach(() => {
  servers.stop();
  monitor.stop();
  publisher.stop();
});

async function until<T>(look: () => T | null): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== null) return found;
    await delay(1);
  }
}

async function get(port: number, path = '/') {
  const response = await fetch(`http://${HOST}:${port}${path}`);
  const body = (await response.json()) as Record<string, unknown>;
  return { status: response.status, headers: response.headers, body };
}

const ask = async (path: string) => get(await until(() => servers.nodePort), path);
const askService = async () => get(await until(() => servers.servicePort('ns/web')));

function putNode(rest: object = {}): void {
  tables.putNode(readNode({ ...node('n1', '172.18.0.11'), ...rest }));
  publisher.changed();
}

function putService(spec: object = {}): void {
  const local = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };
  const object = service('web', { ...local, healthCheckNodePort: healthPort, ...spec });
  tables.putService(readService(object));
  publisher.changed();
}

function putEndpoints(...endpoints: EndpointSpec[]): void {
  tables.putSlice(readSlice(slice('web-1', 'web', endpoints)), null);
  tables.putSlice(readSlice(slice('web-2', 'web', endpoints, [{ port: 9090 }])), null);
  publisher.changed();
}

test('a Service is healthy on a node with ready endpoints, and reports their number', async () => {
  putNode();
  putService();
  putEndpoints(
    { ip: '10.244.1.2', node: 'n1' },
    { ip: '10.244.1.3', node: 'n1' },
    { ip: '10.244.2.2', node: 'n2' },
    { ip: '10.244.1.4', node: 'n1', ready: false, serving: true, terminating: true },
  );
  clock.advance(100);
  const found = await askService();
  assert.equal(found.status, 200);
  assert.deepEqual(found.body, {
    service: { namespace: 'ns', name: 'web' },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
  assert.equal(found.headers.get('x-load-balancing-endpoint-weight'), '2');
  putEndpoints({ ip: '10.244.2.2', node: 'n2' });
  clock.advance(100);
  const { status, body, headers } = await askService();
  assert.deepEqual([status, body.localEndpoints], [503, 0]);
  assert.equal(headers.get('x-load-balancing-endpoint-weight'), '0');
});

test('a Service has a health port only as long as its traffic policy is Local', async () => {
  putNode();
  putService({ externalTrafficPolicy: 'Cluster' });
  clock.advance(100);
  assert.equal(servers.servicePort('ns/web'), null);
  putService();
  clock.advance(100);
  await askService();
  putService({ externalTrafficPolicy: 'Cluster' });
  clock.advance(100);
  await assert.rejects(get(healthPort));
  putService();
  clock.advance(100);
  await askService();
  tables.deleteService(tables.services.get('ns/web')!);
  publisher.changed();
  clock.advance(100);
  await assert.rejects(get(healthPort));
});

test('logs a health port that is in use, serves the others, and tries again', async () => {
  const other = new HealthServers({ ...serverOptions(), nodePort: healthPort });
  await until(() => other.nodePort);
  putNode();
  putService();
  putEndpoints({ ip: '10.244.1.2', node: 'n1' });
  clock.advance(100);
  await until(() => (log.lines.some((line) => line.includes('Service ns/web')) ? true : null));
  assert.equal((await ask('/healthz')).status, 200);
  other.stop();
  await delay(5);
  clock.advance(10_000);
  assert.equal((await askService()).status, 200);
});

test('takes the node health port once another proxy frees it, and logs one conflict', async () => {
  const another = new HealthServers({ ...serverOptions(), nodePort: healthPort });
  const said = () => log.lines.filter((line) => line.includes('the health of the node')).length;
  await until(() => (said() === 0 ? another.nodePort : null));
  const late = new HealthServers({ ...serverOptions(), nodePort: healthPort });
  await until(() => (said() > 0 ? true : null));
  for (let n = 0; n < 3; n++) {
    clock.advance(10_000);
    await delay(5);
  }
  assert.deepEqual([said(), late.nodePort], [1, null]);
  another.stop();
  await delay(5);
  clock.advance(10_000);
  assert.equal(await until(() => late.nodePort), healthPort);
  late.stop();
});

test('the node is not healthy before its first image', async () => {
  const { status, body } = await ask('/healthz');
  assert.deepEqual([status, body.lastUpdated], [503, null]);
  putNode();
  clock.advance(100);
  assert.equal((await ask('/healthz')).status, 200);
});

test('the node and its Services are unhealthy while a change is pending for over 60 s', async () => {
  putNode();
  putService();
  putEndpoints({ ip: '10.244.1.2', node: 'n1' });
  clock.advance(100);
  for (let n = 0; n < 2000; n++) sink.failures.push(new KubetunError('KT_IMAGE_BUSY', 'b', 'a'));
  putEndpoints({ ip: '10.244.1.3', node: 'n1' });
  clock.advance(60_000);
  const { status, body } = await ask('/healthz');
  assert.equal(status, 200);
  const age = Date.parse(String(body.currentTime)) - Date.parse(String(body.lastUpdated));
  assert.ok(age >= 60_000, 'the answer has the age of the change');
  clock.advance(1);
  assert.equal((await ask('/healthz')).status, 503);
  assert.equal((await ask('/livez')).status, 503);
  const web = await askService();
  assert.deepEqual([web.status, web.body.serviceProxyHealthy], [503, false]);
  sink.failures.length = 0;
  clock.advance(100);
  assert.equal((await ask('/healthz')).status, 200);
  assert.equal((await askService()).status, 200);
});

test('names an unhealthy part with its reason and start time, and fails every health port', async () => {
  putNode();
  putService();
  putEndpoints({ ip: '10.244.1.2', node: 'n1' });
  clock.advance(100);
  assert.equal((await askService()).status, 200);
  workerFault = { reason: 'the worker last ticked 4 s ago' };
  clock.advance(1000);
  for (const path of ['/healthz', '/livez']) {
    const { status, body } = await ask(path);
    assert.equal(status, 503, path);
    const [found, ...more] = body.unhealthy as { part: string; reason: string; since: string }[];
    assert.deepEqual([found!.part, found!.reason, more], ['worker', workerFault.reason, []]);
    const age = Date.parse(String(body.currentTime)) - Date.parse(found!.since);
    assert.ok(age > 0 && age <= 1000, 'the age counts from the first check');
  }
  const web = await askService();
  assert.deepEqual([web.status, web.body.serviceProxyHealthy], [503, false]);
  workerFault = null;
  const { status, body } = await ask('/healthz');
  assert.deepEqual([status, body.unhealthy], [200, undefined]);
  assert.equal((await askService()).status, 200);
});

test('stays healthy for an hour without a change, and reports the last update as of now', async () => {
  putNode();
  clock.advance(3_600_000);
  const { status, body } = await ask('/healthz');
  assert.equal(status, 200);
  assert.equal(body.lastUpdated, body.currentTime);
});

const LEAVING: [what: string, rest: object][] = [
  ['deleted', { metadata: { name: 'n1', deletionTimestamp: '2026-01-01T00:00:00Z' } }],
  [
    'removed by the autoscaler',
    { spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] } },
  ],
];
for (const [what, rest] of LEAVING) {
  test(`a Node that is ${what} fails healthz but not livez`, async () => {
    putNode();
    clock.advance(100);
    assert.deepEqual([(await ask('/healthz')).body.nodeEligible], [true]);
    putNode(rest);
    clock.advance(100);
    const found = await ask('/healthz');
    assert.deepEqual([found.status, found.body.nodeEligible], [503, false]);
    const livez = await ask('/livez');
    assert.deepEqual(
      [livez.status, Object.keys(livez.body)],
      [200, ['lastUpdated', 'currentTime']],
    );
    putNode();
    clock.advance(100);
    assert.equal((await ask('/healthz')).status, 200);
  });
}

test('answers an unknown path with 404', async () => {
  assert.equal((await ask('/')).status, 404);
});
