import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { pod, service, startTestApi, type TestApi } from '../../../support/api-server.ts';

const PODS = '/api/v1/namespaces/default/pods';
const SERVICES = '/api/v1/namespaces/default/services';
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

test('a created object has identity, defaults and a first status', async () => {
  const { code, body } = await api.call('POST', PODS, pod('made'));
  assert.equal(code, 201);
  assert.match(body.metadata.uid, /^[0-9a-f-]{36}$/);
  assert.match(body.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(body.metadata.generation, 1);
  assert.equal(body.spec.restartPolicy, 'Always');
  assert.equal(body.spec.terminationGracePeriodSeconds, 30);
  assert.equal(body.status.phase, 'Pending');
});

test('generateName ends in five letters', async () => {
  const { body } = await api.call('POST', PODS, pod('', { name: undefined, generateName: 'gen-' }));
  assert.match(body.metadata.name, /^gen-[b-z2-9]{5}$/);
});

test('an object is created once', async () => {
  await api.call('POST', PODS, pod('twice'));
  const { code, body } = await api.call('POST', PODS, pod('twice'));
  assert.equal(code, 409);
  assert.equal(body.reason, 'AlreadyExists');
  assert.equal(body.message, 'pods "twice" already exists');
});

test("a missing object is NotFound in upstream's words", async () => {
  const { code, body } = await api.call('GET', `${PODS}/nobody`);
  assert.equal(code, 404);
  assert.equal(body.reason, 'NotFound');
  assert.equal(body.message, 'pods "nobody" not found');
  const place = await api.call('POST', '/api/v1/namespaces/nowhere/pods', pod('lost'));
  assert.equal(place.body.message, 'namespaces "nowhere" not found');
});

test('an update with an old version is a conflict and changes nothing', async () => {
  const { body: first } = await api.call('POST', SERVICES, service('raced'));
  const labelled = { ...first, metadata: { ...first.metadata, labels: { a: 'b' } } };
  const second = await api.call('PUT', `${SERVICES}/raced`, labelled);
  assert.equal(second.code, 200);
  const third = await api.call('PUT', `${SERVICES}/raced`, labelled);
  assert.equal(third.code, 409);
  assert.equal(third.body.reason, 'Conflict');
});

test('an update that changes nothing keeps the version', async () => {
  const { body: first } = await api.call('POST', SERVICES, service('same'));
  const { body: second } = await api.call('PUT', `${SERVICES}/same`, first);
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
});

test('a merge patch sets and removes fields, and only a change of the spec raises the generation', async () => {
  await api.call('POST', SERVICES, service('patched'));
  const type = { 'content-type': 'application/merge-patch+json' };
  const path = `${SERVICES}/patched`;
  const labelled = await api.call('PATCH', path, { metadata: { labels: { x: 'y' } } }, type);
  assert.equal(labelled.body.metadata.generation, 1);
  const changed = await api.call(
    'PATCH',
    path,
    { metadata: { labels: { x: null } }, spec: { ports: [{ port: 81 }] } },
    type,
  );
  assert.equal(changed.body.metadata.labels.x, undefined);
  assert.equal(changed.body.metadata.generation, 2);
  assert.equal(changed.body.spec.ports[0].targetPort, 81);
});

test('an unknown kind of patch is refused with the served ones', async () => {
  const type = { 'content-type': 'application/xml-patch+xml' };
  const { code, body } = await api.call('PATCH', `${PODS}/made`, {}, type);
  assert.equal(code, 415);
  assert.match(body.message, /merge-patch/);
});

test('status and spec have separate paths', async () => {
  const { body: made } = await api.call('POST', PODS, pod('stated', {}, { nodeName: 'node1' }));
  const both = { ...made, status: { phase: 'Running' } };
  assert.equal((await api.call('PUT', `${PODS}/stated`, both)).body.status.phase, 'Pending');
  const status = await api.call('PUT', `${PODS}/stated/status`, {
    ...both,
    spec: { ...made.spec, restartPolicy: 'Never' },
  });
  assert.equal(status.body.status.phase, 'Running');
  assert.equal(status.body.spec.restartPolicy, 'Always');
});

test('a delete marks a pod on a node, and a delete without grace removes it', async () => {
  await api.call('POST', PODS, pod('placed', {}, { nodeName: 'node1' }));
  const marked = await api.call('DELETE', `${PODS}/placed`);
  assert.equal(marked.body.metadata.deletionGracePeriodSeconds, 30);
  assert.ok(marked.body.metadata.deletionTimestamp);
  assert.equal((await api.call('GET', `${PODS}/placed`)).code, 200);
  await api.call('DELETE', `${PODS}/placed`, { gracePeriodSeconds: 0 });
  assert.equal((await api.call('GET', `${PODS}/placed`)).code, 404);
});

test('a delete with another uid is a conflict', async () => {
  await api.call('POST', PODS, pod('reborn'));
  const body = { preconditions: { uid: 'another' } };
  assert.equal((await api.call('DELETE', `${PODS}/reborn`, body)).code, 409);
});

test('finalizers hold an object until the last is gone', async () => {
  await api.call('POST', SERVICES, {
    ...service('held'),
    metadata: { name: 'held', finalizers: ['example.com/wait'] },
  });
  const marked = await api.call('DELETE', `${SERVICES}/held`);
  assert.ok(marked.body.metadata.deletionTimestamp);
  const type = { 'content-type': 'application/merge-patch+json' };
  await api.call('PATCH', `${SERVICES}/held`, { metadata: { finalizers: null } }, type);
  assert.equal((await api.call('GET', `${SERVICES}/held`)).code, 404);
});

test('lists are selected by labels and fields, and come in pages', async () => {
  for (const [name, tier] of [
    ['list-a', 'front'],
    ['list-b', 'back'],
    ['list-c', 'front'],
  ]) {
    await api.call('POST', PODS, pod(name!, { labels: { set: 'list', tier } }));
  }
  const names = async (query: string) => {
    const { body } = await api.call('GET', `${PODS}?${query}`);
    return body.items.map((item: { metadata: { name: string } }) => item.metadata.name);
  };
  assert.deepEqual(await names('labelSelector=set=list,tier=front'), ['list-a', 'list-c']);
  assert.deepEqual(await names('labelSelector=set=list,tier!=front'), ['list-b']);
  const within = encodeURIComponent('tier in (back, other)');
  assert.deepEqual(await names(`labelSelector=${within}`), ['list-b']);
  assert.deepEqual(await names('labelSelector=set&fieldSelector=metadata.name=list-b'), ['list-b']);
  const first = await api.call('GET', `${PODS}?labelSelector=set=list&limit=2`);
  assert.equal(first.body.items.length, 2);
  const rest = `labelSelector=set=list&limit=2&continue=${first.body.metadata.continue}`;
  assert.deepEqual(await names(rest), ['list-c']);
});

test('field selectors find events by their object', async () => {
  const involvedObject = {
    kind: 'Pod',
    apiVersion: 'v1',
    name: 'p',
    namespace: 'default',
    uid: 'u',
  };
  const EVENTS = '/api/v1/namespaces/default/events';
  const rest = { reason: 'Pulled', type: 'Normal', source: { component: 'kubelet' } };
  await api.call('POST', EVENTS, { metadata: { name: 'e' }, involvedObject, ...rest });
  const finds = async (selector: string): Promise<boolean> => {
    const { body } = await api.call('GET', `${EVENTS}?fieldSelector=${selector}`);
    return body.items.some((o: { metadata: { name: string } }) => o.metadata.name === 'e');
  };
  const terms = Object.entries(involvedObject).map(
    ([part, value]) => `involvedObject.${part}=${value}`,
  );
  for (const term of [...terms, 'reason=Pulled', 'source=kubelet', terms.join(',')]) {
    assert.ok(await finds(term), term);
    assert.equal(await finds(term.replace('=', '!=')), false, term);
  }
});

test('only the owner can read the kubeconfig', () => {
  assert.equal(statSync(api.kubeconfig).mode & 0o777, 0o600);
});

test('discovery names what is served', async () => {
  const { body: core } = await api.call('GET', '/api/v1');
  const names = core.resources.map((r: { name: string }) => r.name);
  for (const name of ['pods', 'pods/status', 'services', 'nodes', 'namespaces']) {
    assert.ok(names.includes(name), name);
  }
  const { body: groups } = await api.call('GET', '/apis');
  assert.ok(groups.groups.some((g: { name: string }) => g.name === 'discovery.k8s.io'));
  assert.equal((await api.call('GET', '/version')).body.major, '1');
  assert.equal((await api.call('GET', '/readyz')).body, 'ok');
});

const REFUSED: [what: string, path: string, body: unknown, code: number, message: RegExp][] = [
  ['text', PODS, 'text', 400, /must be a JSON object/],
  ['another kind', PODS, { kind: 'Service', ...service('a') }, 400, /must be of type Pod/],
  ['a name with a space', PODS, pod('a b'), 422, /metadata.name: Invalid value: "a b"/],
  ['no containers', PODS, pod('a', {}, { containers: [] }), 422, /spec.containers: Required/],
  [
    'a port above 65535',
    SERVICES,
    service('a', { ports: [{ port: 70_000 }] }),
    422,
    /between 1 and 65535/,
  ],
  [
    'a text for a number',
    SERVICES,
    service('a', { ports: [{ port: 'x' }] }),
    400,
    /cannot unmarshal string into Go struct field ServicePort\.spec\.ports\.port of type int32/,
  ],
  [
    'an unknown field',
    `${PODS}?fieldValidation=Strict`,
    pod('a', {}, { nodeNmae: 'x' }),
    400,
    /strict decoding error: unknown field "spec.nodeNmae"/,
  ],
  [
    'two ports without names',
    SERVICES,
    service('a', { ports: [{ port: 1 }, { port: 2 }] }),
    422,
    /spec.ports\[0\].name: Required value/,
  ],
  [
    'an address outside the range',
    SERVICES,
    service('a', { clusterIP: '10.1.1.1' }),
    422,
    /not in the valid range. The range of valid IPs is 10.96.0.0\/16/,
  ],
  [
    'a node port outside the range',
    SERVICES,
    service('a', { type: 'NodePort', ports: [{ port: 1, nodePort: 80 }] }),
    422,
    /provided port is not in the valid range/,
  ],
  [
    'a node port without the type',
    SERVICES,
    service('a', { ports: [{ port: 1, nodePort: 30_001 }] }),
    422,
    /may not be used when `type` is 'ClusterIP'/,
  ],
];

for (const [what, path, body, code, message] of REFUSED) {
  test(`${what} is refused with ${code} and leaves nothing`, async () => {
    const answer = await api.call('POST', path, body);
    assert.match(answer.body.message, message);
    assert.equal(answer.code, code);
    assert.equal((await api.call('GET', `${PODS}/a`)).code, 404);
    assert.equal((await api.call('GET', `${SERVICES}/a`)).code, 404);
  });
}

for (const name of ['default', 'kube-public', 'kube-system']) {
  test(`the namespace ${name} may not be deleted`, async () => {
    const { code, body } = await api.call('DELETE', `/api/v1/namespaces/${name}`);
    assert.equal(code, 403);
    assert.equal(
      body.message,
      `namespaces "${name}" is forbidden: this namespace may not be deleted`,
    );
    assert.equal((await api.call('GET', `/api/v1/namespaces/${name}`)).body.status.phase, 'Active');
  });
}

test('the Service kubernetes is restored with its address, and so are its endpoints', async () => {
  const slice = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes';
  await api.call('DELETE', `${SERVICES}/kubernetes`);
  await api.call('DELETE', slice);
  assert.equal((await api.call('GET', `${SERVICES}/kubernetes`)).body.spec.clusterIP, '10.96.0.1');
  assert.deepEqual((await api.call('GET', slice)).body.endpoints[0].addresses, ['172.18.0.1']);
  const { subsets } = (await api.call('GET', '/api/v1/namespaces/default/endpoints/kubernetes'))
    .body;
  assert.deepEqual(subsets[0].addresses, [{ ip: '172.18.0.1' }]);
});

test('a null in a list is an empty item', async () => {
  const rows: [string, object, RegExp][] = [
    [SERVICES, { ports: [null] }, /spec\.ports\[0\]\.port: Required value/],
    [PODS, { containers: [null] }, /spec\.containers\[0\]\.name: Required value/],
  ];
  for (const [path, spec, message] of rows) {
    const { code, body } = await api.call('POST', path, { metadata: { name: 'typed' }, spec });
    assert.equal(code, 422);
    assert.match(body.message, message);
  }
});

const mistyped: [string, object][] = [
  [SERVICES, { ports: 'none' }],
  [SERVICES, { ports: [{}, 7] }],
  [PODS, { containers: [{ name: 'a', image: 'pause', ports: 5 }] }],
];

for (const [path, spec] of mistyped) {
  test(`a spec of wrong types is refused before validation: ${JSON.stringify(spec)}`, async () => {
    const { code, body } = await api.call('POST', path, { metadata: { name: 'typed' }, spec });
    assert.equal(code, 400);
    assert.match(body.message, /cannot be handled as a .*: json: cannot unmarshal/);
  });
}
