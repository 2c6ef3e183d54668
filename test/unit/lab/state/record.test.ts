import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  type LabRecord,
  readRecord,
  updateRecord,
  writeRecord,
} from '../../../../lab/state/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-record-'));
process.env.KUBETUN_RUN_DIR = folder;
after(() => rmSync(folder, { recursive: true }));

test('concurrent changes of a record by two processes are all kept', async () => {
  writeRecord({ lab: 'a', apiPort: 0, maker: null, phase: 'starting' } as unknown as LabRecord);
  const state = join(import.meta.dirname, '../../../../lab/state');
  // After a change each one checks its earlier write, which a writer with an old record would undo.
  const writer = (field: string) => `
    import { readRecord, updateRecord } from '${state}/record.ts';
    let lost = 0;
    for (let i = 1; i <= 500; i++) {
      updateRecord('a', { ${field}: i });
      if (readRecord('a').${field} !== i) lost++;
    }
    process.exitCode = lost > 0 ? 1 : 0;`;
  const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e'];
  const ended = ['apiPort', 'maker'].map(async (field) => {
    const child = spawn(process.execPath, [...flags, writer(field)], { stdio: 'inherit' });
    const [code] = await once(child, 'exit');
    return code;
  });
  assert.deepEqual(await Promise.all(ended), [0, 0]);
  const { apiPort, maker } = readRecord('a')!;
  assert.deepEqual([apiPort, maker], [500, 500]);
});

test('does not recreate a removed record', () => {
  rmSync(join(folder, 'a/lab.json'));
  updateRecord('a', { apiPort: 1 });
  assert.equal(readRecord('a'), null);
});
