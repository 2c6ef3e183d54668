import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pod, startTestApi, type TestApi } from '../../../support/api-server.ts';

const PODS = '/api/v1/namespaces/default/pods';
const ACCOUNTS = '/api/v1/namespaces/default/serviceaccounts';

let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

for (const field of ['serviceAccountName', 'serviceAccount']) {
  test(`refuses a pod whose ${field} does not exist, with upstream's message`, async () => {
    const { code, body } = await api.call('POST', PODS, pod('lost', {}, { [field]: 'ghost' }));
    assert.equal(code, 403);
    assert.equal(body.reason, 'Forbidden');
    assert.equal(
      body.message,
      'pods "lost" is forbidden: error looking up service account default/ghost: ' +
        'serviceaccount "ghost" not found',
    );
    assert.deepEqual(body.details, { name: 'lost', kind: 'pods' });
    assert.equal((await api.call('GET', `${PODS}/lost`)).code, 404);
  });
}

test('messages have the prefix of a generated name, so that equal events add up', async () => {
  const made = pod('', { generateName: 'web-' }, { serviceAccountName: 'ghost' });
  const { code, body } = await api.call('POST', PODS, made);
  assert.equal(code, 403);
  assert.match(body.message, /^pods "web-" is forbidden: /);
});

test('a missing account is also refused in a dry run and by server-side apply', async () => {
  const lost = pod('lost', {}, { serviceAccountName: 'ghost' });
  assert.equal((await api.call('POST', `${PODS}?dryRun=All`, lost)).code, 403);
  const whole = { apiVersion: 'v1', kind: 'Pod', ...lost };
  const type = { 'content-type': 'application/apply-patch+yaml' };
  const { code } = await api.call('PATCH', `${PODS}/lost?fieldManager=me`, whole, type);
  assert.equal(code, 403);
});

test('accepts a pod of an existing account, and of the default one just deleted', async () => {
  await api.call('POST', ACCOUNTS, { metadata: { name: 'clerk' } });
  const { code } = await api.call('POST', PODS, pod('a', {}, { serviceAccountName: 'clerk' }));
  assert.equal(code, 201);
  await api.call('DELETE', `${ACCOUNTS}/default`);
  assert.equal((await api.call('POST', PODS, pod('b'))).code, 201);
});

test('an account of another namespace does not count', async () => {
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: 'other' } });
  await api.call('POST', '/api/v1/namespaces/other/serviceaccounts', { metadata: { name: 'far' } });
  const { code } = await api.call('POST', PODS, pod('c', {}, { serviceAccountName: 'far' }));
  assert.equal(code, 403);
});

test('a pod can run and change after the deletion of its account', async () => {
  await api.call('POST', ACCOUNTS, { metadata: { name: 'brief' } });
  await api.call('POST', PODS, pod('d', {}, { serviceAccountName: 'brief' }));
  await api.call('DELETE', `${ACCOUNTS}/brief`);
  const type = { 'content-type': 'application/merge-patch+json' };
  const change = { metadata: { labels: { app: 'other' } } };
  assert.equal((await api.call('PATCH', `${PODS}/d`, change, type)).code, 200);
});
