import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { makeFolder, replaceFile } from '../../../control/files.ts';

const root = join(import.meta.dirname, '../../..');
const HANG_MS = 60_000;

describe('a folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-folder-'));
  after(() => rmSync(folder, { recursive: true }));

  test('is created with its parents, and may exist already', () => {
    const path = join(folder, 'a/b/c');
    makeFolder(path, 0o700);
    makeFolder(path, 0o755);
    assert.equal(statSync(path).mode & 0o777, 0o700);
    assert.equal(statSync(join(folder, 'a')).mode & 0o777, 0o700);
    symlinkSync(path, join(folder, 'link'));
    makeFolder(join(folder, 'link'));
  });

  test('is refused where a file exists, or where no folder can be created', () => {
    writeFileSync(join(folder, 'file'), '');
    assert.throws(() => makeFolder(join(folder, 'file')), { code: 'EEXIST' });
    assert.throws(() => makeFolder(join(folder, 'file/x')), { code: 'ENOTDIR' });
    assert.throws(() => makeFolder('/proc/nope'), { code: 'ENOENT' });
    assert.throws(() => makeFolder('/proc/nope/x/y'), { code: 'ENOENT' });
  });

  test('that cannot be created for the admin socket ends an agent with one line', () => {
    const script = `
      import { serveAdmin } from '${root}/control/serve/admin.ts';
      import { pino } from 'pino';
      await serveAdmin('/proc/nope/x.sock', {}, pino()).catch((e) => console.log(e.message));`;
    const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript'];
    const { stdout, error } = spawnSync(process.execPath, [...flags, '-e', script], {
      ...{ cwd: root, encoding: 'utf8', timeout: HANG_MS, killSignal: 'SIGKILL' },
    });
    assert.equal(error, undefined);
    assert.equal(stdout, 'the admin socket /proc/nope/x.sock cannot be made (ENOENT)\n');
  });
});

test('a file is replaced as a whole, not through a link at the temporary path', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-file-'));
  after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'new/file');
  replaceFile(path, 'old');
  writeFileSync(join(folder, 'other'), 'theirs');
  symlinkSync(join(folder, 'other'), `${path}.new`);
  replaceFile(path, 'text');
  assert.equal(readFileSync(path, 'utf8'), 'text');
  assert.equal(readFileSync(join(folder, 'other'), 'utf8'), 'theirs');
  assert.equal(statSync(path).mode & 0o777, 0o600);
});
