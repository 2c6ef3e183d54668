// docs/ARCHITECTURE.md names files and functions. Each of them exists.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const root = join(import.meta.dirname, '../../..');
const text = readFileSync(join(root, 'docs/ARCHITECTURE.md'), 'utf8');
const FILE = /^(datapath|control|lab|scripts|test|docs)\/[\w./-]+\.\w+$/;

/** Texts between backticks, without those of code blocks. */
function quoted(part: string): string[] {
  const prose = part.replace(/^```[\s\S]*?^```/gm, '');
  return [...prose.matchAll(/`([^`]+)`/g)].map((found) => found[1]!);
}

/** Rows of the table under a heading: its cells. */
function rowsUnder(heading: string): string[][] {
  const section = text.split(`## ${heading}\n`)[1]!.split('\n## ')[0]!;
  const rows = section.split('\n').filter((line) => /^\| \d/.test(line));
  return rows.map((row) => row.split('|').slice(1, -1));
}

function declares(source: string, name: string): boolean {
  const functions = new RegExp(`function\\*? ${name}\\b`);
  const methods = new RegExp(`^  (?:static )?(?:async )?\\*?#?${name}[(<]`, 'm');
  return functions.test(source) || methods.test(source);
}

describe('docs/ARCHITECTURE.md', () => {
  test('every file that it names exists', () => {
    const files = quoted(text).filter((name) => FILE.test(name));
    assert.ok(files.length > 60, `${files.length} files are named`);
    assert.deepEqual(
      files.filter((file) => !existsSync(join(root, file))),
      [],
    );
  });

  test('no file is named without its folder', () => {
    assert.deepEqual(
      quoted(text).filter((name) => /^[\w-]+\.(ts|sh)$/.test(name)),
      [],
    );
  });

  for (const heading of ["A packet's way through the code", "A Service's way through the code"]) {
    test(`${heading}: every function is declared in a file of its row`, () => {
      const rows = rowsUnder(heading);
      assert.ok(rows.length > 10, `${rows.length} rows`);
      const missing = rows.flatMap(([stage, files, functions]) => {
        const source = quoted(files!)
          .map((file) => readFileSync(join(root, file), 'utf8'))
          .join('\n');
        const names = quoted(functions!);
        assert.ok(names.length > 0, `${stage} names no function`);
        return names.filter((name) => !declares(source, name)).map((name) => `${stage}: ${name}`);
      });
      assert.deepEqual(missing, []);
    });
  }

  test('the walk of a packet names every stage that run calls', () => {
    const run = readFileSync(join(root, 'datapath/pipeline/run.ts'), 'utf8');
    const stages = [...run.matchAll(/^import \{[^}]*\} from '\.\/([\w-]+\.ts)'/gm)].map(
      (found) => found[1]!,
    );
    assert.deepEqual(
      stages.filter((stage) => !text.includes(`datapath/pipeline/${stage}`)),
      [],
    );
  });
});
