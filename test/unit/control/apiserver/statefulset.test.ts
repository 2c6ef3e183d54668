// StatefulSets as the API takes them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const SETS = '/apis/apps/v1/namespaces/default/statefulsets';
const MERGE = { 'content-type': 'application/merge-patch+json' };
const APPLY = { 'content-type': 'application/apply-patch+yaml' };
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const CLAIM = {
  metadata: { name: 'www' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
};

function set(name: string, spec: object = {}, pods: object = {}): object {
  const containers = [{ name: 'main', image: 'pause' }];
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name },
    spec: {
      replicas: 0,
      serviceName: 'nginx',
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers, ...pods } },
      ...spec,
    },
  };
}

test("a StatefulSet has upstream's defaults", async () => {
  const given = set('plain', { replicas: undefined, volumeClaimTemplates: [CLAIM] });
  const { code, body } = await api.call('POST', SETS, given);
  assert.equal(code, 201);
  const { template, selector: _, ...spec } = body.spec;
  assert.deepEqual(spec, {
    replicas: 1,
    serviceName: 'nginx',
    podManagementPolicy: 'OrderedReady',
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
    revisionHistoryLimit: 10,
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
    volumeClaimTemplates: [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'www' },
        spec: { ...CLAIM.spec, volumeMode: 'Filesystem' },
        status: { phase: 'Pending' },
      },
    ],
  });
  assert.equal(template.spec.restartPolicy, 'Always');
});

