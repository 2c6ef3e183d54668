import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openArenaFile } from '../../../../datapath/arena/file.ts';
import { requirePrivateFolder } from '../../../../datapath/arena/folder.ts';

const SIZES = { flowsMax: 16, imageWords: 1 << 14 };
const OTHER_USER = 65534;
const root = mkdtempSync(join(tmpdir(), 'kubetun-folder-'));
after(() => rmSync(root, { recursive: true }));

let places = 0;
/** A folder of all users, as /dev/shm, or one of this user. */
function place(mode = 0o1777): string {
  const path = join(root, String(places++));
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

/** Owner and mode of the real folder. */
function look(path: string) {
  const found = lstatSync(path);
  return [found.isDirectory(), found.uid, found.mode & 0o777];
}
const OURS = [true, process.geteuid!(), 0o700];

test('a missing folder is created, private to this user', () => {
  const folder = join(place(), 'arenas');
  const path = join(folder, 'arena');
  const file = openArenaFile(path, SIZES, 7);
  assert.equal(file.distrusted, null);
  assert.deepEqual(look(folder), OURS);
  file.close();
});

test('a folder of this user that is open to others is closed, and its content stays', () => {
  const folder = join(place(), 'arenas');
  mkdirSync(folder);
  writeFileSync(join(folder, 'kept'), '');
  chmodSync(folder, 0o777);
  assert.equal(requirePrivateFolder(folder), null);
  assert.deepEqual(look(folder), OURS);
  assert.deepEqual(readdirSync(folder), ['kept']);
});

const PREPARED: [what: string, prepare: (folder: string, aim: string) => void, why: RegExp][] = [
  [
    'belongs to another user',
    (folder) => {
      mkdirSync(folder);
      chownSync(folder, OTHER_USER, OTHER_USER);
    },
    /belongs to user 65534/,
  ],
  ['is a link', (folder, aim) => symlinkSync(aim, folder), /is a link/],
  ['is a file', (folder) => writeFileSync(folder, ''), /is not a folder/],
];
for (const [what, prepare, why] of PREPARED) {
  test(`a folder that ${what} is replaced, with the reason`, () => {
    const folder = join(place(), 'arenas');
    const aim = place();
    prepare(folder, aim);
    const file = openArenaFile(join(folder, 'arena'), SIZES, 7);
    assert.match(file.distrusted ?? '', why);
    assert.deepEqual(look(folder), OURS);
    assert.deepEqual(readdirSync(aim), [], 'nothing is created behind a link');
    file.close();
  });
}

test("another user's folder is moved aside with its content", () => {
  const parent = place();
  const folder = join(parent, 'arenas');
  mkdirSync(folder);
  writeFileSync(join(folder, 'his'), 'his');
  chownSync(folder, OTHER_USER, OTHER_USER);
  assert.match(requirePrivateFolder(folder) ?? '', /belongs to user/);
  assert.deepEqual(readdirSync(folder), []);
  const [aside] = readdirSync(parent).filter((name) => name.startsWith('arenas.foreign-'));
  assert.equal(readFileSync(join(parent, aside!, 'his'), 'utf8'), 'his');
});

test("refuses another user's folder in a private place and leaves it there", () => {
  const folder = join(place(0o755), 'arenas');
  mkdirSync(folder);
  chownSync(folder, OTHER_USER, OTHER_USER);
  const open = () => openArenaFile(join(folder, 'arena'), SIZES, 7);
  assert.throws(open, { code: 'KT_ARENA_FOREIGN', message: /belongs to user 65534/ });
  chownSync(folder, process.geteuid!(), -1 >>> 0);
  chmodSync(folder, 0o777);
  assert.throws(open, { code: 'KT_ARENA_FOREIGN', message: /its mode is 777/ });
  chmodSync(folder, 0o755);
  open().close();
  assert.equal(look(folder)[2], 0o755, 'a folder chosen by the user keeps its mode');
});
