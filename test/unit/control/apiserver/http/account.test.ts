// An account that may read some kinds: it lists, gets and watches those, and does nothing else.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../../support/api-server.ts';

const TOKEN = 'token-of-a-reader';
const user = 'system:serviceaccount:kube-system:kube-dns';
let api: TestApi;
before(async () => {
  api = await startTestApi(null, [{ user, token: TOKEN, resources: ['services', 'pods'] }]);
});
after(() => api.close());

const headers = { authorization: `Bearer ${TOKEN}` };
const DEFAULT = '/api/v1/namespaces/default';

for (const path of [
  '/api/v1/services',
  `${DEFAULT}/services`,
  `${DEFAULT}/services/kubernetes`,
  `${DEFAULT}/pods`,
  '/api',
  '/apis/apps/v1',
  '/healthz',
]) {
  test(`reads ${path}`, async () => {
    assert.equal((await api.call('GET', path, undefined, headers)).code, 200);
  });
}

const metadata = { name: 'a' };
const REFUSED: [method: string, path: string, what: string][] = [
  ['GET', '/api/v1/secrets', 'list resource "secrets" in API group "" at the cluster scope'],
  [
    'GET',
    `${DEFAULT}/configmaps/a`,
    'get resource "configmaps" in API group "" in the namespace "default"',
  ],
  [
    'GET',
    '/apis/apps/v1/deployments',
    'list resource "deployments" in API group "apps" at the cluster scope',
  ],
  [
    'GET',
    `${DEFAULT}/pods/a/status`,
    'get resource "pods/status" in API group "" in the namespace "default"',
  ],
  [
    'POST',
    `${DEFAULT}/services`,
    'create resource "services" in API group "" in the namespace "default"',
  ],
  [
    'PUT',
    `${DEFAULT}/services/kubernetes`,
    'update resource "services" in API group "" in the namespace "default"',
  ],
  [
    'PATCH',
    `${DEFAULT}/services/kubernetes`,
    'patch resource "services" in API group "" in the namespace "default"',
  ],
  [
    'DELETE',
    `${DEFAULT}/services/kubernetes`,
    'delete resource "services" in API group "" in the namespace "default"',
  ],
];
for (const [method, path, what] of REFUSED) {
  test(`is refused ${method} ${path}`, async () => {
    const { code, body } = await api.call(
      method,
      path,
      method === 'GET' ? undefined : { metadata },
      headers,
    );
    assert.equal(code, 403, JSON.stringify(body));
    assert.equal(body.reason, 'Forbidden');
    assert.match(body.message, new RegExp(`^\\w+ is forbidden: User "${user}" cannot `));
    assert.ok(body.message.endsWith(what), body.message);
  });
}

test('is refused logs of pods, and unknown paths', async () => {
  for (const path of [`${DEFAULT}/pods/a/log`, '/nothing']) {
    const { code, body } = await api.call('GET', path, undefined, headers);
    assert.equal(code, 403);
    assert.equal(body.message, `forbidden: User "${user}" cannot get path "${path}"`);
  }
});

test('does not restrict the owner of the server', async () => {
  assert.equal((await api.call('GET', '/api/v1/secrets')).code, 200);
  const wrong = { authorization: `Bearer ${TOKEN}x` };
  assert.equal((await api.call('GET', '/api/v1/services', undefined, wrong)).code, 401);
});
