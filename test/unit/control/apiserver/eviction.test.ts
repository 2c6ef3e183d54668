// Evictions of pods, as kubectl drain asks for them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeMessage } from '../../../../control/apiserver/http/protobuf.ts';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const PODS = '/api/v1/namespaces/default/pods';
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const eviction = (name: string, deleteOptions?: object) => ({
  ...{ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } },
  ...(deleteOptions && { deleteOptions }),
});

async function make(name: string): Promise<void> {
  const containers = [{ name: 'main', image: 'pause' }];
  const spec = { nodeName: 'node1', terminationGracePeriodSeconds: 60, containers };
  const { code } = await api.call('POST', PODS, { metadata: { name }, spec });
  assert.equal(code, 201);
}

test('an eviction starts the deletion of a pod and sets its condition DisruptionTarget', async () => {
  await make('a');
  const options = { gracePeriodSeconds: 5 };
  const { code, body } = await api.call('POST', `${PODS}/a/eviction`, eviction('a', options));
  assert.deepEqual([code, body.status], [201, 'Success']);
  const { metadata, status } = (await api.call('GET', `${PODS}/a`)).body;
  assert.equal(metadata.deletionGracePeriodSeconds, 5);
  const [condition] = status.conditions;
  const { type, status: value, reason, message } = condition;
  assert.deepEqual(
    [type, value, reason, message],
    ['DisruptionTarget', 'True', 'EvictionByEvictionAPI', 'Eviction API: evicting'],
  );
});

test('a dry run evicts nothing', async () => {
  await make('b');
  const given = eviction('b', { dryRun: ['All'] });
  assert.equal((await api.call('POST', `${PODS}/b/eviction`, given)).code, 201);
  const { metadata, status } = (await api.call('GET', `${PODS}/b`)).body;
  assert.equal(metadata.deletionTimestamp, undefined);
  assert.equal(status.conditions, undefined);
});

const refused: [what: string, method: string, name: string, code: number][] = [
  ['of a pod that does not exist', 'POST', 'none', 404],
  ['with another name than the path', 'POST', 'b', 400],
  ['that is read', 'GET', 'b', 405],
];
for (const [what, method, name, code] of refused) {
  test(`refuses an eviction ${what}`, async () => {
    const given = method === 'POST' ? eviction(code === 400 ? 'other' : name) : undefined;
    const answer = await api.call(method, `${PODS}/${name}/eviction`, given);
    assert.equal(answer.code, code, JSON.stringify(answer.body));
  });
}

test('kubectl finds the subresource, and may send it as protobuf', async () => {
  const { body } = await api.call('GET', '/api/v1');
  const row = body.resources.find(({ name }: { name: string }) => name === 'pods/eviction');
  const { kind, group, version, verbs } = row;
  assert.deepEqual([kind, group, version, verbs], ['Eviction', 'policy', 'v1', ['create']]);
  const bytes = Buffer.from([0x0a, 3, 0x0a, 1, 0x61, 0x12, 2, 0x08, 5]);
  assert.deepEqual(decodeMessage('Eviction', bytes), {
    metadata: { name: 'a' },
    deleteOptions: { gracePeriodSeconds: 5 },
  });
});
