// Manifests with null and empty values, by every way into the API server: such a field counts as
// absent.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathOf } from '../../../../control/kube/kinds.ts';
import { checkManifests } from '../../../../lab/life/check.ts';
import { type ManifestObject, readManifests } from '../../../../lab/life/manifest.ts';
import { defaultTopology } from '../../../../lab/topology/topology.ts';
import { readYaml } from '../../../../lab/yaml/document.ts';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const FILES = ['nulls', 'nulls-bound', 'selector-null', 'empty-values'];
const folder = mkdtempSync(join(tmpdir(), 'kubetun-left-out-'));
const journal = join(folder, 'journal');
let api: TestApi;

before(async () => {
  api = await startTestApi(journal);
});
after(async () => {
  await api.close();
  rmSync(folder, { recursive: true });
});

const fileOf = (name: string) =>
  join(import.meta.dirname, '../../../support/manifests', `${name}.yaml`);

// biome-ignore lint/suspicious/noExplicitAny: the content of the files.
type Raw = any;

/** The decoded objects of the files, and their raw content with nulls and empty values. */
function objects(): (ManifestObject & { path: string; raw: Raw })[] {
  return FILES.map(fileOf).flatMap((file) => {
    const raws = readYaml(file).map(({ value }) => value);
    return readManifests([file]).map((item, i) => ({
      ...item,
      path: pathOf(item.kind, item.namespace),
      raw: raws[i],
    }));
  });
}

function nullsOf(value: unknown, path = ''): string[] {
  if (value === null) return [path];
  if (typeof value !== 'object') return [];
  return Object.entries(value as object).flatMap(([key, item]) => nullsOf(item, `${path}.${key}`));
}

const PATCH = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

test('every object is created, replaced, patched and applied, and nothing stored is null', async () => {
  for (const { kind, name, path, raw } of objects()) {
    const own = `${path}/${name}`;
    const at = `${kind} ${name}`;
    const created = await api.call('POST', path, raw);
    assert.equal(created.code, 201, `${at}: ${created.body.message}`);
    const stored = (await api.call('GET', own)).body;
    assert.deepEqual(nullsOf(stored), [], at);
    const asks: [string, unknown, string?][] = [
      ['PUT', raw],
      ['PATCH', raw, PATCH.merge],
      ['PATCH', raw, PATCH.strategic],
      ['PATCH', [{ op: 'add', path: '/metadata/labels', value: null }], PATCH.json],
      ['PATCH', [{ op: 'add', path: '/metadata/annotations', value: { a: null } }], PATCH.json],
    ];
    for (const [method, ask, type] of asks) {
      const headers = type ? { 'content-type': type } : {};
      const answer = await api.call(method, own, ask, headers);
      assert.equal(answer.code, 200, `${at}: ${method} ${type}: ${answer.body.message}`);
      assert.deepEqual(nullsOf(answer.body), [], at);
    }
    const query = '?fieldManager=me&force=true';
    const applied = await api.call('PATCH', `${own}${query}`, raw, {
      'content-type': PATCH.apply,
    });
    assert.equal(applied.code, 200, `${at}: ${applied.body.message}`);
    assert.deepEqual(nullsOf(applied.body), [], at);
  }
});

test('a restarted server has these objects, and its controllers accept them', async () => {
  await api.close();
  api = await startTestApi(journal);
  for (const { path, name } of objects()) {
    assert.equal((await api.call('GET', `${path}/${name}`)).code, 200, name);
  }
});

test('absent fields have their defaults', async () => {
  const get = async (path: string) => (await api.call('GET', path)).body;
  const inB01 = '/namespaces/b01';
  const { replicas, strategy } = (await get(`/apis/apps/v1${inB01}/deployments/web`)).spec;
  assert.equal(replicas, 1);
  assert.deepEqual(strategy, {
    type: 'RollingUpdate',
    rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' },
  });
  const web = (await get(`/api/v1${inB01}/services/web`)).spec;
  assert.equal(web.type, 'ClusterIP');
  assert.deepEqual(web.ports, [{ port: 80, protocol: 'TCP', targetPort: 8080 }]);
  const services = '/api/v1/namespaces/default/services';
  const target = (await get(`${services}/zero-target`)).spec.ports[0];
  assert.equal(target.targetPort, 8080);
  const words = (await get(`${services}/empty-words`)).spec;
  assert.deepEqual([words.type, words.sessionAffinity], ['ClusterIP', 'None']);
  assert.match(words.clusterIP, /^10\.96\./);
  assert.deepEqual(words.ports, [{ port: 81, protocol: 'TCP', targetPort: 81 }]);
  const half = (await get(`${services}/half-config`)).spec.sessionAffinityConfig;
  assert.deepEqual(half, { clientIP: { timeoutSeconds: 10_800 } });
  const { spec } = await get('/api/v1/namespaces/default/pods/empties');
  assert.deepEqual(
    [spec.restartPolicy, spec.dnsPolicy, spec.schedulerName],
    ['Always', 'ClusterFirst', 'default-scheduler'],
  );
  assert.equal(spec.containers[0].imagePullPolicy, 'Always');
  assert.deepEqual(spec.containers[0].ports, [{ containerPort: 8080, protocol: 'TCP' }]);
});

test('a null of a merge patch removes a field', async () => {
  const path = '/api/v1/namespaces/default/services/half-config';
  const type = { 'content-type': PATCH.merge };
  await api.call('PATCH', path, { metadata: { labels: { a: '1' } } }, type);
  const { body } = await api.call('PATCH', path, { metadata: { labels: { a: null } } }, type);
  assert.deepEqual(body.metadata.labels ?? {}, {});
});

for (const name of FILES) {
  test(`lab up accepts ${name}.yaml`, () => {
    checkManifests(readManifests([fileOf(name)]), defaultTopology());
  });
}
