import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { Container } from '../../../../../control/kube/kinds.ts';
import { mountsOf } from '../../../../../lab/pods/given/mounts.ts';

const VOLUMES = [
  { name: 'data', emptyDir: {} },
  { name: 'cfg', configMap: { name: 'c' } },
];
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubetun-mounts-'));
  mkdirSync(join(folder, 'data'));
  mkdirSync(join(folder, 'cfg'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function mounts(...volumeMounts: NonNullable<Container['volumeMounts']>) {
  const env = { NAME: 'web' };
  return mountsOf({ name: 'main', volumeMounts }, VOLUMES, folder, env).map((mount) => ({
    ...mount,
    source: mount.source.slice(folder.length),
  }));
}

test('an emptyDir is writable by default, volumes of files never', () => {
  assert.deepEqual(
    mounts(
      { name: 'data', mountPath: '/a' },
      { name: 'data', mountPath: '/b', readOnly: true },
      { name: 'cfg', mountPath: 'c/' },
    ),
    [
      { source: '/data', target: '/a', readOnly: false },
      { source: '/data', target: '/b', readOnly: true },
      { source: '/cfg', target: '/c/', readOnly: true },
    ],
  );
});

test('outer mounts come first', () => {
  const targets = mounts(
    { name: 'cfg', mountPath: '/a/b/c' },
    { name: 'data', mountPath: '/a' },
  ).map(({ target }) => target);
  assert.deepEqual(targets, ['/a', '/a/b/c']);
});

test('makes a missing subPath and expands its variables', () => {
  const [plain, expanded] = mounts(
    { name: 'data', mountPath: '/a', subPath: 'x/y' },
    { name: 'data', mountPath: '/b', subPathExpr: 'of-$(NAME)' },
  );
  assert.equal(plain!.source, '/data/x/y');
  assert.equal(expanded!.source, '/data/of-web');
  assert.ok(existsSync(join(folder, 'data/x/y')));
});

for (const subPath of ['../cfg', '/etc', 'link', 'link/passwd']) {
  test(`refuses a subPath of ${subPath}, which leads outside its volume`, () => {
    symlinkSync('/etc', join(folder, 'data/link'));
    assert.throws(() => mounts({ name: 'data', mountPath: '/a', subPath }), {
      reason: 'CreateContainerConfigError',
      message: `subPath ${subPath} leads outside its volume`,
    });
  });
}

test('refuses a mount of an unknown volume', () => {
  assert.throws(() => mounts({ name: 'none', mountPath: '/a' }), /has no volume none/);
});
