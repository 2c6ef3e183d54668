// Claims, volumes and classes as the API takes them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const CLAIMS = '/api/v1/namespaces/default/persistentvolumeclaims';
const VOLUMES = '/api/v1/persistentvolumes';
const CLASSES = '/apis/storage.k8s.io/v1/storageclasses';
const MERGE = { 'content-type': 'application/merge-patch+json' };
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const resources = { requests: { storage: '1Gi' } };

function claim(name: string, spec: object = {}): object {
  return { metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], resources, ...spec } };
}

function volume(name: string, spec: object = {}): object {
  const base = { accessModes: ['ReadWriteOnce', 'ReadWriteMany'], hostPath: { path: '/data' } };
  return { metadata: { name }, spec: { ...base, capacity: { storage: '2Gi' }, ...spec } };
}

const storageClass = (name: string, fields: object = {}) => ({
  metadata: { name },
  provisioner: 'example.test/disk',
  ...fields,
});

test('there is a default class', async () => {
  const { body } = await api.call('GET', `${CLASSES}/standard`);
  const { provisioner, reclaimPolicy, volumeBindingMode, metadata } = body;
  assert.deepEqual(
    [provisioner, reclaimPolicy, volumeBindingMode],
    ['kubetun.dev/local-path', 'Delete', 'Immediate'],
  );
  assert.equal(metadata.annotations['storageclass.kubernetes.io/is-default-class'], 'true');
});

test("claims and volumes have upstream's defaults and are protected", async () => {
  const { code, body } = await api.call('POST', CLAIMS, claim('plain'));
  assert.equal(code, 201);
  assert.deepEqual(body.spec, {
    accessModes: ['ReadWriteOnce'],
    resources,
    storageClassName: 'standard',
    volumeMode: 'Filesystem',
  });
  assert.deepEqual(body.metadata.finalizers, ['kubernetes.io/pvc-protection']);
  assert.deepEqual(body.status, { phase: 'Pending' });
  const made = await api.call('POST', VOLUMES, volume('plain'));
  assert.equal(made.code, 201);
  assert.equal(made.body.spec.persistentVolumeReclaimPolicy, 'Retain');
  assert.equal(made.body.spec.volumeMode, 'Filesystem');
  assert.deepEqual(made.body.metadata.finalizers, ['kubernetes.io/pv-protection']);
});

test('a claim with an empty class gets none', async () => {
  const { body } = await api.call('POST', CLAIMS, claim('none', { storageClassName: '' }));
  assert.equal(body.spec.storageClassName, '');
});

const ANY_MODE = '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"';
const REFUSED: [what: string, path: string, object: object, message: string][] = [
  [
    'a claim without a mode',
    CLAIMS,
    claim('x', { accessModes: [] }),
    'spec.accessModes: Required value: at least 1 access mode is required',
  ],
  [
    'a claim with a source of an unknown kind in the default group',
    CLAIMS,
    claim('x', { dataSource: { kind: 'Pod', name: 'old' } }),
    `spec.dataSource: Invalid value: "Pod": must be 'PersistentVolumeClaim' when referencing the ` +
      'default apiGroup',
  ],
  [
    'a claim with a source without a name',
    CLAIMS,
    claim('x', { dataSourceRef: { kind: 'PersistentVolumeClaim', name: '' } }),
    'spec.dataSourceRef.name: Required value',
  ],
  [
    'a claim with an unknown mode',
    CLAIMS,
    claim('x', { accessModes: ['RWO'] }),
    `spec.accessModes: Unsupported value: "RWO": supported values: ${ANY_MODE}`,
  ],
  [
    'a claim for one pod and for more',
    CLAIMS,
    claim('x', { accessModes: ['ReadWriteOncePod', 'ReadWriteOnce'] }),
    'spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes',
  ],
  [
    'a claim without a size',
    CLAIMS,
    claim('x', { resources: {} }),
    'spec.resources[storage]: Required value',
  ],
  [
    'a claim of size 0',
    CLAIMS,
    claim('x', { resources: { requests: { storage: '0' } } }),
    'spec.resources[storage]: Invalid value: "0": must be greater than zero',
  ],
  [
    'a claim with an unknown volume mode',
    CLAIMS,
    claim('x', { volumeMode: 'Tape' }),
    'spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"',
  ],
  [
    'a volume without a source',
    VOLUMES,
    volume('x', { hostPath: undefined }),
    'spec: Required value: must specify a volume type',
  ],
  [
    'a volume with two sources',
    VOLUMES,
    volume('x', { nfs: { server: 'a', path: '/b' } }),
    'spec.nfs: Forbidden: may not specify more than 1 volume type',
  ],
  [
    'a volume without a size',
    VOLUMES,
    volume('x', { capacity: undefined }),
    'spec.capacity: Required value',
  ],
  [
    'a path that leads up',
    VOLUMES,
    volume('x', { hostPath: { path: '/a/../b' } }),
    `spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'`,
  ],
  [
    'a local volume on no node',
    VOLUMES,
    volume('x', { hostPath: undefined, local: { path: '/a' } }),
    'spec.nodeAffinity: Required value: Local volume requires node affinity',
  ],
  [
    'an unknown reclaim policy',
    VOLUMES,
    volume('x', { persistentVolumeReclaimPolicy: 'Keep' }),
    'spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": supported values: "Delete", ' +
      '"Recycle", "Retain"',
  ],
  [
    'a class without a provisioner',
    CLASSES,
    storageClass('x', { provisioner: undefined }),
    'provisioner: Required value',
  ],
  [
    'a class with an unknown binding mode',
    CLASSES,
    storageClass('x', { volumeBindingMode: 'Later' }),
    'volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", ' +
      '"WaitForFirstConsumer"',
  ],
];

