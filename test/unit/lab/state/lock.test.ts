import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { lockLab } from '../../../../lab/state/lock.ts';

const NAME = `t${process.pid}`;
const MODULE = new URL('../../../../lab/state/lock.ts', import.meta.url).href;
/** Another process that takes the lock and keeps it. */
const HOLDER = `import { lockLab } from ${JSON.stringify(MODULE)};
await lockLab(${JSON.stringify(NAME)}, 0);
process.stdout.write('held');
setInterval(() => {}, 1000);`;

test('one command at a time holds the lock of a lab, until it ends in any way', async () => {
  const holder = spawn(process.execPath, ['--input-type=module', '-e', HOLDER]);
  try {
    await once(holder.stdout, 'data');
    await assert.rejects(lockLab(NAME, 0), { code: 'KT_LAB_BUSY' });
    const waiting = lockLab(NAME, 60_000);
    holder.kill('SIGKILL');
    (await waiting).release();
  } finally {
    holder.kill('SIGKILL');
  }
});

test('locks of different labs are independent', async () => {
  const one = await lockLab(`${NAME}a`, 0);
  const other = await lockLab(`${NAME}b`, 0);
  one.release();
  other.release();
});
