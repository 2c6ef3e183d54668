import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import { formatDuration } from '../../../../control/apiserver/present/cells.ts';
import { podReady, podRestarts, podStatus } from '../../../../control/apiserver/present/pod.ts';
import type { KubeObject } from '../../../../control/kube/object.ts';
import { pod, service, startTestApi, type TestApi } from '../../../support/api-server.ts';

const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
const PODS = '/api/v1/namespaces/default/pods';
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const durations: [string, number][] = [
  ['0s', 0],
  ['119s', 119],
  ['2m', 120],
  ['2m1s', 121],
  ['10m', 630],
  ['179m', 3 * 3600 - 1],
  ['3h', 3 * 3600],
  ['3h1m', 3 * 3600 + 60],
  ['47h', 48 * 3600 - 1],
  ['2d1h', 49 * 3600],
  ['8d', 8 * 86_400 + 3600],
  ['2y1d', 731 * 86_400],
  ['<invalid>', -5],
];

for (const [wanted, seconds] of durations) {
  test(`${seconds} seconds are ${wanted}`, () => {
    assert.equal(formatDuration(seconds * 1000), wanted);
  });
}

const RUNNING = { name: 'a', ready: true, restartCount: 0, state: { running: {} } };
const ended = (terminated: object) => ({ name: 'b', state: { terminated } });
const statuses: [string, object, object][] = [
  ['Pending', { phase: 'Pending' }, {}],
  ['Running', { phase: 'Running', containerStatuses: [RUNNING] }, {}],
  ['Evicted', { phase: 'Failed', reason: 'Evicted' }, {}],
  ['CrashLoopBackOff', waiting('CrashLoopBackOff'), {}],
  ['Completed', { phase: 'Succeeded', containerStatuses: [ended({ reason: 'Completed' })] }, {}],
  ['Error', { phase: 'Running', containerStatuses: [ended({ reason: 'Error' }), RUNNING] }, {}],
  ['Signal:9', { phase: 'Failed', containerStatuses: [ended({ signal: 9 })] }, {}],
  ['ExitCode:3', { phase: 'Failed', containerStatuses: [ended({ exitCode: 3 })] }, {}],
  [
    'NotReady',
    { phase: 'Running', containerStatuses: [RUNNING, ended({ reason: 'Completed' })] },
    {},
  ],
  ['Init:0/1', { phase: 'Pending', initContainerStatuses: [RUNNING] }, {}],
  ['Init:Error', { phase: 'Pending', initContainerStatuses: [ended({ reason: 'Error' })] }, {}],
  ['Terminating', { phase: 'Running' }, { deletionTimestamp: '2026-01-01T00:00:00Z' }],
];

function waiting(reason: string): object {
  return { phase: 'Running', containerStatuses: [{ name: 'a', state: { waiting: { reason } } }] };
}

for (const [wanted, status, metadata] of statuses) {
  test(`a pod shows as ${wanted}`, () => {
    const spec = { containers: [{}], initContainers: [{}] };
    const object = { metadata: { name: 'p', ...metadata }, spec, status } as KubeObject;
    assert.equal(podStatus(object), wanted);
  });
}

test('ready containers and restarts are counted over all', () => {
  const finishedAt = new Date(Date.now() - 5 * 60_000).toISOString();
  const again = { ...RUNNING, restartCount: 2, lastState: { terminated: { finishedAt } } };
  const status = { containerStatuses: [again, { ...RUNNING, ready: false, restartCount: 1 }] };
  const object = { metadata: { name: 'p' }, spec: { containers: [{}, {}] }, status } as KubeObject;
  assert.equal(podReady(object), '1/2');
  assert.equal(podRestarts(object), '3 (5m ago)');
});

