// What an account of a program may do, beside the owner of the server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const ACCOUNT = { authorization: 'Bearer account' };
const MERGE = { 'content-type': 'application/merge-patch+json' };
const INGRESSES = '/apis/networking.k8s.io/v1/namespaces/default/ingresses';
const CLASSES = '/apis/networking.k8s.io/v1/ingressclasses';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces';
let api: TestApi;

before(async () => {
  api = await startTestApi(null, [
    {
      ...{ user: 'system:serviceaccount:ingress:haproxy', token: 'account' },
      resources: ['ingresses'],
      rights: [
        { resource: 'ingresses/status', methods: ['PATCH'] },
        { resource: 'leases', namespace: 'default', methods: ['GET', 'POST'] },
      ],
    },
  ]);
});
after(() => api.close());

const backend = { service: { name: 'web', port: { number: 80 } } };
const ingress = (name: string, spec: object = {}, metadata: object = {}) => ({
  metadata: { name, ...metadata },
  spec: { defaultBackend: backend, ...spec },
});
const lease = { metadata: { name: 'l' }, spec: { holderIdentity: 'a' } };
const status = { status: { loadBalancer: { ingress: [{ ip: '198.51.100.254' }] } } };

test('an account reads its kinds and writes by its rights only', async () => {
  await api.call('POST', INGRESSES, ingress('a'));
  const rows: [method: string, path: string, body: object | undefined, code: number][] = [
    ['GET', `${INGRESSES}/a`, undefined, 200],
    ['GET', '/api/v1/secrets', undefined, 403],
    ['PATCH', `${INGRESSES}/a`, { spec: {} }, 403],
    ['PATCH', `${INGRESSES}/a/status`, status, 200],
    ['PUT', `${INGRESSES}/a/status`, status, 403],
    ['DELETE', `${INGRESSES}/a`, undefined, 403],
    ['POST', `${LEASES}/default/leases`, lease, 201],
    ['GET', `${LEASES}/default/leases/l`, undefined, 200],
    ['POST', `${LEASES}/kube-system/leases`, lease, 403],
    ['GET', `${LEASES}/kube-system/leases`, undefined, 403],
  ];
  for (const [method, path, body, code] of rows) {
    const headers = { ...ACCOUNT, ...(method === 'PATCH' && MERGE) };
    const answer = await api.call(method, path, body, headers);
    assert.equal(answer.code, code, `${method} ${path}`);
  }
});

test('a refusal names the part of the object', async () => {
  const { body } = await api.call('PUT', `${INGRESSES}/a/status`, status, ACCOUNT);
  assert.match(body.message, /cannot update resource "ingresses\/status" in API group/);
});

test('a new Ingress without a class gets the newest default one', async () => {
  const made = async (name: string, spec?: object, metadata?: object) => {
    const { body } = await api.call('POST', INGRESSES, ingress(name, spec, metadata));
    return body.spec.ingressClassName;
  };
  assert.equal(await made('none'), undefined);
  const annotations = { 'ingressclass.kubernetes.io/is-default-class': 'true' };
  const controller = { spec: { controller: 'example.test/c' } };
  await api.call('POST', CLASSES, { metadata: { name: 'usual' }, ...controller });
  await api.call('POST', CLASSES, { metadata: { name: 'standard', annotations }, ...controller });
  assert.equal(await made('given'), 'standard');
  assert.equal(await made('own', { ingressClassName: 'usual' }), 'usual');
  const old = { annotations: { 'kubernetes.io/ingress.class': 'usual' } };
  assert.equal(await made('old', {}, old), undefined);
  await api.call('PATCH', `${INGRESSES}/none`, { metadata: { labels: { a: 'b' } } }, MERGE);
  const { body } = await api.call('GET', `${INGRESSES}/none`);
  assert.equal(body.spec.ingressClassName, undefined);
});
