import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { compileIngress } from '../../../../control/ingress/compile.ts';
import { matchRequest } from '../../../../control/ingress/match.ts';
import { DEFAULT_INGRESSES, DEFAULT_ROWS, OBJECTS, ROWS, type Row } from './table.ts';
import { objectsOf } from './world.ts';

const plan = compileIngress(objectsOf(...OBJECTS));
const withDefaults = compileIngress(objectsOf(...OBJECTS, ...DEFAULT_INGRESSES));

/** The Service that serves a row, or the status. */
function answer([url, , row]: Row, of = plan): string | number {
  const [, authority = '', target = ''] = /^http:\/\/([^/]+)(.*)$/s.exec(url)!;
  const found = matchRequest(of, { host: row?.host ?? authority, target });
  return found.status ?? found.backend!.service.replace('shop/', '');
}

for (const row of ROWS) {
  test(`${row[0]} ${JSON.stringify(row[2] ?? {})} gives ${row[1]}`, () => {
    equal(answer(row), row[1]);
  });
}
for (const row of DEFAULT_ROWS) {
  test(`with default backends ${row[0]} gives ${row[1]}`, () => {
    equal(answer(row, withDefaults), row[1]);
  });
}

test('the table has at least 60 rows', () => {
  equal(ROWS.length + DEFAULT_ROWS.length >= 60, true);
});

test('serves its own class only', () => {
  deepEqual(plan.served, [
    ...['annotated', 'any-host', 'conflicts', 'conflicts-late', 'faults', 'hosts', 'paths'].map(
      (name) => `shop/${name}`,
    ),
  ]);
});
