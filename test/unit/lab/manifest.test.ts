import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkManifests } from '../../../lab/life/check.ts';
import { readManifests } from '../../../lab/life/manifest.ts';
import { defaultTopology } from '../../../lab/topology/topology.ts';

function read(text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-'));
  const file = join(folder, 'web.yaml');
  writeFileSync(file, text);
  try {
    return readManifests([file]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('documents become objects in order, with namespace and place', () => {
  const objects = read(`apiVersion: v1
kind: Pod
metadata: {name: a}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: other}
---
`);
  assert.deepEqual(
    objects.map((o) => [o.kind, o.namespace, o.name, o.place.replace(/.*\//, '')]),
    [
      ['Pod', 'default', 'a', 'web.yaml:1'],
      ['Service', 'other', 'b', 'web.yaml:5'],
    ],
  );
});

const REFUSED: [what: string, text: string, message: RegExp][] = [
  ['no kind', 'apiVersion: v1\nmetadata: {name: a}\n', /web\.yaml:1: the object has no kind/],
  ['a kind that is not served', 'apiVersion: v1\nkind: Pdo\n', /:2: the lab serves no v1 Pdo/],
  ['another version', 'apiVersion: v2\nkind: Pod\n', /serves no v2 Pod/],
  ['no name', 'apiVersion: v1\nkind: Pod\nmetadata: {}\n', /:3: Pod has no name/],
  ['a tab', 'apiVersion: v1\nkind: Pod\n\tmetadata: {}\n', /web\.yaml:[23]: /],
  ['a key twice', 'kind: Pod\nkind: Pod\n', /web\.yaml:2: /],
];

for (const [what, text, message] of REFUSED) {
  test(`a manifest with ${what} is refused with file and line`, () => {
    assert.throws(() => read(text), { code: 'KT_YAML', message });
  });
}

test('names a missing manifest file', () => {
  assert.throws(() => readManifests(['/nowhere/web.yaml']), {
    code: 'KT_FILE',
    message: '/nowhere/web.yaml cannot be read (ENOENT)',
  });
});

const POD = `apiVersion: v1
kind: Pod
metadata:
  name: a
spec:
  containers:
    - name: main
      image: pause
`;
const SERVICE = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports:
    - port: 80
`;

test('accepts valid manifests and refuses a repeated name', () => {
  checkManifests(read(`${POD}---\n${SERVICE}`), defaultTopology());
  assert.throws(() => checkManifests(read(`${POD}---\n${POD}`), defaultTopology()), {
    code: 'KT_YAML',
    message: /web\.yaml:10: Pod a: pods "a" already exists/,
  });
});

const IMPOSSIBLE: [what: string, text: string, message: RegExp][] = [
  [
    'an unknown field',
    `${POD}      imagePullPolcy: Never\n`,
    /:9: Pod a: unknown field "spec\.containers\[0\]\.imagePullPolcy"/,
  ],
  [
    'a port out of range',
    `${SERVICE}      nodePort: 80\n`,
    /:9: Service web: spec\.ports\[0\]\.nodePort: .*not in the valid range/,
  ],
  [
    'an invalid port',
    SERVICE.replace('80', '99999'),
    /:8: Service web: spec\.ports\[0\]\.port: .*between 1 and 65535/,
  ],
  [
    'a text for a number',
    SERVICE.replace('80', 'http'),
    /:8: Service web: spec\.ports\[0\]\.port: json: cannot unmarshal string into Go struct field/,
  ],
  [
    'an unknown node',
    `${POD}  nodeName: node7\n`,
    /:9: Pod a: there is no node node7, only node1, node2/,
  ],
  [
    'an unknown namespace',
    POD.replace('name: a', 'name: a\n  namespace: nowhere'),
    /Pod a: namespaces "nowhere" not found/,
  ],
  [
    'an unknown ServiceAccount',
    `${POD}  serviceAccountName: ghost\n`,
    /Pod a: pods "a" is forbidden: error looking up service account default\/ghost: /,
  ],
];

for (const [what, text, message] of IMPOSSIBLE) {
  test(`a manifest with ${what} is refused with its line, before anything is made`, () => {
    assert.throws(() => checkManifests(read(text), defaultTopology()), {
      code: 'KT_YAML',
      message,
    });
  });
}

const LIST = `kind: List
apiVersion: v1
items:
  - {kind: ConfigMap, apiVersion: v1, metadata: {name: a}}
  - kind: List
    apiVersion: v1
    items:
      - {kind: Secret, apiVersion: v1, metadata: {name: b}}
  - kind: ConfigMapList
    apiVersion: v1
    items:
      - kind: ConfigMap
        apiVersion: v1
        metadata: {name: c}
        PLACE
`;

test('a List, even inside a List, is replaced by its items, each with its place in the file', () => {
  const objects = read(LIST.replace('PLACE', 'data: {a: b}'));
  assert.deepEqual(
    objects.map(({ kind, name, place }) => `${kind} ${name} ${place.split(':').at(-1)}`),
    ['ConfigMap a 4', 'Secret b 8', 'ConfigMap c 12'],
  );
});

test('an error in an item of a List names its line', () => {
  assert.throws(() => read(LIST.replace('PLACE', 'dat: {a: b}')), /web\.yaml:15: .*"dat"/);
});

test('a List whose items are no list is refused', () => {
  assert.throws(
    () => read('kind: List\napiVersion: v1\nitems: a\n'),
    /web\.yaml:3: List: items: no list/,
  );
});

function kustomization(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-k-'));
  writeFileSync(join(folder, 'kustomization.yaml'), text);
  writeFileSync(join(folder, 'map.yaml'), 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n');
  return folder;
}

test('a kustomization is built by kubectl', () => {
  const folder = kustomization('namePrefix: my-\nnamespace: shop\nresources: [map.yaml]\n');
  const [object] = readManifests([], [folder]);
  assert.equal(object?.name, 'my-m');
  assert.equal(object?.namespace, 'shop');
  rmSync(folder, { recursive: true });
});

test('a wrong kustomization and a machine without kubectl are errors of one line', (t) => {
  const folder = kustomization('resources: [none.yaml]\n');
  const asked = () => readManifests([], [folder]);
  assert.throws(asked, { code: 'KT_KUSTOMIZE', message: /^-k .*none\.yaml[^\n]*$/ });
  const { PATH } = process.env;
  t.after(() => {
    process.env.PATH = PATH;
    rmSync(folder, { recursive: true });
  });
  process.env.PATH = '/nowhere';
  assert.throws(asked, { code: 'KT_TOOL_MISSING', message: /kubectl is not installed/ });
});