test("a list as a Table has upstream's columns and names its rows", async () => {
  await api.call('POST', PODS, pod('listed', {}, { nodeName: 'node1' }));
  const { body } = await api.call('GET', PODS, undefined, TABLE);
  assert.equal(body.kind, 'Table');
  const { columnDefinitions, rows, metadata } = body;
  const narrow = columnDefinitions.filter((c: { priority: number }) => c.priority === 0);
  assert.deepEqual(
    narrow.map((c: { name: string }) => c.name),
    ['Name', 'Ready', 'Status', 'Restarts', 'Age'],
  );
  assert.deepEqual(rows[0].cells.slice(0, 4), ['listed', '0/1', 'Pending', '0']);
  assert.equal(rows[0].cells[6], 'node1');
  assert.equal(rows[0].object.kind, 'PartialObjectMetadata');
  assert.equal(rows[0].object.metadata.name, 'listed');
  assert.match(metadata.resourceVersion, /^\d+$/);
});

test('a single object can be a Table too, with the whole object in its row', async () => {
  const spec = { type: 'NodePort', ports: [{ port: 80, nodePort: 30_500 }] };
  await api.call('POST', '/api/v1/namespaces/default/services', service('shown', spec));
  const path = '/api/v1/namespaces/default/services/shown?includeObject=Object';
  const { body } = await api.call('GET', path, undefined, TABLE);
  assert.equal(body.rows.length, 1);
  const { cells, object } = body.rows[0];
  assert.deepEqual(cells.slice(3, 5), ['<none>', '80:30500/TCP']);
  assert.equal(cells[6], 'app=web');
  assert.equal(object.spec.type, 'NodePort');
});

test('a list of every kind can be a Table, even if it is empty', async () => {
  const { body: core } = await api.call('GET', '/api/v1');
  const { body: discovery } = await api.call('GET', '/apis/discovery.k8s.io/v1');
  for (const { name } of [...core.resources, ...discovery.resources]) {
    if (name.includes('/')) continue;
    const root = discovery.resources.some((r: { name: string }) => r.name === name)
      ? '/apis/discovery.k8s.io/v1'
      : '/api/v1';
    const { code, body } = await api.call('GET', `${root}/${name}`, undefined, TABLE);
    assert.equal(code, 200, name);
    for (const { cells } of body.rows) assert.equal(cells.length, body.columnDefinitions.length);
  }
});

/** All events of a watch that the server ends. */
async function watchLines(path: string) {
  const { ca, port, token } = api;
  const headers = { ...TABLE, authorization: `Bearer ${token}` };
  const outgoing = request({ host: '127.0.0.1', port, path, ca, headers, agent: false }).end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test('a watch sends Tables of one row, and the columns only once', async () => {
  await api.call('POST', PODS, pod('seen', {}, { nodeName: 'node1' }));
  await api.call('POST', PODS, pod('seen-too', {}, { nodeName: 'node1' }));
  const events = await watchLines(`${PODS}?watch=1&timeoutSeconds=1`);
  assert.ok(events.length >= 2);
  assert.ok(events.every(({ object }) => object.kind === 'Table' && object.rows.length === 1));
  const withColumns = events.map(({ object }) => object.columnDefinitions.length > 0);
  assert.deepEqual(withColumns, [true, ...events.slice(1).map(() => false)]);
});

test('an unserved version of Tables falls back to objects', async () => {
  const accept = 'application/json;as=Table;v=v2;g=meta.k8s.io,application/json';
  const { body } = await api.call('GET', PODS, undefined, { accept });
  assert.equal(body.kind, 'PodList');
});

test('the OpenAPI document has fieldValidation for a PATCH of every kind', async () => {
  const { body } = await api.call('GET', '/openapi/v2');
  const { patch } = body.paths['/api/v1/namespaces/{namespace}/services/{name}'];
  assert.deepEqual(patch['x-kubernetes-group-version-kind'], {
    group: '',
    version: 'v1',
    kind: 'Service',
  });
  const names = patch.parameters.map((p: { name: string }) => p.name);
  assert.deepEqual(names, ['dryRun', 'fieldValidation']);
});

test('the OpenAPI document in protobuf has a media type without parameters', async () => {
  const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
  const { code, body } = await api.call('GET', '/openapi/v2', undefined, { accept });
  assert.equal(code, 200);
  // Field 1, three bytes: the version of the format.
  assert.ok(String(body).startsWith('\n\u00032.0'));
  assert.ok(String(body).includes('{"group":"apps","version":"v1","kind":"Deployment"}'));
});
