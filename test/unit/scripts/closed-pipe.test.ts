// Output to a pipe whose reader has ended, as with `| head`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../../../lab/places/paths.ts';

const KUBETUN = join(PROJECT_ROOT, 'scripts/kubetun.ts');

/** Errors of a command whose reader ends before it writes, and its exit code as the last line. */
function withoutReader(command: string): string {
  const kubetun = `"${process.execPath}" --disable-warning=ExperimentalWarning "${KUBETUN}"`;
  const script = `{ sleep 0.3; ${kubetun} ${command}; echo "code $?" >&2; } | true`;
  return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stderr;
}

const COMMANDS = ['--help', '--version', 'completion bash', 'lab up --plan', 'lab --help'];
for (const command of COMMANDS) {
  test(`kubetun ${command} is silent and ends with 0 when its reader has gone`, () => {
    assert.equal(withoutReader(command), 'code 0\n');
  });
}
