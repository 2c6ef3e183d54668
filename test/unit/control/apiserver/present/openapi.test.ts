// The OpenAPI documents: schemas, and the parameters of a PATCH.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SERVED } from '../../../../../control/apiserver/verbs/kinds.ts';
import { startTestApi, type TestApi } from '../../../../support/api-server.ts';

let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

// biome-ignore lint/suspicious/noExplicitAny: a document of any shape.
async function documentOf(apiVersion: string): Promise<any> {
  const { body: root } = await api.call('GET', '/openapi/v3');
  const key = `${apiVersion.includes('/') ? 'apis' : 'api'}/${apiVersion}`;
  return (await api.call('GET', root.paths[key].serverRelativeURL)).body;
}

for (const { kind, group, version, apiVersion, plural, namespaced } of SERVED) {
  test(`a ${kind} has a schema, and the paths by which kubectl explain finds it`, async () => {
    const document = await documentOf(apiVersion);
    const gvk = { group, version, kind };
    const schemas = Object.values<{ [field: string]: unknown }>(document.components.schemas);
    const own = schemas.filter(
      (s) => JSON.stringify(s['x-kubernetes-group-version-kind']) === JSON.stringify([gvk]),
    );
    assert.equal(own.length, 1);
    assert.match(own[0]!.description as string, /\w{3}/);
    const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
    const path = `${root}/${namespaced ? 'namespaces/{namespace}/' : ''}${plural}`;
    assert.deepEqual(document.paths[path].get['x-kubernetes-group-version-kind'], gvk);
    const { patch } = document.paths[`${path}/{name}`];
    assert.deepEqual(patch['x-kubernetes-group-version-kind'], gvk);
    const names = patch.parameters.map((p: { name: string }) => p.name);
    assert.ok(names.includes('fieldValidation') && names.includes('dryRun'));
  });
}

test('every reference in a document leads to a schema in it', async () => {
  for (const apiVersion of new Set(SERVED.map((row) => row.apiVersion))) {
    const document = await documentOf(apiVersion);
    for (const [, name] of JSON.stringify(document).matchAll(/#\/components\/schemas\/([^"]+)/g)) {
      assert.ok(document.components.schemas[name!], name);
    }
  }
});

test('fields have types, formats, descriptions and a required mark', async () => {
  const { components } = await documentOf('v1');
  const port = components.schemas['io.k8s.v1.ServicePort'];
  assert.deepEqual(port.required, ['port']);
  assert.equal(port.properties.port.format, 'int32');
  assert.match(port.properties.port.description, /exposed by this service/);
  assert.equal(port.properties.targetPort.format, 'int-or-string');
  const { properties } = components.schemas['io.k8s.v1.PodSpec'];
  assert.equal(properties.nodeSelector.additionalProperties.type, 'string');
  assert.deepEqual(properties.containers.items, {
    $ref: '#/components/schemas/io.k8s.v1.Container',
  });
  assert.match(
    components.schemas['io.k8s.v1.Secret'].properties.data.additionalProperties.format,
    /byte/,
  );
});

test('a group that is not served has no document', async () => {
  assert.equal((await api.call('GET', '/openapi/v3/apis/policy/v1')).code, 404);
});
