import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseFieldSelector,
  parseLabelSelector,
} from '../../../../../control/apiserver/verbs/selectors.ts';
import type { KubeObject } from '../../../../../control/kube/object.ts';

const OBJECTS: Record<string, Record<string, string>> = {
  none: {},
  web: { app: 'web', n: '5' },
  api: { app: 'api', n: '3', 'example.com/tier': 'back' },
  empty: { app: '' },
  odd: { in: 'x', notin: 'y', constructor: 'z', n: 'many' },
};

function chosen(selector: string): string {
  const matches = parseLabelSelector(selector);
  const names = Object.keys(OBJECTS).filter((name) => {
    return matches({ metadata: { name, labels: OBJECTS[name]! } } as KubeObject);
  });
  return names.join(' ');
}

const rows: [selector: string, names: string][] = [
  ['', 'none web api empty odd'],
  ['app', 'web api empty'],
  ['!app', 'none odd'],
  ['! app', 'none odd'],
  ['app=web', 'web'],
  ['app == web', 'web'],
  ['app!=web', 'none api empty odd'],
  ['app=', 'empty'],
  ['app=,n', ''],
  ['app in(web,api)', 'web api'],
  ['app in (web, api),n', 'web api'],
  ['app in (,web)', 'web empty'],
  ['app in (web,)', 'web empty'],
  ['app notin (web,api)', 'none empty odd'],
  ['n>4', 'web'],
  ['n<4', 'api'],
  ['n > 2,n < 6', 'web api'],
  ['example.com/tier=back', 'api'],
  ['constructor', 'odd'],
  ['toString', ''],
  ['!toString', 'none web api empty odd'],
  ['hasOwnProperty notin (a)', 'none web api empty odd'],
  ['in', 'odd'],
  ['in=x', 'odd'],
  ['in in (x)', 'odd'],
  ['notin notin (y)', 'none web api empty'],
];
for (const [selector, names] of rows) {
  test(`the label selector ${JSON.stringify(selector)} chooses: ${names || 'nothing'}`, () => {
    assert.equal(chosen(selector), names);
  });
}

const refused: [selector: string, message: RegExp][] = [
  [',app', /^found ',', expected: !, identifier, or 'end of string'$/],
  ['app,', /^found '', expected: identifier after ','$/],
  ['app web', /^unable to parse requirement: found 'web', expected: in, notin, =, ==, !=, gt, lt$/],
  ['app=web api', /^found 'api', expected: ',' or 'end of string'$/],
  ['app in web', /^unable to parse requirement: found 'web' expected: '\('$/],
  ['app in (web', /^unable to parse requirement: found '', expected: ',' or '\)'$/],
  ['app in ()', /'in', 'notin' operators, values set can't be empty$/],
  ['app=a/b', /values\[0\]\[app\]: Invalid value: "a\/b": a valid label must be/],
  ['n>x', /'Gt', 'Lt' operators, the value must be an integer$/],
  ['__proto__', /<nil>: Invalid value: "__proto__": name part must consist/],
  ['a/b/c=d', /Invalid value: "a\/b\/c"/],
  ['app===web', /found '=', expected: identifier$/],
  ['!', /found '', expected: identifier$/],
];
for (const [selector, message] of refused) {
  test(`the label selector ${JSON.stringify(selector)} is refused`, () => {
    assert.throws(() => parseLabelSelector(selector), { code: 400, message });
  });
}

test('field selectors take escaped values, and know no fields of prototypes', () => {
  const fields = { type: (o: KubeObject) => String(o.type) };
  const object = { metadata: { name: 'a,b' }, type: 'x=y\\' } as KubeObject;
  assert.ok(parseFieldSelector('metadata.name=a\\,b,type==x\\=y\\\\', fields)(object));
  assert.ok(!parseFieldSelector('metadata.name!=a\\,b', fields)(object));
  for (const name of ['constructor', 'toString', '__proto__']) {
    const message = `field label not supported: ${name}`;
    assert.throws(() => parseFieldSelector(`${name}=x`, fields), { code: 400, message });
  }
  assert.throws(() => parseFieldSelector('type', fields), { message: /can't understand 'type'/ });
});
