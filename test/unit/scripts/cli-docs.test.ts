import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cliPage } from '../../../scripts/cli-docs.ts';

test('docs/cli.md equals the help of the command line', async () => {
  const page = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8');
  assert.equal(await cliPage(), page, 'run npm run cli-docs');
});
