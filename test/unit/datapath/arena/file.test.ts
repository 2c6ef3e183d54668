import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { attachArenaFile, openArenaFile } from '../../../../datapath/arena/file.ts';
import {
  H_FLOWS_MAX,
  H_IMAGE_WORDS,
  H_LAYOUT,
  H_MAGIC,
  H_SEED,
} from '../../../../datapath/arena/layout.ts';
import type { KubetunError } from '../../../../datapath/error.ts';
import { LINE_WORDS, W_META } from '../../../../datapath/flow/line.ts';
import { ImageWriter } from '../../../../datapath/image/writer.ts';
import { createBatch, P_LENGTH, P_START } from '../../../../datapath/pipeline/batch.ts';
import { Datapath } from '../../../../datapath/pipeline/datapath.ts';
import { run } from '../../../../datapath/pipeline/run.ts';
import { BACKEND, DEFAULT_IMAGE, POD, VIP } from '../../../support/datapath.ts';
import { flowCount } from '../../../support/flow-count.ts';
import { ACK, decode, SYN, tcp4 } from '../../../support/packets.ts';

const SIZES = { flowsMax: 16, imageWords: 1 << 14 };
const directory = mkdtempSync('/dev/shm/kubetun-test-');
after(() => rmSync(directory, { recursive: true }));

let files = 0;
const fresh = () => join(directory, `arena-${files++}`);

/** Runs one frame through a datapath; returns what left. */
function send(d: Datapath, frame: Uint8Array) {
  const b = createBatch();
  b.bytes.set(frame, 0);
  b.push(frame.length, 0);
  run(d, b, 1000);
  return decode(b.bytes.slice(b.p[P_START]!, b.p[P_START]! + b.p[P_LENGTH]!));
}

test('a new file is fully allocated, and only its owner and root can read it', () => {
  const path = fresh();
  const file = openArenaFile(path, SIZES, 7);
  assert.equal(file.survived, false);
  assert.equal(statSync(path).size, file.arena.layout.bytes);
  assert.ok(
    statSync(path).blocks * 512 >= file.arena.layout.bytes,
    'no hole that could fail later',
  );
  assert.equal(statSync(path).mode & 0o077, 0);
  assert.equal(file.arena.header[H_SEED], 7);
  file.close();
});

test('flows and Services survive their process: the next one continues midway in a connection', () => {
  const path = fresh();
  const first = openArenaFile(path, SIZES, 7);
  const old = new Datapath(first.arena, 1);
  new ImageWriter(first.arena).publish(DEFAULT_IMAGE);
  send(old, tcp4(`${POD}:4000`, `${VIP}:80`, SYN, [], { seq: 999 }));
  send(old, tcp4(`${BACKEND}:8080`, `${POD}:4000`, SYN | ACK, [], { seq: 99, ack: 1000 }));
  send(old, tcp4(`${POD}:4000`, `${VIP}:80`, ACK, [], { seq: 1000, ack: 100 }));
  first.arena.lines[2 * LINE_WORDS + W_META] = 6; // Half of a flow, as a killed writer leaves it.
  first.arena.header[7] = 2;
  first.arena.index.fill(123);
  first.close();

  const second = openArenaFile(path, SIZES, 8);
  assert.equal(second.survived, true);
  assert.equal(second.arena.header[H_SEED], 7, 'the seed of the hashes is kept');
  const d = new Datapath(second.arena, 1);
  assert.equal(flowCount(second.arena), 1);
  const packet = send(d, tcp4(`${POD}:4000`, `${VIP}:80`, ACK, [1], { seq: 1000, ack: 100 }));
  assert.deepEqual([packet.dst, packet.dport, packet.l4Ok], [BACKEND, 8080, true]);
  const back = send(d, tcp4(`${BACKEND}:8080`, `${POD}:4000`, ACK, [1], { seq: 100, ack: 1001 }));
  assert.equal(back.src, VIP);
  assert.deepEqual([...new ImageWriter(second.arena).services().keys()], [1, 2, 3]);
  second.close();
});

