import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ManagedFields } from '../../../../../control/apiserver/apply/managers.ts';
import { pod, service, startTestApi, type TestApi } from '../../../../support/api-server.ts';

const SERVICES = '/api/v1/namespaces/default/services';
const MAPS = '/api/v1/namespaces/default/configmaps';
const PODS = '/api/v1/namespaces/default/pods';
const APPLY = { 'content-type': 'application/apply-patch+yaml' };
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

function map(name: string, data: object, metadata: object = {}): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...metadata }, data };
}

function apply(path: string, body: unknown, query = 'fieldManager=me') {
  return api.call('PATCH', `${path}?${query}`, body, APPLY);
}

/** Manager, operation, subresource and fields of each entry, by manager. */
// biome-ignore lint/suspicious/noExplicitAny: the tests check the answer.
function managers(object: any): [manager: string, how: string, fields: object][] {
  return (object.metadata.managedFields as ManagedFields[])
    .map((m): [string, string, object] => [
      m.manager,
      `${m.operation}${m.subresource ? ` ${m.subresource}` : ''}`,
      m.fieldsV1,
    ])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

test('an apply creates an object, and a second one changes it', async () => {
  const created = await apply(`${MAPS}/made`, map('made', { a: '1' }));
  assert.equal(created.code, 201);
  assert.deepEqual(managers(created.body), [['me', 'Apply', { 'f:data': { 'f:a': {} } }]]);
  const changed = await apply(`${MAPS}/made`, map('made', { b: '2' }));
  assert.equal(changed.code, 200);
  assert.deepEqual(changed.body.data, { b: '2' });
});

test('an apply that changes nothing keeps the version', async () => {
  const body = { apiVersion: 'v1', kind: 'Service', ...service('same') };
  const { body: first } = await apply(`${SERVICES}/same`, body);
  assert.deepEqual((await apply(`${SERVICES}/same`, body)).body, first);
});

test('a dry run of an apply returns the result and stores nothing', async () => {
  const query = 'fieldManager=me&dryRun=All';
  const { code, body } = await apply(`${MAPS}/dry`, map('dry', { a: '1' }), query);
  assert.equal(code, 201);
  assert.equal(body.metadata.managedFields.length, 1);
  assert.equal((await api.call('GET', `${MAPS}/dry`)).code, 404);
});

test('an apply needs a manager', async () => {
  const { code, body } = await apply(`${MAPS}/x`, map('x', {}), '');
  assert.equal(code, 422);
  assert.equal(
    body.message,
    'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
  );
  const long = await apply(`${MAPS}/x`, map('x', {}), `fieldManager=${'x'.repeat(129)}`);
  assert.equal(long.code, 422);
});

test('only an apply can have force', async () => {
  const type = { 'content-type': 'application/merge-patch+json' };
  const { code, body } = await api.call('PATCH', `${MAPS}/x?force=true`, {}, type);
  assert.equal(code, 422);
  assert.match(body.message, /force: Forbidden: may not be specified for non-apply patch/);
});

test('a configuration must match the object in the URL', async () => {
  const rows: [object, RegExp][] = [
    [{ ...map('x', {}), apiVersion: 'v2' }, /^apiVersion of the applied object must be v1/],
    [{ metadata: { name: 'x' } }, /^apiVersion of the applied object must be v1/],
    [{ ...map('x', {}), kind: 'Secret' }, /^kind of the applied object must be ConfigMap/],
    [map('y', {}), /^the name of the object \(y\) does not match the name on the URL \(x\)/],
    [map('x', {}, { namespace: 'kube-system' }), /^the namespace of the provided object/],
    [map('x', {}, { managedFields: [{}] }), /^metadata.managedFields must be nil/],
    [
      { ...map('x', {}), metadata: { name: {} } },
      /cannot unmarshal object into Go struct field ObjectMeta\.metadata\.name of type string/,
    ],
    [{ ...map('x', {}), dada: 1 }, /\(default\/x; \/v1, Kind=ConfigMap\): \.dada: field not decl/],
  ];
  for (const [body, message] of rows) {
    const answer = await apply(`${MAPS}/x`, body);
    assert.equal(answer.code, 400);
    assert.match(answer.body.message, message);
  }
});

test('an applied null means absent', async () => {
  const { code, body } = await apply(`${MAPS}/null`, map('null', { a: '1', b: null }));
  assert.equal(code, 201);
  assert.deepEqual(body.data, { a: '1' });
  assert.deepEqual(managers(body), [['me', 'Apply', { 'f:data': { 'f:a': {}, 'f:b': {} } }]]);
});

test('a list with two items of one key cannot be applied', async () => {
  const spec = { ports: [{ port: 80 }, { port: 80, protocol: 'TCP', name: 'b' }] };
  const body = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'twice' }, spec };
  const answer = await apply(`${SERVICES}/twice`, body);
  assert.equal(answer.code, 400);
  assert.match(answer.body.message, /\.spec\.ports: duplicate entries for key/);
});

test('an apply can require a uid or a resourceVersion', async () => {
  const missing = await apply(`${MAPS}/uid`, map('uid', {}, { uid: 'u' }));
  assert.equal(missing.code, 409);
  assert.match(missing.body.message, /uid mismatch: the provided object specified uid u/);
  const { body: made } = await apply(`${MAPS}/uid`, map('uid', { a: '1' }));
  const { resourceVersion } = made.metadata;
  const first = await apply(`${MAPS}/uid`, map('uid', { a: '2' }, { resourceVersion }));
  assert.equal(first.code, 200);
  const late = await apply(`${MAPS}/uid`, map('uid', { a: '3' }, { resourceVersion }));
  assert.equal(late.code, 409);
  assert.match(late.body.message, /the object has been modified/);
});

