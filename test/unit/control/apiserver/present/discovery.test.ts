// Discovery: the documents that list the served groups and resources.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../../support/api-server.ts';

let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const aggregated = (version: string) =>
  `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;

interface Resource {
  name: string;
  kind: string;
  verbs: string[];
}

for (const path of ['/api', '/apis']) {
  test(`the aggregated answer of ${path} has the content of the single documents`, async () => {
    const accept = `${aggregated('v2')},${aggregated('v2beta1')},application/json`;
    // The media type has parameters, so the client returns the body as text.
    const answer = await api.call('GET', path, undefined, { accept });
    const list = JSON.parse(answer.body);
    assert.equal(list.kind, 'APIGroupDiscoveryList');
    assert.equal(list.apiVersion, 'apidiscovery.k8s.io/v2');
    assert.ok(list.items.length > 0);
    for (const { metadata, versions } of list.items) {
      for (const { version, resources } of versions) {
        const root = path === '/api' ? '/api' : `/apis/${metadata.name}`;
        const { body } = await api.call('GET', `${root}/${version}`);
        const expected = body.resources.map((r: Resource) => [r.name, r.kind, r.verbs]);
        // biome-ignore lint/suspicious/noExplicitAny: an answer of any shape.
        const found = resources.flatMap((r: any) => [
          [r.resource, r.responseKind.kind, r.verbs],
          // biome-ignore lint/suspicious/noExplicitAny: as above.
          ...(r.subresources ?? []).map((s: any) => [
            ...[`${r.resource}/${s.subresource}`, s.responseKind.kind, s.verbs],
          ]),
        ]);
        assert.deepEqual(found.sort(), expected.sort());
      }
    }
  });
}

test('a client that accepts only the older form gets it', async () => {
  const answer = await api.call('GET', '/apis', undefined, { accept: aggregated('v2beta1') });
  assert.equal(JSON.parse(answer.body).apiVersion, 'apidiscovery.k8s.io/v2beta1');
});

test('a client that accepts an unknown form gets the single documents', async () => {
  for (const accept of [aggregated('v9'), 'application/json', '']) {
    const { body } = await api.call('GET', '/apis', undefined, { accept });
    assert.equal(body.kind, 'APIGroupList');
  }
});