test('a second owner is refused while the first one lives, and changes nothing', () => {
  const path = fresh();
  const file = openArenaFile(path, SIZES, 7);
  const other = { flowsMax: 32, imageWords: 1 << 14 };
  for (const sizes of [SIZES, other]) {
    assert.throws(() => openArenaFile(path, sizes, 8), { code: 'KT_ARENA_LOCKED' });
  }
  assert.equal(statSync(path).size, file.arena.layout.bytes);
  file.close();
  openArenaFile(path, SIZES, 8).close();
});

test('an arena of any other layout is replaced', () => {
  const spoil: [string, (header: Int32Array) => void][] = [
    ['the magic number', (h) => (h[H_MAGIC] = 1)],
    ['the layout', (h) => (h[H_LAYOUT] = h[H_LAYOUT]! ^ 1)],
  ];
  for (const [what, change] of spoil) {
    const path = fresh();
    const file = openArenaFile(path, SIZES, 7);
    file.arena.counters[5] = 99;
    change(file.arena.header);
    file.close();
    const next = openArenaFile(path, SIZES, 8);
    assert.equal(next.survived, false, what);
    assert.equal(next.arena.counters[5], 0, 'the content is cleared');
    next.close();
  }
  const path = fresh();
  openArenaFile(path, SIZES, 7).close();
  const larger = openArenaFile(path, { flowsMax: 32, imageWords: 1 << 14 }, 8);
  assert.equal(larger.survived, false, 'other sizes');
  larger.close();
});

const OTHER_USER = 65534;
const PREPARED: [what: string, prepare: (path: string) => void, why: RegExp][] = [
  ['belongs to another user', (path) => chownSync(path, OTHER_USER, OTHER_USER), /user 65534/],
  ['others may write to', (path) => chmodSync(path, 0o622), /mode is 622/],
  ['has another name', (path) => linkSync(path, `${path}.too`), /2 names/],
  [
    'is a link',
    (path) => {
      renameSync(path, `${path}.aim`);
      symlinkSync(`${path}.aim`, path);
    },
    /link/,
  ],
];
for (const [what, prepare, why] of PREPARED) {
  test(`an arena that ${what} is replaced, with the reason, and refused to readers`, () => {
    const path = fresh();
    const before = openArenaFile(path, SIZES, 7);
    before.arena.counters[5] = 99;
    before.close();
    prepare(path);
    assert.throws(
      () => attachArenaFile(path),
      (error: KubetunError) => /^KT_ARENA_(FOREIGN|ABSENT)$/.test(error.code),
    );
    const file = openArenaFile(path, SIZES, 8);
    assert.match(String(file.distrusted), why);
    assert.deepEqual([file.survived, file.arena.counters[5]], [false, 0]);
    const { uid, mode, nlink } = lstatSync(path);
    assert.deepEqual([uid, mode & 0o777, nlink], [process.geteuid!(), 0o600, 1]);
    file.close();
  });
}

test("another user's lock on a prepared file does not block the owner", () => {
  const path = fresh();
  const his = openArenaFile(path, SIZES, 7);
  chownSync(path, OTHER_USER, OTHER_USER);
  const file = openArenaFile(path, SIZES, 8);
  assert.match(String(file.distrusted), /user 65534/);
  his.close();
  file.close();
});

test('an arena ends a reader that writes to it, and stays unchanged', () => {
  const path = fresh();
  const owner = openArenaFile(path, SIZES, 7);
  const script = `
    import { attachArenaFile } from '${new URL('../../../../datapath/arena/file.ts', import.meta.url)}';
    const { arena } = attachArenaFile('${path}');
    console.log(arena.counters[5]);
    arena.counters[5] = 1;
    console.log('written');
  `;
  owner.arena.counters[5] = 42;
  const args = ['--input-type=module', '-e', script];
  const { stdout, signal } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.deepEqual([stdout, signal, owner.arena.counters[5]], ['42\n', 'SIGSEGV', 42]);
  owner.close();
});

