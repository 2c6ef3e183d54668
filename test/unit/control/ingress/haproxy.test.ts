// The table, asked of HAProxy itself.
import { equal } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { compileIngress } from '../../../../control/ingress/compile.ts';
import { Haproxy, PROGRAM } from './haproxy.ts';
import { DEFAULT_INGRESSES, DEFAULT_ROWS, OBJECTS, ROWS, type Row } from './table.ts';
import { objectsOf } from './world.ts';

const skip = existsSync(PROGRAM) ? false : `${PROGRAM} is missing`;

async function ask(haproxy: Haproxy, [url, , row]: Row): Promise<string | number> {
  const [, authority = '', target = ''] = /^http:\/\/([^/]+)(.*)$/s.exec(url)!;
  const lines = [`${row?.method ?? 'GET'} ${target} HTTP/1.1`, `Host: ${row?.host ?? authority}`];
  const { status, body } = await haproxy.send([...lines, 'Connection: close', '', ''].join('\r\n'));
  if (status !== 200) return status;
  return (JSON.parse(body) as { service: string }).service.replace('shop/', '');
}

for (const [name, ingresses, rows] of [
  ['without default backends', [], ROWS],
  ['with default backends', DEFAULT_INGRESSES, DEFAULT_ROWS],
] as const) {
  describe(`HAProxy ${name}`, { skip }, () => {
    const haproxy = new Haproxy();
    const plan = compileIngress(objectsOf(...OBJECTS, ...ingresses));
    before(() => haproxy.start(plan));
    after(() => haproxy.stop());
    test('accepts the files without a warning', () => {
      equal(haproxy.files.check(), '');
    });
    for (const row of rows) {
      test(`${row[0]} ${JSON.stringify(row[2] ?? {})} gives ${row[1]}`, async () => {
        equal(await ask(haproxy, row), row[1]);
      });
    }
  });
}
