import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { StatusError } from '../../../../../control/apiserver/status.ts';
import { jsonPatch } from '../../../../../control/apiserver/verbs/json-patch.ts';
import { strategicPatch } from '../../../../../control/apiserver/verbs/patch.ts';
import { service, startTestApi, type TestApi } from '../../../../support/api-server.ts';

const SERVICES = '/api/v1/namespaces/default/services';
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const jsonPatches: [string, unknown, unknown[], unknown][] = [
  ['add to a map', { a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
  ['add into a list', [1, 3], [{ op: 'add', path: '/1', value: 2 }], [1, 2, 3]],
  ['add to the end of a list', [1], [{ op: 'add', path: '/-', value: 2 }], [1, 2]],
  ['remove', { a: { b: 1, c: 2 } }, [{ op: 'remove', path: '/a/b' }], { a: { c: 2 } }],
  ['replace', { a: [1, 2] }, [{ op: 'replace', path: '/a/1', value: 5 }], { a: [1, 5] }],
  ['move', { a: 1 }, [{ op: 'move', from: '/a', path: '/b' }], { b: 1 }],
  ['copy', { a: [1] }, [{ op: 'copy', from: '/a', path: '/b' }], { a: [1], b: [1] }],
  ['escaped names', { 'x/y~': 1 }, [{ op: 'replace', path: '/x~1y~0', value: 2 }], { 'x/y~': 2 }],
  ['a test that holds', { a: [1] }, [{ op: 'test', path: '/a', value: [1] }], { a: [1] }],
  [
    'a test of a field named constructor',
    { l: { constructor: 'a' } },
    [{ op: 'test', path: '/l/constructor', value: 'a' }],
    { l: { constructor: 'a' } },
  ],
  ['the whole', { a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
];

for (const [name, target, patch, wanted] of jsonPatches) {
  test(`JSON patch: ${name}`, () => {
    const before = structuredClone(target);
    assert.deepEqual(jsonPatch(target, patch), wanted);
    assert.deepEqual(target, before);
  });
}

const misfits: [string, number, unknown][] = [
  ['no list', 400, { op: 'add' }],
  ['an unknown operation', 400, [{ op: 'swap', path: '/a' }]],
  ['a path without a slash', 400, [{ op: 'remove', path: 'a' }]],
  ['nothing to remove', 422, [{ op: 'remove', path: '/z' }]],
  ['an index beyond the end', 422, [{ op: 'add', path: '/l/3', value: 1 }]],
  ['a name for an index', 422, [{ op: 'add', path: '/l/x', value: 1 }]],
  ['a missing parent', 422, [{ op: 'add', path: '/x/y', value: 1 }]],
  ['a field that only a prototype has', 422, [{ op: 'remove', path: '/toString' }]],
  ['a path into a prototype', 422, [{ op: 'add', path: '/toString/x', value: 1 }]],
  ['a test that fails', 422, [{ op: 'test', path: '/a', value: 2 }]],
];

for (const [name, code, patch] of misfits) {
  test(`JSON patch: ${name} is refused with ${code}`, () => {
    const refused = (error: unknown) => error instanceof StatusError && error.code === code;
    assert.throws(() => jsonPatch({ a: 1, l: [1] }, patch), refused);
  });
}

const container = (name: string, over: object = {}) => ({ name, image: 'pause', ...over });
const strategicPatches: [string, unknown, unknown, unknown][] = [
  [
    'maps are merged, null removes',
    { a: 1, b: { c: 2 } },
    { a: null, b: { d: 3 } },
    { b: { c: 2, d: 3 } },
  ],
  [
    'containers are merged by name, and new ones come last',
    { containers: [container('x'), container('y')] },
    { containers: [{ name: 'z' }, { name: 'x', image: 'new' }] },
    { containers: [container('x', { image: 'new' }), container('y'), { name: 'z' }] },
  ],
  [
    'an item is deleted by its key',
    { containers: [container('x'), container('y')] },
    { containers: [{ name: 'x', $patch: 'delete' }] },
    { containers: [container('y')] },
  ],
  [
    'ports of a container are merged by containerPort, those of a Service by port',
    { containers: [container('x', { ports: [{ containerPort: 1 }] })], ports: [{ port: 1 }] },
    { containers: [{ name: 'x', ports: [{ containerPort: 2 }] }], ports: [{ port: 1, name: 'n' }] },
    {
      containers: [container('x', { ports: [{ containerPort: 1 }, { containerPort: 2 }] })],
      ports: [{ port: 1, name: 'n' }],
    },
  ],
  ['other lists are replaced', { args: ['a', 'b'] }, { args: ['c'] }, { args: ['c'] }],
  ['sets grow', { finalizers: ['a'] }, { finalizers: ['a', 'b'] }, { finalizers: ['a', 'b'] }],
  [
    '$deleteFromPrimitiveList removes items of a set',
    { finalizers: ['a', 'b'] },
    { '$deleteFromPrimitiveList/finalizers': ['a'] },
    { finalizers: ['b'] },
  ],
  [
    '$patch: replace replaces a map',
    { a: { b: 1 } },
    { a: { $patch: 'replace', c: 2 } },
    { a: { c: 2 } },
  ],
  [
    '$patch: replace replaces a list',
    { env: [{ name: 'a' }] },
    { env: [{ $patch: 'replace' }, { name: 'b' }] },
    { env: [{ name: 'b' }] },
  ],
  [
    'only retained keys stay',
    { s: { a: 1, b: 2 } },
    { s: { $retainKeys: ['b'], b: 3 } },
    { s: { b: 3 } },
  ],
  [
    'items come in the order asked for, and others keep their place',
    { env: [{ name: 'a' }, { name: 'own' }, { name: 'b' }] },
    { env: [{ name: 'b', value: '1' }], '$setElementOrder/env': [{ name: 'b' }, { name: 'a' }] },
    { env: [{ name: 'own' }, { name: 'b', value: '1' }, { name: 'a' }] },
  ],
];

for (const [name, target, patch, wanted] of strategicPatches) {
  test(`strategic merge patch: ${name}`, () => {
    const before = structuredClone(target);
    assert.deepEqual(strategicPatch(target, patch), wanted);
    assert.deepEqual(target, before);
  });
}

test('an item without its key is refused', () => {
  assert.throws(
    () => strategicPatch({}, { containers: [{ image: 'pause' }] }),
    /does not contain declared merge key: name/,
  );
});

test('the media type selects the kind of patch, and a refused patch changes nothing', async () => {
  await api.call('POST', SERVICES, service('kinds'));
  const path = `${SERVICES}/kinds`;
  const patch = (type: string, body: unknown) =>
    api.call('PATCH', path, body, { 'content-type': `application/${type}+json` });
  const added = await patch('strategic-merge-patch', {
    spec: { ports: [{ port: 80, name: 'a' }] },
  });
  assert.equal(added.body.spec.ports[0].name, 'a');
  const replaced = await patch('json-patch', [
    { op: 'replace', path: '/spec/ports/0/name', value: 'b' },
  ]);
  assert.equal(replaced.body.spec.ports[0].name, 'b');
  const refused = await patch('json-patch', [
    { op: 'replace', path: '/spec/ports/0/name', value: 'c' },
    { op: 'test', path: '/spec/ports/0/port', value: 81 },
  ]);
  assert.equal(refused.code, 422);
  assert.equal((await api.call('GET', path)).body.spec.ports[0].name, 'b');
});

test('a patch with an old version is a conflict', async () => {
  const { body } = await api.call('POST', SERVICES, service('stale'));
  const { resourceVersion } = body.metadata;
  const type = { 'content-type': 'application/strategic-merge-patch+json' };
  const change = (label: string) => ({ metadata: { resourceVersion, labels: { label } } });
  assert.equal((await api.call('PATCH', `${SERVICES}/stale`, change('x'), type)).code, 200);
  assert.equal((await api.call('PATCH', `${SERVICES}/stale`, change('y'), type)).code, 409);
});
