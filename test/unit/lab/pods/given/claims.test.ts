// Folders of claims: those of the lab, and paths that a user named.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { volumeFolder } from '../../../../../lab/pods/given/claims.ts';

let folder: string;
let claims: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubetun-volumes-'));
  claims = join(folder, 'state/claims');
});
afterEach(() => rmSync(folder, { recursive: true }));

const of = (spec: object) => volumeFolder({ metadata: { name: 'v' }, spec }, claims);

test('creates the folder of a provisioned volume if it is missing', () => {
  const path = join(claims, 'pvc-1');
  assert.equal(of({ hostPath: { path, type: 'DirectoryOrCreate' } }), path);
  assert.ok(existsSync(path));
});

test('uses the path of the user, and creates it if the hostPath type requires it', () => {
  for (const type of [undefined, '', 'DirectoryOrCreate']) {
    const path = join(folder, `data${type}`);
    assert.equal(of({ hostPath: { path, ...(type !== undefined && { type }) } }), path);
    assert.ok(existsSync(path), type);
  }
  const path = join(folder, 'disk');
  mkdirSync(path);
  assert.equal(of({ hostPath: { path, type: 'Directory' } }), path);
  assert.equal(of({ local: { path } }), path);
});

test('does not create a path if the hostPath type requires that it exists', () => {
  const path = join(folder, 'none');
  const refused = { message: `hostPath type check failed: ${path} is not a directory` };
  assert.throws(() => of({ hostPath: { path, type: 'Directory' } }), refused);
  assert.throws(() => of({ local: { path } }), { message: `path "${path}" does not exist` });
  assert.equal(existsSync(path), false);
  writeFileSync(path, '');
  assert.throws(() => of({ local: { path } }), refused);
});

test('mounts no folder of the system, and follows no link into one', () => {
  const link = join(folder, 'link');
  symlinkSync('/etc', link);
  const paths = ['/', '/etc', '/etc/kubetun', '/usr/lib', '/lib64', '/run/x', link, `${link}/new`];
  for (const path of [...paths, '/mnt/../etc', 'etc']) {
    assert.throws(() => of({ hostPath: { path } }), /is not mounted: expected a folder/, path);
  }
  assert.equal(existsSync('/etc/kubetun'), false);
});

test('refuses unsupported kinds of volumes and types of hostPath by name', () => {
  const nfs = { server: 'a', path: '/b' };
  assert.throws(() => of({ nfs }), /persistentvolume "v": unsupported kind: expected hostPath/);
  const hostPath = { path: join(folder, 'x'), type: 'Socket' };
  assert.throws(() => of({ hostPath }), /unsupported type Socket: expected Directory/);
});
