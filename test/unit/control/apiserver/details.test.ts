// The details of a Status, for clients that do not read messages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pod, startTestApi, type TestApi } from '../../../support/api-server.ts';

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

test('details of NotFound: name, group and plural', async () => {
  const { body } = await api.call('GET', `${DEPLOYMENTS}/x`);
  assert.deepEqual(body.details, { name: 'x', group: 'apps', kind: 'deployments' });
});

test('details of AlreadyExists: name, group and plural', async () => {
  await api.call('POST', CONFIGMAPS, { metadata: { name: 'twice' } });
  const { body } = await api.call('POST', CONFIGMAPS, { metadata: { name: 'twice' } });
  assert.equal(body.reason, 'AlreadyExists');
  assert.deepEqual(body.details, { name: 'twice', kind: 'configmaps' });
});

test('details of Invalid: the kind and a cause for each error', async () => {
  const spec = { leaseDurationSeconds: 0, leaseTransitions: -1 };
  const { body } = await api.call('POST', LEASES, { metadata: { name: 'l' }, spec });
  const { causes, ...rest } = body.details;
  assert.deepEqual(rest, { name: 'l', group: 'coordination.k8s.io', kind: 'Lease' });
  assert.deepEqual(
    causes.map((c: { field: string; reason: string }) => [c.field, c.reason]),
    [
      ['spec.leaseDurationSeconds', 'FieldValueInvalid'],
      ['spec.leaseTransitions', 'FieldValueInvalid'],
    ],
  );
});

test('details of Forbidden: the object, and a cause where clients need it', async () => {
  const { body: kept } = await api.call('DELETE', '/api/v1/namespaces/default');
  assert.deepEqual(kept.details, { name: 'default', kind: 'namespaces' });
  const ending = { metadata: { name: 'ending' } };
  await api.call('POST', '/api/v1/namespaces', ending);
  await api.call('POST', '/api/v1/namespaces/ending/configmaps', {
    metadata: { name: 'held', finalizers: ['example.com/wait'] },
  });
  await api.call('DELETE', '/api/v1/namespaces/ending');
  const { body } = await api.call('POST', '/api/v1/namespaces/ending/configmaps', {
    metadata: { name: 'late' },
  });
  assert.equal(body.reason, 'Forbidden');
  assert.deepEqual(body.details, {
    ...{ name: 'late', kind: 'configmaps' },
    causes: [
      {
        reason: 'NamespaceTerminating',
        message: 'namespace ending is being terminated',
        field: 'metadata.namespace',
      },
    ],
  });
});

test('a completed delete returns a Status, or the object where upstream does', async () => {
  const { body: made } = await api.call('POST', CONFIGMAPS, { metadata: { name: 'gone' } });
  const { code, body } = await api.call('DELETE', `${CONFIGMAPS}/gone`);
  assert.equal(code, 200);
  assert.deepEqual(body, {
    ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' },
    details: { name: 'gone', kind: 'configmaps', uid: made.metadata.uid },
  });
  await api.call('POST', '/api/v1/namespaces/default/pods', pod('shown'));
  const shown = await api.call('DELETE', '/api/v1/namespaces/default/pods/shown');
  assert.equal(shown.body.kind, 'Pod');
});

test('the refusal of an unserved subresource names no object, as kubectl debug expects', async () => {
  const path = '/api/v1/namespaces/default/pods/x/ephemeralcontainers';
  const { code, body } = await api.call('PATCH', path, {});
  assert.equal(code, 404);
  assert.deepEqual(body.details, {});
});