for (const [what, path, object, message] of REFUSED) {
  test(`refuses ${what}`, async () => {
    const { code, body } = await api.call('POST', path, object);
    assert.equal(code, 422, body.message);
    assert.ok(body.message.includes(` "x" is invalid: ${message}`), body.message);
  });
}

test('the spec of a claim is immutable', async () => {
  for (const spec of [{ storageClassName: 'other' }, { accessModes: ['ReadWriteMany'] }]) {
    const { code, body } = await api.call('PATCH', `${CLAIMS}/plain`, { spec }, MERGE);
    assert.equal(code, 422);
    assert.match(body.message, /spec: Forbidden: spec is immutable after creation except/);
  }
});

test('a bound claim cannot shrink, and cannot grow unless its class allows it', async () => {
  const metadata = { name: 'bound', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } };
  const claimRef = { namespace: 'default', name: 'bound' };
  await api.call('POST', VOLUMES, volume('for-bound', { claimRef, storageClassName: 'standard' }));
  await api.call('POST', CLAIMS, { ...claim('bound'), metadata });
  for (;;) {
    const { body } = await api.call('GET', `${CLAIMS}/bound`);
    if (body.status.phase === 'Bound') break;
  }
  const resize = (storage: string) =>
    api.call('PATCH', `${CLAIMS}/bound`, { spec: { resources: { requests: { storage } } } }, MERGE);
  const less = await resize('1Mi');
  assert.equal(less.code, 422);
  assert.match(
    less.body.message,
    /spec.resources.requests.storage: Forbidden: field can not be less/,
  );
  const more = await resize('2Gi');
  assert.equal(more.code, 403);
  assert.match(more.body.message, /only dynamically provisioned pvc can be resized/);
});

test('the fields of a class and the source of a volume are immutable', async () => {
  await api.call('POST', CLASSES, storageClass('fixed'));
  const patch = (path: string, body: object) => api.call('PATCH', path, body, MERGE);
  const rows: [path: string, body: object, message: string][] = [
    [
      `${CLASSES}/fixed`,
      { provisioner: 'a/b' },
      'provisioner: Forbidden: updates to provisioner are',
    ],
    [
      `${CLASSES}/fixed`,
      { parameters: { a: 'b' } },
      'parameters: Forbidden: updates to parameters',
    ],
    [
      `${CLASSES}/fixed`,
      { reclaimPolicy: 'Retain' },
      'reclaimPolicy: Invalid value: "Retain": field',
    ],
    [
      `${VOLUMES}/plain`,
      { spec: { hostPath: { path: '/other' } } },
      'spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable',
    ],
  ];
  for (const [path, body, message] of rows) {
    const answer = await patch(path, body);
    assert.equal(answer.code, 422, answer.body.message);
    assert.ok(answer.body.message.includes(message), answer.body.message);
  }
});

async function cellsOf(path: string): Promise<Record<string, string>> {
  const { body } = await api.call('GET', path, undefined, TABLE);
  const table = typeof body === 'string' ? JSON.parse(body) : body;
  const names: string[] = table.columnDefinitions.map(({ name }: { name: string }) => name);
  return Object.fromEntries(names.map((name, i) => [name, table.rows[0].cells[i]]));
}

test("tables have upstream's columns", async () => {
  const { Age: _, ...bound } = await cellsOf(`${CLAIMS}/bound`);
  assert.deepEqual(bound, {
    Name: 'bound',
    Status: 'Bound',
    Volume: 'for-bound',
    Capacity: '2Gi',
    'Access Modes': 'RWO,RWX',
    StorageClass: 'standard',
    VolumeAttributesClass: '<unset>',
    VolumeMode: 'Filesystem',
  });
  const { Age: _age, ...held } = await cellsOf(`${VOLUMES}/for-bound`);
  assert.deepEqual(held, {
    Name: 'for-bound',
    Capacity: '2Gi',
    'Access Modes': 'RWO,RWX',
    'Reclaim Policy': 'Retain',
    Status: 'Bound',
    Claim: 'default/bound',
    StorageClass: 'standard',
    VolumeAttributesClass: '<unset>',
    Reason: '',
    VolumeMode: 'Filesystem',
  });
  const { Age: _other, ...row } = await cellsOf(`${CLASSES}/standard`);
  assert.deepEqual(row, {
    Name: 'standard (default)',
    Provisioner: 'kubetun.dev/local-path',
    ReclaimPolicy: 'Delete',
    VolumeBindingMode: 'Immediate',
    AllowVolumeExpansion: 'false',
  });
});

test('the kinds have the short names of upstream', async () => {
  const rows = [
    ['/api/v1', 'persistentvolumeclaims', 'pvc'],
    ['/api/v1', 'persistentvolumes', 'pv'],
    ['/apis/storage.k8s.io/v1', 'storageclasses', 'sc'],
  ] as const;
  for (const [path, plural, short] of rows) {
    const { body } = await api.call('GET', path);
    const row = body.resources.find(({ name }: { name: string }) => name === plural);
    assert.deepEqual(row.shortNames, [short]);
  }
});
