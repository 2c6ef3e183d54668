import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../../../../../control/kube/kinds.ts';
import {
  MountError,
  type Volume,
  volumeFiles,
  volumeSources,
} from '../../../../../lab/pods/given/files.ts';
import type { SourceRef } from '../../../../../lab/pods/given/sources.ts';

const POD = {
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: { containers: [{ name: 'main', resources: { limits: { memory: '64Mi' } } }] },
} as unknown as Pod;
const GIVEN = { podIP: '10.244.2.5', hostIP: '172.18.0.12', hostname: 'web' };
const SOURCES: Record<string, Record<string, string>> = {
  'ConfigMap/shop': { colour: 'red', size: 'big' },
  'Secret/pass': { key: 's3cret' },
};

function filesOf(volume: Omit<Volume, 'name'>): [path: string, data: string, mode: string][] {
  const lookUp = ({ kind, name }: SourceRef) => {
    const data = SOURCES[`${kind}/${name}`];
    return data ? new Map(Object.entries(data).map(([k, v]) => [k, Buffer.from(v)])) : null;
  };
  return volumeFiles({ name: 'v', ...volume }, POD, GIVEN, lookUp).map(({ path, data, mode }) => [
    path,
    String(data),
    mode.toString(8),
  ]);
}

const ROWS: [what: string, volume: Omit<Volume, 'name'>, files: [string, string, string][]][] = [
  ['an emptyDir has no files', { emptyDir: {} }, []],
  [
    'a ConfigMap is a file for each key',
    { configMap: { name: 'shop' } },
    [
      ['colour', 'red', '644'],
      ['size', 'big', '644'],
    ],
  ],
  [
    'items choose keys, paths and modes',
    {
      secret: {
        secretName: 'pass',
        defaultMode: 0o400,
        items: [
          { key: 'key', path: 'a/b' },
          { key: 'key', path: 'c', mode: 0o600 },
        ],
      },
    },
    [
      ['a/b', 's3cret', '400'],
      ['c', 's3cret', '600'],
    ],
  ],
  [
    'an optional missing Secret has no files',
    { secret: { secretName: 'none', optional: true } },
    [],
  ],
  [
    'an optional key may be missing',
    { configMap: { name: 'shop', optional: true, items: [{ key: 'none', path: 'p' }] } },
    [],
  ],
  [
    'the downward API has fields and resources',
    {
      downwardAPI: {
        items: [
          { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
          {
            path: 'memory',
            resourceFieldRef: { containerName: 'main', resource: 'limits.memory', divisor: '1Mi' },
          },
        ],
      },
    },
    [
      ['labels', 'app="web"', '644'],
      ['memory', '64', '644'],
    ],
  ],
  [
    'a projected volume has all of them',
    {
      projected: {
        defaultMode: 0o440,
        sources: [
          { configMap: { name: 'shop', items: [{ key: 'size', path: 'size' }] } },
          { secret: { name: 'pass' } },
          { downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } },
        ],
      },
    },
    [
      ['size', 'big', '440'],
      ['key', 's3cret', '440'],
      ['name', 'web', '440'],
    ],
  ],
];
for (const [what, volume, files] of ROWS) {
  test(what, () => assert.deepEqual(filesOf(volume), files));
}

for (const [what, volume, message] of [
  ['a missing ConfigMap', { configMap: { name: 'none' } }, /^configmap "none" not found$/],
  [
    'a missing key',
    { configMap: { name: 'shop', items: [{ key: 'none', path: 'p' }] } },
    /^configmap "shop" has no key none$/,
  ],
  [
    'an unsupported kind',
    { hostPath: { path: '/' } },
    /volume v: unsupported kind: expected configMap/,
  ],
  [
    'a token',
    { projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
    /volume v: unsupported source: expected configMap/,
  ],
  [
    'a path that leads out',
    { configMap: { name: 'shop', items: [{ key: 'size', path: '../x' }] } },
    /path "\.\.\/x" is not a relative path inside the volume/,
  ],
] as const) {
  test(`reports ${what} and keeps the pod waiting`, () => {
    const error = { name: 'Error', message };
    assert.throws(() => filesOf(volume as unknown as Volume), error);
    assert.throws(() => filesOf(volume as unknown as Volume), MountError);
  });
}

test('lists the ConfigMaps and Secrets of a volume', () => {
  const projected = { sources: [{ configMap: { name: 'a' } }, { secret: { name: 'b' } }] };
  assert.deepEqual(volumeSources({ name: 'v', projected }), [
    { kind: 'ConfigMap', name: 'a' },
    { kind: 'Secret', name: 'b' },
  ]);
  assert.deepEqual(volumeSources({ name: 'v', emptyDir: {} }), []);
});
