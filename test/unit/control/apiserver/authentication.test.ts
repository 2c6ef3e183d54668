// A request without the token gets no answer but 401, not even from the health paths.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const PATHS = [
  ...[
    '/',
    '/healthz',
    '/livez',
    '/readyz',
    '/version',
    '/api',
    '/apis',
    '/api/v1',
    '/apis/apps/v1',
  ],
  ...['/openapi/v2', '/openapi/v3', '/openapi/v3/api/v1', '/nothing', CONFIGMAPS],
  ...[
    `${CONFIGMAPS}/kube-root-ca.crt`,
    '/api/v1/pods?watch=1',
    '/api/v1/namespaces/default/pods/p/log',
  ],
];

const CREDENTIALS: [
  what: string,
  header: (token: string) => string,
  query: (t: string) => string,
][] = [
  ['no token', () => '', () => ''],
  ['a wrong token', () => 'Bearer wrong', () => ''],
  ['a token that is longer', (token) => `Bearer ${token}x`, () => ''],
  ['a token cut short', (token) => `Bearer ${token.slice(0, -1)}`, () => ''],
  ['another scheme', (token) => `Basic ${Buffer.from(`a:${token}`).toString('base64')}`, () => ''],
  ['the token without a scheme', (token) => token, () => ''],
  ['the token in the query', () => '', (token) => `access_token=${token}&token=${token}`],
];

const STATUS = {
  ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure' },
  ...{ message: 'Unauthorized', reason: 'Unauthorized', code: 401 },
};

for (const [what, header, query] of CREDENTIALS) {
  test(`${what}: 401 and a Status, whatever is asked for`, async () => {
    for (const path of PATHS) {
      const asked = query(api.token);
      const full = asked === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${asked}`;
      const headers = { authorization: header(api.token) };
      const { code, body } = await api.call('GET', full, undefined, headers);
      assert.equal(code, 401, path);
      assert.deepEqual(body, STATUS, path);
    }
  });
}

test('a refused request changes nothing', async () => {
  const headers = { authorization: 'Bearer wrong' };
  const object = { metadata: { name: 'smuggled' } };
  assert.equal((await api.call('POST', CONFIGMAPS, object, headers)).code, 401);
  assert.equal((await api.call('GET', `${CONFIGMAPS}/smuggled`)).code, 404);
  const kept = `${CONFIGMAPS}/kube-root-ca.crt`;
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    assert.equal((await api.call(method, kept, object, headers)).code, 401);
  }
  assert.equal((await api.call('GET', kept)).code, 200);
});

test('no stream to a pod starts without the token', async () => {
  const path = '/api/v1/namespaces/default/pods/p/exec?command=sh&stdin=true';
  for (const [protocol, authorization] of [
    ['websocket', ''],
    ['websocket', 'Bearer wrong'],
    ['SPDY/3.1', ''],
  ] as [string, string][]) {
    const headers = { authorization, connection: 'Upgrade', upgrade: protocol };
    const { code, body } = await api.call('GET', path, undefined, headers);
    assert.equal(code, 401, protocol);
    assert.equal(typeof body === 'string' ? JSON.parse(body).reason : body.reason, 'Unauthorized');
  }
});

test('an invalid path is a bad request', async () => {
  assert.equal((await api.call('GET', '//')).code, 400);
});
