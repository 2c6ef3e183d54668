import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  FILE_BYTES_MAX,
  FILES_MAX,
  fileNumbers,
  filePath,
  logFolder,
  logName,
  openRuns,
  pipePath,
  removeLogs,
  runsOf,
} from '../../../../lab/logs/files.ts';
import { openLog, openPipe } from '../../../../lab/logs/open.ts';
import { LogFiles, writeLog } from '../../../../lab/logs/writer.ts';

const stateDir = mkdtempSync(join(tmpdir(), 'kubetun-logs-'));
after(() => rmSync(stateDir, { recursive: true }));

const text = (log: Parameters<typeof filePath>[0], number = 0) =>
  readFileSync(filePath(log, number), 'utf8').replaceAll(/^\S+ /gm, '');

describe('the files of a log', () => {
  const begin = (name: string) => {
    const { fd, log } = openPipe(stateDir, name);
    closeSync(fd);
    return { log, files: new LogFiles(log) };
  };

  test('never exceed their size, and the oldest are removed', () => {
    const { log, files } = begin('full');
    const line = Buffer.from(`${'x'.repeat(64 * 1024 - 1)}\n`);
    for (let i = 0; i < 8 * 160; i++) files.append(line, i);
    const numbers = fileNumbers(log);
    assert.equal(numbers.length, FILES_MAX);
    assert.ok(numbers[0]! > 0, 'some are gone');
    const sizes = numbers.map((number) => statSync(filePath(log, number)).size);
    assert.ok(
      sizes.every((size) => size <= FILE_BYTES_MAX),
      sizes.join(' '),
    );
    assert.ok(sizes.slice(0, -1).every((size) => size > FILE_BYTES_MAX - 66 * 1024));
    files.close();
  });

  test('are continued by another writer after the last whole entry', () => {
    const { log, files } = begin('torn');
    files.append(Buffer.from('one\n'), 0);
    files.close();
    appendFileSync(filePath(log, 0), '1970-01-01T00:00:00.0');
    const next = new LogFiles(log);
    next.append(Buffer.from('two\n'), 0);
    next.close();
    assert.equal(text(log), 'F one\nF two\n');
  });

  test('drop and count lines on a full disk, and report the count later', () => {
    // A file size limit makes a write fail partway, like a full disk.
    const modules = join(import.meta.dirname, '../../../../lab/logs');
    const script = `
      import { spawnSync } from 'node:child_process';
      import { readFileSync } from 'node:fs';
      import { filePath } from '${modules}/files.ts';
      import { openPipe } from '${modules}/open.ts';
      import { LogFiles } from '${modules}/writer.ts';
      process.on('SIGXFSZ', () => {});
      const { log } = openPipe('${stateDir}', 'limited');
      const files = new LogFiles(log);
      files.append(Buffer.from('before\\n'), 0);
      for (let i = 0; i < 3000; i++) files.append(Buffer.from('lost ' + i + '\\n'), 0);
      spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited']);
      files.append(Buffer.from('after\\n'), 0);
      process.stdout.write(readFileSync(filePath(log, 0), 'utf8'));`;
    const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
    const args = ['-c', 'ulimit -S -f 64; exec "$@"', 'sh', ...node];
    const { stdout, stderr } = spawnSync(
      'sh',
      [...args, '--input-type=module-typescript', '-e', script],
      // The file of a compile cache would exceed the limit.
      { encoding: 'utf8', env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' } },
    );
    const lines = stdout
      .replaceAll(/^\S+ F /gm, '')
      .trimEnd()
      .split('\n');
    assert.equal(lines[0], 'before', stderr);
    assert.equal(lines.at(-1), 'after');
    const kept = lines.filter((line) => line.startsWith('lost ')).length;
    const said = lines.at(-2)!.match(/^kubetun: (\d+) lines of this log were dropped/);
    assert.equal(kept + Number(said?.[1]), 3000, lines.at(-2));
  });
});

describe('a pipe of a log', () => {
  const written = (log: Parameters<typeof writeLog>[0]) =>
    new Promise<void>((resolve) => writeLog(log, resolve));

  test('is read until its last process has ended, then removed', async () => {
    const { fd, log } = openPipe(stateDir, 'pair');
    assert.deepEqual(
      openRuns(stateDir).filter(({ name }) => name === 'pair'),
      [log],
    );
    const done = written(log);
    const child = spawn('sh', ['-c', 'echo one; echo two >&2; printf three'], {
      stdio: ['ignore', fd, fd],
    });
    closeSync(fd);
    await once(child, 'exit');
    await done;
    assert.equal(text(log), 'F one\nF two\nP three\n');
    assert.equal(existsSync(pipePath(log)), false);
  });

  test('keeps output while there is no log writer', async () => {
    const { fd, log } = openPipe(stateDir, 'alone');
    writeSync(fd, 'early\n');
    const done = written(log);
    closeSync(fd);
    await done;
    assert.equal(text(log), 'F early\n');
  });

  test('blocks a container that writes above the rate limit', async () => {
    const { fd, log } = openPipe(stateDir, 'flood');
    const done = written(log);
    const child = spawn('yes', [], { stdio: ['ignore', fd, fd] });
    closeSync(fd);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    child.kill('SIGKILL');
    await done;
    const numbers = fileNumbers(log);
    // The burst is 16 MiB, followed by 8 MiB per second: far below the capacity of five files.
    assert.equal(numbers[0], 0, 'no file was removed');
  });

  test('of the last two runs is kept, earlier ones are removed', async () => {
    const runs: number[] = [];
    for (let i = 0; i < 3; i++) {
      const { fd, log } = openPipe(stateDir, logName('ns', 'pod', 'main'));
      const done = written(log);
      closeSync(fd);
      await done;
      runs.push(log.run);
    }
    const log = { stateDir, name: logName('ns', 'pod', 'main') };
    assert.deepEqual(runsOf(log), runs.slice(1));
    removeLogs(stateDir, 'ns', 'po');
    assert.equal(existsSync(logFolder(log)), true);
    removeLogs(stateDir, 'ns', 'pod');
    assert.equal(existsSync(logFolder(log)), false);
  });

  test('is refused if no log writer opens it', async (t) => {
    t.mock.timers.enable({ apis: ['Date'] });
    const refused = assert.rejects(openLog(stateDir, 'nobody'), { code: 'KT_LOG_WRITER' });
    t.mock.timers.setTime(10_000);
    await refused;
    const { fd } = openPipe(stateDir, 'other');
    closeSync(fd);
    const pipes = readdirSync(join(stateDir, 'logs/pipes'));
    assert.ok(pipes.includes('other_10000') && !pipes.some((name) => name.startsWith('nobody')));
  });
});

test('a lab has one writer, and the second one ends', async () => {
  const entry = join(import.meta.dirname, '../../../../lab/logs/main.ts');
  const lab = `logs-test-${process.pid}`;
  const first = spawn(process.execPath, [entry, lab, stateDir], { stdio: 'ignore' });
  try {
    closeSync(await openLog(stateDir, 'taken'));
    const second = spawnSync(process.execPath, [entry, lab, stateDir], { encoding: 'utf8' });
    assert.notEqual(second.status, 0);
    assert.match(second.stderr, /KT_LAB_BUSY/);
  } finally {
    first.kill();
  }
});