test('one given value of a policy leaves the other at its default', async () => {
  const given = { persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete' } };
  const { body } = await api.call('POST', SETS, set('half', given));
  assert.deepEqual(body.spec.persistentVolumeClaimRetentionPolicy, {
    whenDeleted: 'Retain',
    whenScaled: 'Delete',
  });
  const onDelete = set('on-delete', { updateStrategy: { type: 'OnDelete' } });
  const { body: other } = await api.call('POST', SETS, onDelete);
  assert.deepEqual(other.spec.updateStrategy, { type: 'OnDelete' });
});

const rolling = (rollingUpdate: object) => ({ updateStrategy: { rollingUpdate } });
const AT = 'spec.updateStrategy';
const NEGATIVE = 'Invalid value: -1: must be greater than or equal to 0';

const REFUSED: [what: string, spec: object, pods: object, message: string][] = [
  [
    'an unknown order of its pods',
    { podManagementPolicy: 'Random' },
    {},
    `spec.podManagementPolicy: Invalid value: "Random": must be 'OrderedReady' or 'Parallel'`,
  ],
  [
    'an unknown strategy',
    { updateStrategy: { type: 'Recreate' } },
    {},
    `${AT}: Invalid value: "Recreate": must be 'RollingUpdate' or 'OnDelete'`,
  ],
  [
    'a partition of a strategy without one',
    { updateStrategy: { type: 'OnDelete', rollingUpdate: { partition: 1 } } },
    {},
    `${AT}.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy`,
  ],
  [
    'a negative partition',
    rolling({ partition: -1 }),
    {},
    `${AT}.rollingUpdate.partition: ${NEGATIVE}`,
  ],
  [
    'no unavailable pods',
    rolling({ maxUnavailable: 0 }),
    {},
    `${AT}.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0`,
  ],
  [
    'more unavailable than there are',
    rolling({ maxUnavailable: '101%' }),
    {},
    `${AT}.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%`,
  ],
  ['fewer than no pods', { replicas: -1 }, {}, `spec.replicas: ${NEGATIVE}`],
  ['a negative minReadySeconds', { minReadySeconds: -1 }, {}, `spec.minReadySeconds: ${NEGATIVE}`],
  ['a negative first ordinal', { ordinals: { start: -1 } }, {}, `spec.ordinals.start: ${NEGATIVE}`],
  [
    'an unknown retention policy',
    { persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Keep' } },
    {},
    'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": ' +
      'supported values: "Retain", "Delete"',
  ],
  [
    'a selector that selects everything',
    { selector: {} },
    {},
    'spec.selector: Invalid value: {}: empty selector is invalid for statefulset',
  ],
  [
    'a selector that selects other pods',
    { selector: { matchLabels: { app: 'other' } } },
    {},
    'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match',
  ],
  [
    'pods that are not restarted',
    {},
    { restartPolicy: 'Never' },
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ],
  [
    'pods that end',
    {},
    { activeDeadlineSeconds: 5 },
    'spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not',
  ],
];

for (const [what, spec, pods, message] of REFUSED) {
  test(`a StatefulSet is refused for ${what}`, async () => {
    const { code, body } = await api.call('POST', SETS, set('x', spec, pods));
    assert.equal(code, 422, body.message);
    const start = `StatefulSet.apps "x" is invalid: ${message}`;
    assert.equal(body.message.slice(0, start.length), start);
  });
}

test('an update changes what can be changed, and nothing else', async () => {
  await api.call('POST', SETS, set('fixed', { volumeClaimTemplates: [CLAIM] }));
  const patch = (spec: object) => api.call('PATCH', `${SETS}/fixed`, { spec }, MERGE);
  const allowed = {
    replicas: 0,
    ordinals: { start: 2 },
    minReadySeconds: 5,
    revisionHistoryLimit: 3,
    updateStrategy: { rollingUpdate: { partition: 1 } },
    persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete' },
    template: { spec: { containers: [{ name: 'main', image: 'other' }] } },
  };
  assert.equal((await patch(allowed)).code, 200);
  const forbidden = [
    { serviceName: 'other' },
    { podManagementPolicy: 'Parallel' },
    { volumeClaimTemplates: [] },
    { selector: { matchLabels: { app: 'fixed', more: 'x' } } },
  ];
  for (const spec of forbidden) {
    const { code, body } = await patch({
      ...spec,
      template: { metadata: { labels: { more: 'x' } } },
    });
    assert.equal(code, 422);
    assert.equal(
      body.message,
      'StatefulSet.apps "fixed" is invalid: spec: Forbidden: updates to statefulset spec for ' +
        "fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', " +
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' " +
        'are forbidden',
    );
  }
});

test('a StatefulSet has a Scale', async () => {
  await api.call('POST', SETS, set('scaled'));
  const { code, body } = await api.call(
    'PATCH',
    `${SETS}/scaled/scale`,
    { spec: { replicas: 2 } },
    MERGE,
  );
  assert.equal(code, 200);
  assert.deepEqual(
    [body.kind, body.spec.replicas, body.status.selector],
    ['Scale', 2, 'app=scaled'],
  );
  assert.equal((await api.call('GET', `${SETS}/scaled`)).body.spec.replicas, 2);
});

test('server-side apply owns fields, and a second apply changes nothing', async () => {
  const given = set('applied', { volumeClaimTemplates: [CLAIM] });
  const url = `${SETS}/applied?fieldManager=me`;
  const first = await api.call('PATCH', url, given, APPLY);
  assert.equal(first.code, 201, first.body.message);
  const again = await api.call('PATCH', url, given, APPLY);
  assert.equal(again.code, 200, again.body.message);
  assert.equal(again.body.metadata.generation, first.body.metadata.generation);
  const [entry] = again.body.metadata.managedFields;
  assert.equal(entry.manager, 'me');
  assert.deepEqual(entry.fieldsV1['f:spec']['f:volumeClaimTemplates'], {});
  const other = `${SETS}/applied?fieldManager=other`;
  const { spec, ...rest } = given as { spec: object };
  const { code, body } = await api.call(
    'PATCH',
    other,
    { ...rest, spec: { ...spec, replicas: 4 } },
    APPLY,
  );
  assert.equal(code, 409);
  assert.match(body.message, /conflicts with "me":\n- \.spec\.replicas/);
});

test('a StatefulSet has its short name, its category and the columns of upstream', async () => {
  const { body } = await api.call('GET', '/apis/apps/v1');
  const row = body.resources.find(({ name }: { name: string }) => name === 'statefulsets');
  assert.deepEqual([row.shortNames, row.categories], [['sts'], ['all']]);
  await api.call('POST', SETS, set('shown'));
  const table = (await api.call('GET', `${SETS}/shown`, undefined, TABLE)).body;
  const parsed = typeof table === 'string' ? JSON.parse(table) : table;
  const names = parsed.columnDefinitions.map(({ name }: { name: string }) => name);
  assert.deepEqual(names, ['Name', 'Ready', 'Age', 'Containers', 'Images']);
  const [name, ready, , containers, images] = parsed.rows[0].cells;
  assert.deepEqual([name, ready, containers, images], ['shown', '0/0', 'main', 'pause']);
});

test('containers of a StatefulSet mount its claims', async () => {
  const volumeMounts = [{ name: 'www', mountPath: '/data' }];
  const pods = { containers: [{ name: 'main', image: 'pause', volumeMounts }] };
  const good = await api.call('POST', SETS, set('mounts', { volumeClaimTemplates: [CLAIM] }, pods));
  assert.equal(good.code, 201, good.body.message);
  const bad = await api.call('POST', SETS, set('mounts-none', {}, pods));
  assert.match(bad.body.message, /volumeMounts\[0\].name: Not found: "www"/);
});
