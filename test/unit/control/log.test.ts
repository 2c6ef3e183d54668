import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { LogFile } from '../../../control/log.ts';

describe('a log file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-log-'));
  const describeDropped = (lines: number) => `dropped ${lines}\n`;
  after(() => rmSync(folder, { recursive: true }));

  test('becomes the previous one when it is too long', () => {
    const path = join(folder, 'long.log');
    const fd = openSync(path, 'a');
    const log = new LogFile({ fd, bytesMax: 1000, describeDropped });
    for (let i = 0; i < 100; i++) log.write(`line ${String(i).padStart(14)}\n`);
    closeSync(fd);
    assert.ok(statSync(path).size <= 1020, `${statSync(path).size}`);
    const kept = readFileSync(`${path}.1`, 'utf8') + readFileSync(path, 'utf8');
    const lines = kept.trimEnd().split('\n');
    assert.equal(lines.at(-1), `line ${'99'.padStart(14)}`);
    const numbers = lines.map((line) => Number(line.slice(5)));
    const first = numbers[0]!;
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => first + i),
    );
  });

  test('drops and counts lines while writes fail, and never throws', () => {
    // The kernel's own full device answers ENOSPC to every write.
    const fd = openSync('/dev/full', 'w');
    const log = new LogFile({ fd, describeDropped });
    log.write('lost\n');
    log.write('lost too\n');
    closeSync(fd);
    log.write('to a closed descriptor\n');
  });

  test('reports dropped lines once there is room, on a line by themselves', () => {
    // A limit of the file size makes a write fail partway, like a full disk.
    const script = join(folder, 'limited.ts');
    const path = join(folder, 'limited.log');
    const source = new URL('../../../control/log.ts', import.meta.url).pathname;
    writeFileSync(
      script,
      `import { ftruncateSync, openSync } from 'node:fs';
      import { LogFile } from '${source}';
      process.on('SIGXFSZ', () => {});
      const fd = openSync('${path}', 'a');
      const log = new LogFile({ fd, describeDropped: (n) => \`dropped \${n}\\n\` });
      log.write('a'.repeat(1000) + '\\n');
      log.write('b'.repeat(1000) + '\\n');
      log.write('c\\n');
      ftruncateSync(fd, 1010);
      log.write('d\\n');`,
    );
    const limited = 'ulimit -f 3; exec "$@"';
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', script];
    // The file of a compile cache would exceed the limit.
    const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' };
    const { status, stderr } = spawnSync('sh', ['-c', limited, 'sh', ...node], {
      ...{ encoding: 'utf8', env },
    });
    assert.equal(status, 0, stderr);
    const [a, b, said, d] = readFileSync(path, 'utf8').split('\n');
    assert.equal(a, 'a'.repeat(1000));
    assert.equal(b, 'b'.repeat(9));
    assert.deepEqual([said, d], ['dropped 2', 'd']);
  });
});
