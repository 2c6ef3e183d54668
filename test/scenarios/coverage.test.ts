import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { DROP_REASONS } from '../../datapath/pipeline/verdict.ts';
import { NOT_IN_NFTABLES } from './not-in-nftables.ts';
import { FLOW_RULES, type Rule, SERVICE_RULES } from './rows.ts';

const folder = import.meta.dirname;
const RULES = [...SERVICE_RULES, ...FLOW_RULES];

/** The first two fields of every scenario row. */
function scenarioRows(): { id: string; what: string }[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  return files.flatMap((file) => {
    const { rows } = parse(readFileSync(join(folder, file), 'utf8')) as { rows: string[] };
    return rows.map((row) => {
      const [id = '', what = ''] = row.split('|').map((part) => part.trim());
      return { id, what: `${file}: ${what}` };
    });
  });
}

/** The test that `by` names, if it exists. A name made of parts is found by one of them. */
function namedTest(by: string): string {
  const [file = '', name = ''] = by.split(/: (.*)/);
  const text = readFileSync(join(folder, '..', file), 'utf8');
  assert.ok(text.includes(name), `${file} has no test named ${name}`);
  return by;
}

test('every rule of Services and of flows has a scenario or a test', (t) => {
  const rows = scenarioRows();
  const shownBy = ({ id, by }: Rule) => [
    ...rows.filter((row) => row.id === id).map((row) => row.what),
    ...by.map(namedTest),
  ];
  const bare = RULES.filter((rule) => shownBy(rule).length === 0);
  assert.deepEqual(
    bare.map((rule) => rule.id),
    [],
  );
  t.diagnostic(
    `${SERVICE_RULES.length} rules of Services, ${FLOW_RULES.length} of flows, ${rows.length} scenario rows`,
  );
  for (const rule of RULES) t.diagnostic(`${rule.id}: ${rule.says} <- ${shownBy(rule).join('; ')}`);
});

test('no rule is listed twice, and every scenario row names a listed rule', () => {
  const ids = RULES.map((rule) => rule.id);
  assert.deepEqual([...new Set(ids)], ids);
  assert.deepEqual(
    scenarioRows().filter(({ id }) => !ids.includes(id)),
    [],
  );
});

test('every exception for nftables is a listed rule', () => {
  const ids = new Set(RULES.map((rule) => rule.id));
  assert.deepEqual(
    NOT_IN_NFTABLES.filter((id) => !ids.has(id)),
    [],
  );
});

test('every drop reason occurs in a scenario or a test of the pipeline', () => {
  const files = ['.', '../unit/datapath/pipeline'].flatMap((place) =>
    readdirSync(join(folder, place)).map((name) => join(folder, place, name)),
  );
  const text = files
    .filter((path) => /\.(yaml|test\.ts)$/.test(path))
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
  // A compared verdict, or the outcome of a scenario row.
  const happens = (name: string) => text.includes(`'${name}'`) || text.includes(`drop ${name}\n`);
  const bare = DROP_REASONS.slice(1).filter(([name]) => !happens(name));
  assert.deepEqual(bare, []);
});
