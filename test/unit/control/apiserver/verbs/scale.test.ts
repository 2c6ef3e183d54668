import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, startTestApi, type TestApi } from '../../../../support/api-server.ts';

const REPLICASETS = '/apis/apps/v1/namespaces/default/replicasets';
const SCALE = `${REPLICASETS}/web/scale`;
const MERGE = { 'content-type': 'application/merge-patch+json' };
let api: TestApi;

before(async () => {
  api = await startTestApi();
  const template = {
    metadata: { labels: { app: 'web', tier: 'b' } },
    spec: { containers: [{ name: 'main', image: 'pause' }] },
  };
  await api.call('POST', REPLICASETS, {
    metadata: { name: 'web' },
    spec: { replicas: 0, selector: { matchLabels: { tier: 'b', app: 'web' } }, template },
  });
});
after(() => api.close());

/** The ReplicaSet when its controller has nothing more to write. */
async function settled(): Promise<Answer['body']> {
  for (;;) {
    const { body } = await api.call('GET', `${REPLICASETS}/web`);
    const { metadata, spec, status } = body;
    const isSeen = status.observedGeneration === metadata.generation;
    if (isSeen && status.replicas === spec.replicas) return body;
  }
}

const replicas = async () => (await api.call('GET', `${REPLICASETS}/web`)).body.spec.replicas;

test('a Scale has the wanted and the present number of pods, and their selector', async () => {
  const owner = await settled();
  const { body } = await api.call('GET', SCALE);
  assert.equal(body.kind, 'Scale');
  assert.equal(body.apiVersion, 'autoscaling/v1');
  assert.equal(body.metadata.uid, owner.metadata.uid);
  assert.equal(body.metadata.resourceVersion, owner.metadata.resourceVersion);
  assert.deepEqual(body.spec, { replicas: 0 });
  assert.deepEqual(body.status, { replicas: 0, selector: 'app=web,tier=b' });
});

test('a Scale is patched and replaced, and an old one is refused', async () => {
  const patched = await api.call('PATCH', SCALE, { spec: { replicas: 2 } }, MERGE);
  assert.deepEqual([patched.code, patched.body.spec.replicas], [200, 2]);
  assert.equal(await replicas(), 2);
  const { resourceVersion } = (await settled()).metadata;
  const metadata = { ...patched.body.metadata, resourceVersion };
  const wanted = { ...patched.body, metadata, spec: { replicas: 1 } };
  const replaced = await api.call('PUT', SCALE, wanted);
  assert.deepEqual([replaced.code, replaced.body.kind], [200, 'Scale']);
  assert.equal(await replicas(), 1);
  const late = await api.call('PUT', SCALE, { ...patched.body, spec: { replicas: 5 } });
  assert.deepEqual([late.code, late.body.reason], [409, 'Conflict']);
  assert.equal(await replicas(), 1);
});

test('a dry run of a Scale changes nothing', async () => {
  const before = await replicas();
  const path = `${SCALE}?dryRun=All`;
  const { body } = await api.call('PATCH', path, { spec: { replicas: 7 } }, MERGE);
  assert.equal(body.spec.replicas, 7);
  assert.equal(await replicas(), before);
});

test('an invalid Scale is refused', async () => {
  const negative = await api.call('PATCH', SCALE, { spec: { replicas: -1 } }, MERGE);
  assert.equal(negative.code, 422);
  assert.equal(
    negative.body.message,
    'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
  );
  const half = await api.call('PATCH', SCALE, { spec: { replicas: 0.5 } }, MERGE);
  assert.equal(half.code, 400);
  const other = await api.call('PUT', SCALE, { kind: 'ReplicaSet', spec: { replicas: 1 } });
  assert.equal(other.code, 400);
  assert.equal((await api.call('DELETE', SCALE)).code, 405);
  const none = await api.call('GET', '/api/v1/namespaces/default/pods/web/scale');
  assert.equal(none.code, 404);
});

test('discovery names the scale subresources', async () => {
  const { body } = await api.call('GET', '/apis/apps/v1');
  const found = body.resources.filter(({ kind }: { kind: string }) => kind === 'Scale');
  assert.deepEqual(
    found.map((r: { name: string; group: string; version: string }) => [
      r.name,
      r.group,
      r.version,
    ]),
    [
      ['deployments/scale', 'autoscaling', 'v1'],
      ['replicasets/scale', 'autoscaling', 'v1'],
      ['statefulsets/scale', 'autoscaling', 'v1'],
    ],
  );
});
