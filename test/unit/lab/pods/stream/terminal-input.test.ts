import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TerminalInput } from '../../../../../lab/pods/stream/exec.ts';

test('input that is read late pauses the client and arrives complete and in order', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-keys-'));
  const pipe = join(folder, 'pipe');
  assert.equal(spawnSync('mkfifo', [pipe]).status, 0);
  const { O_NONBLOCK, O_RDWR } = constants;
  // Like a terminal's master: a write to a full buffer fails at once.
  const fd = openSync(pipe, O_RDWR | O_NONBLOCK);
  const paused: boolean[] = [];
  const keys = new TerminalInput(
    fd,
    (is) => paused.push(is),
    () => false,
  );
  const typed = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
  for (let at = 0; at < typed.length; at += 30_000) keys.write(typed.subarray(at, at + 30_000));
  const read = Buffer.alloc(typed.length);
  for (let at = 0; at < typed.length; ) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    try {
      at += readSync(fd, read, at, Math.min(16_384, read.length - at), null);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
  }
  assert.ok(read.equals(typed));
  assert.ok(paused.includes(true) && paused.at(-1) === false, String(paused));
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

test('ignores input after the terminal has closed', async () => {
  const keys = new TerminalInput(
    -1,
    () => {},
    () => true,
  );
  keys.write(Buffer.from('x'));
  await new Promise((resolve) => setImmediate(resolve));
});
