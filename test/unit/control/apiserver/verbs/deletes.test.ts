import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../../support/api-server.ts';

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

async function make(name: string, metadata: object = {}): Promise<string> {
  const { body } = await api.call('POST', CONFIGMAPS, { metadata: { name, ...metadata } });
  return body.metadata.uid;
}

const isThere = async (name: string) =>
  (await api.call('GET', `${CONFIGMAPS}/${name}`)).code === 200;
const ownedBy = (uid: string, name: string) => ({
  ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name, uid }],
});

test('a dry run deletes nothing, whether the body or the query asks for it', async () => {
  await make('dry', { labels: { set: 'dry' } });
  const all = `${CONFIGMAPS}?labelSelector=set=dry`;
  for (const [path, body] of [
    [`${CONFIGMAPS}/dry`, { dryRun: ['All'] }],
    [`${CONFIGMAPS}/dry?dryRun=All`, undefined],
    [all, { dryRun: ['All'] }],
    [`${all}&dryRun=All`, undefined],
  ] as [string, object | undefined][]) {
    assert.equal((await api.call('DELETE', path, body)).code, 200, path);
    assert.ok(await isThere('dry'), path);
  }
  await api.call('DELETE', all);
  assert.equal(await isThere('dry'), false);
});

test('invalid delete options and a delete of a status are refused', async () => {
  await make('kept');
  for (const body of [{ dryRun: ['Some'] }, { propagationPolicy: 'Upwards' }]) {
    const answer = await api.call('DELETE', `${CONFIGMAPS}/kept`, body);
    assert.equal(answer.code, 422);
    assert.match(
      answer.body.message,
      /^DeleteOptions.meta.k8s.io "" is invalid: \w+: Unsupported value/,
    );
  }
  assert.equal((await api.call('DELETE', '/api/v1/namespaces/kube-system/status')).code, 405);
  assert.ok(await isThere('kept'));
});

test('orphaned dependents stay, others go with their owner', async () => {
  for (const [policy, stays] of [
    ['Orphan', true],
    ['Background', false],
  ] as [string, boolean][]) {
    const [owner, owned] = [`owner-${policy.toLowerCase()}`, `owned-${policy.toLowerCase()}`];
    const uid = await make(owner);
    await make(owned, ownedBy(uid, owner));
    await api.call('DELETE', `${CONFIGMAPS}/${owner}`, { propagationPolicy: policy });
    // The garbage collector runs between two requests.
    for (let tries = 0; tries < 50 && (await isThere(owned)); tries++);
    assert.equal(await isThere(owned), stays, policy);
  }
});

test('a refused delete orphans no dependent', async () => {
  const uid = await make('refused');
  await make('still-owned', ownedBy(uid, 'refused'));
  const body = { propagationPolicy: 'Orphan', preconditions: { uid: 'another' } };
  assert.equal((await api.call('DELETE', `${CONFIGMAPS}/refused`, body)).code, 409);
  const { body: owned } = await api.call('GET', `${CONFIGMAPS}/still-owned`);
  assert.equal(owned.metadata.ownerReferences[0].uid, uid);
});