test('a reader of a replaced arena still sees it and is not killed', () => {
  const path = fresh();
  const owner = openArenaFile(path, SIZES, 7);
  owner.arena.counters[5] = 42;
  const reader = attachArenaFile(path);
  owner.close();
  openArenaFile(path, { flowsMax: 32, imageWords: 1 << 14 }, 8).close();
  // Access to memory of a truncated file would be a SIGBUS.
  assert.equal(reader.arena.counters[5], 42);
  assert.equal(reader.arena.image.at(-1), 0);
  reader.close();
});

test('a truncated file, or one that is not an arena, is replaced', () => {
  const path = fresh();
  openArenaFile(path, SIZES, 7).close();
  truncateSync(path, 5000);
  const file = openArenaFile(path, SIZES, 7);
  assert.equal(file.survived, false);
  file.close();
  const text = fresh();
  writeFileSync(text, 'no arena');
  openArenaFile(text, SIZES, 7).close();
  assert.equal(statSync(text).size, file.arena.layout.bytes);
});

test('an arena larger than its file system fails with an error and leaves no file', (t) => {
  const small = fresh();
  mkdirSync(small);
  const path = join(small, 'arena');
  const script = `
    import { existsSync } from 'node:fs';
    import { openArenaFile } from '${new URL('../../../../datapath/arena/file.ts', import.meta.url)}';
    try {
      openArenaFile('${path}', { flowsMax: 1024, imageWords: 16384 }, 7);
    } catch (error) {
      console.log(error.code, existsSync('${path}'));
    }
  `;
  const node = `exec "${process.execPath}" --input-type=module -e "$SCRIPT"`;
  const mount = `mount -t tmpfs -o size=256k tmpfs ${small} || exit 77; ${node}`;
  const env = { ...process.env, SCRIPT: script };
  const child = spawnSync('unshare', ['-rm', 'sh', '-c', mount], { env, encoding: 'utf8' });
  if (child.error || child.status !== 0) return t.skip('no small file system can be mounted here');
  assert.equal(child.stdout, 'KT_ARENA_SPACE false\n');
});

test('a reader sees the writes of the owner, and takes no lock', () => {
  const path = fresh();
  const owner = openArenaFile(path, SIZES, 7);
  const reader = attachArenaFile(path);
  owner.arena.counters[3] = 42;
  assert.equal(reader.arena.counters[3], 42);
  assert.equal(reader.arena.layout.flowsMax, 16);
  reader.close();
  assert.throws(() => openArenaFile(path, SIZES, 8), { code: 'KT_ARENA_LOCKED' });
  owner.close();
});

test('a reader gets a one-line error for a file that is not an arena of this version', () => {
  const whole = fresh();
  openArenaFile(whole, SIZES, 7).close();
  const bytes = readFileSync(whole);
  const withWord = (word: number, value: number) => {
    const copy = Buffer.from(bytes);
    copy.writeInt32LE(value, word * 4);
    return copy;
  };
  const contents: [string, Buffer | null][] = [
    ['no file', null],
    ['an empty one', Buffer.alloc(0)],
    ['a short one', bytes.subarray(0, 4095)],
    ['a header alone', bytes.subarray(0, 4096)],
    ['one that was cut off', bytes.subarray(0, bytes.length - 4)],
    ['zeros', Buffer.alloc(bytes.length)],
    ['another layout', withWord(H_LAYOUT, 1)],
    ['more flows', withWord(H_FLOWS_MAX, 32)],
    ['flows that are no power of two', withWord(H_FLOWS_MAX, 1000)],
    ['flows below zero', withWord(H_FLOWS_MAX, -16)],
    ['another image', withWord(H_IMAGE_WORDS, 0x7fff_ffff)],
  ];
  for (const [what, content] of contents) {
    const path = fresh();
    if (content) writeFileSync(path, content);
    assert.throws(() => attachArenaFile(path), { code: 'KT_ARENA_ABSENT' }, what);
  }
});
