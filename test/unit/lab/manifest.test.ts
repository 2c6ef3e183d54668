import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readManifests } from '../../../lab/life/manifest.ts';

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

test('a manifest that is not there is named', () => {
  assert.throws(() => readManifests(['/nowhere/web.yaml']), {
    code: 'KT_FILE',
    message: '/nowhere/web.yaml cannot be read (ENOENT)',
  });
});