test('an apply keeps the times of YAML as strings', async () => {
  const text =
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml, annotations: {t: 2026-01-01}}\n';
  const url = `https://127.0.0.1:${api.port}${MAPS}/yaml?fieldManager=me`;
  const { code, body } = await raw(url, text);
  assert.equal(code, 201);
  assert.deepEqual(body.metadata.annotations, { t: '2026-01-01' });
  const bad = await raw(url, 'a: [');
  assert.equal(bad.code, 400);
  assert.match(bad.body.message, /^the body of the request is not YAML: /);
});

test('an apply to the status has a separate entry', async () => {
  await api.call('POST', `${PODS}?fieldManager=maker`, pod('stated', {}, { nodeName: 'node1' }));
  const status = { conditions: [{ type: 'Ready', status: 'True' }] };
  const body = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'stated' }, status };
  const { body: answer } = await apply(`${PODS}/stated/status`, body);
  assert.equal(answer.status.conditions[0].status, 'True');
  assert.equal(answer.status.phase, 'Pending');
  const ready = { 'k:{"type":"Ready"}': { '.': {}, 'f:status': {}, 'f:type': {} } };
  const entry = ['me', 'Apply status', { 'f:status': { 'f:conditions': ready } }];
  assert.deepEqual(
    managers(answer).find(([manager]) => manager === 'me'),
    entry,
  );
  const main = await apply(`${PODS}/stated`, { ...body, status: { phase: 'Failed' } });
  assert.equal(main.body.status.phase, 'Pending');
  assert.equal((await apply(`${PODS}/nobody/status`, body)).code, 404);
});

test('a write of the scale owns spec.replicas', async () => {
  const labels = { app: 'none' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'm', image: 'i' }] } };
  const metadata = { name: 'scaled', namespace: 'default' };
  const spec = { replicas: 0, selector: { matchLabels: labels }, template };
  const path = '/apis/apps/v1/namespaces/default/replicasets';
  const body = { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata, spec };
  await apply(`${path}/scaled`, body);
  const type = { 'content-type': 'application/merge-patch+json' };
  const change = { spec: { replicas: 1 } };
  await api.call('PATCH', `${path}/scaled/scale?fieldManager=scaler`, change, type);
  const { body: scaled } = await api.call('GET', `${path}/scaled`);
  const owned = managers(scaled).find(([manager]) => manager === 'scaler');
  assert.deepEqual(owned, ['scaler', 'Update scale', { 'f:spec': { 'f:replicas': {} } }]);
  const again = await apply(`${path}/scaled`, body);
  assert.match(
    again.body.message,
    /"scaler" with subresource "scale" using apps\/v1: .spec.replicas$/,
  );
});

test('writes are recorded under fieldManager, or under the name of the program', async () => {
  const agent = { 'user-agent': 'my-tool/v1.0 (linux)' };
  const { body: made } = await api.call('POST', MAPS, map('seen', { a: '1' }), agent);
  assert.deepEqual(managers(made), [['my-tool', 'Update', { 'f:data': { '.': {}, 'f:a': {} } }]]);
  const changed = { ...made, data: { a: '1', b: '2' } };
  const { body: put } = await api.call('PUT', `${MAPS}/seen?fieldManager=editor`, changed);
  const type = { 'content-type': 'application/merge-patch+json', 'user-agent': '' };
  const { body: patched } = await api.call('PATCH', `${MAPS}/seen`, { data: { a: '2' } }, type);
  assert.deepEqual(managers(put), [
    ['editor', 'Update', { 'f:data': { 'f:b': {} } }],
    ['my-tool', 'Update', { 'f:data': { '.': {}, 'f:a': {} } }],
  ]);
  assert.deepEqual(managers(patched), [
    ['editor', 'Update', { 'f:data': { 'f:b': {} } }],
    ['my-tool', 'Update', { 'f:data': {} }],
    ['unknown', 'Update', { 'f:data': { 'f:a': {} } }],
  ]);
});

test('an update can write managers, remove all with [{}], or omit them', async () => {
  const { body: made } = await apply(`${MAPS}/owned`, map('owned', { a: '1' }));
  const without = structuredClone(made);
  delete without.metadata.managedFields;
  const put = await api.call('PUT', `${MAPS}/owned`, without);
  assert.deepEqual(put.body, made);
  const [entry] = made.metadata.managedFields;
  const renamed = { ...made.metadata, managedFields: [{ ...entry, manager: 'heir' }] };
  const moved = await api.call('PUT', `${MAPS}/owned`, { ...made, metadata: renamed });
  assert.deepEqual(managers(moved.body), [['heir', 'Apply', { 'f:data': { 'f:a': {} } }]]);
  const type = { 'content-type': 'application/merge-patch+json' };
  const reset = { metadata: { managedFields: [{}] } };
  const { body: bare } = await api.call('PATCH', `${MAPS}/owned`, reset, type);
  assert.equal(bare.metadata.managedFields, undefined);
  const wrong = { metadata: { managedFields: [{ ...entry, operation: 'Steal' }] } };
  const refused = await api.call('PATCH', `${MAPS}/owned`, wrong, type);
  assert.equal(refused.code, 422);
  assert.match(
    refused.body.message,
    /metadata.managedFields\[0\].operation: Invalid value: "Steal"/,
  );
});

async function raw(url: string, body: string) {
  const { request } = await import('node:https');
  return new Promise<{
    code: number;
    body: { message: string; metadata: { annotations: object } };
  }>((resolve, reject) => {
    const headers = { authorization: `Bearer ${api.token}`, ...APPLY };
    const outgoing = request(url, { method: 'PATCH', ca: api.ca, headers }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ code: response.statusCode ?? 0, body: JSON.parse(text) });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
