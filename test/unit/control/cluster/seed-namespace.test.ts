import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pod, startTestApi, type TestApi } from '../../../support/api-server.ts';

let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const account = (namespace: string) => `/api/v1/namespaces/${namespace}/serviceaccounts/default`;
const root = (namespace: string) => `/api/v1/namespaces/${namespace}/configmaps/kube-root-ca.crt`;

for (const namespace of ['default', 'kube-system', 'made']) {
  test(`the namespace ${namespace} has an account and the root certificate`, async () => {
    if (namespace === 'made') {
      await api.call('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
    }
    assert.equal((await api.call('GET', account(namespace))).code, 200);
    assert.equal((await api.call('GET', root(namespace))).body.data['ca.crt'], api.ca);
  });
}

test('restores a deleted account, and a deleted or changed certificate', async () => {
  for (const path of [account('default'), root('default')]) {
    assert.equal((await api.call('DELETE', path)).code, 200);
    assert.equal((await api.call('GET', path)).code, 200);
  }
  const { body } = await api.call('GET', root('default'));
  await api.call('PUT', root('default'), { ...body, data: {} });
  assert.equal((await api.call('GET', root('default'))).body.data['ca.crt'], api.ca);
});

test('account and certificate do not hold a namespace in deletion', async () => {
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: 'ending' } });
  await api.call('DELETE', '/api/v1/namespaces/ending');
  for (let tries = 0; tries < 100; tries++) {
    if ((await api.call('GET', '/api/v1/namespaces/ending')).code === 404) break;
  }
  assert.equal((await api.call('GET', '/api/v1/namespaces/ending')).code, 404);
  assert.equal((await api.call('GET', root('ending'))).code, 404);
});

test('a pod without an account gets the default one', async () => {
  const { body } = await api.call('POST', '/api/v1/namespaces/default/pods', pod('plain'));
  assert.equal(body.spec.serviceAccountName, 'default');
  assert.equal(body.spec.serviceAccount, 'default');
});
