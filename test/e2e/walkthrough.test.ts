// docs/walkthrough.md shows what its commands print today.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import { structureOf, walk } from '../../scripts/walkthrough.ts';

test('the walkthrough has the commands and kinds of lines of a new run', async () => {
  const page = readFileSync(join(PROJECT_ROOT, 'docs/walkthrough.md'), 'utf8');
  assert.deepEqual(structureOf(await walk('e2e-walk')), structureOf(page));
});
