import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compileIngress } from '../../../../control/ingress/compile.ts';
import { renderHaproxy } from '../../../../control/ingress/config.ts';
import { makePem } from './haproxy.ts';
import { CLASS, type IngressText, ingress, objectsOf, service } from './world.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const secret = (name: string, crt: string, key: string, type = 'kubernetes.io/tls') => ({
  ...{ kind: 'Secret', type, metadata: { namespace: 'shop', name } },
  data: { 'tls.crt': base64(crt), 'tls.key': base64(key) },
});
const A = makePem('a.test', ['a.test', '*.a.test']);
const B = makePem('b.test');
const SECRETS = [
  secret('a', A.crt, A.key),
  secret('b', B.crt, B.key),
  secret('mixed', A.crt, B.key),
  secret('garbage', 'x', 'y'),
  secret('empty', '', '', 'Opaque'),
];
const SERVICES = [...service('web', ['10.244.1.5']), ...service('udp', [], { protocol: 'UDP' })];
const compile = (...all: IngressText[]) =>
  compileIngress(objectsOf(CLASS, ...SECRETS, ...SERVICES, ...all.map(ingress)));
const RULE = ['a.test / * web:80'];
const own = (annotations: Record<string, string>) => ({ rules: RULE, annotations });

const PROBLEMS: [name: string, given: Partial<IngressText>, reason: string, text: RegExp][] = [
  [
    'Service',
    { rules: ['a.test / * no:80'] },
    'ServiceMissing',
    /service\.name is "no".*create it/,
  ],
  ['port', { rules: ['a.test / * web:81'] }, 'PortMissing', /port is 81: expected .*http \(80\)/],
  ['UDP port', { rules: ['a.test / * udp:80'] }, 'PortMissing', /protocol UDP, expected TCP/],
  ['host', { rules: ['a_b / * web:80'] }, 'HostInvalid', /rules\[0\]\.host is "a_b": expected/],
  ['path', { rules: ['a.test /a//b * web:80'] }, 'PathInvalid', /path is "\/a\/\/b": expected/],
  ['Secret', { rules: RULE, tls: ['no: a.test'] }, 'SecretMissing', /tls\[0\]\.secretName is/],
  ['key', { rules: RULE, tls: ['mixed: a.test'] }, 'SecretInvalid', /not the key of the first/],
  ['PEM', { rules: RULE, tls: ['garbage: a.test'] }, 'SecretInvalid', /no PEM certificate/],
  ['type', { rules: RULE, tls: ['empty: a.test'] }, 'SecretInvalid', /type is "Opaque", expected/],
  ['name', { rules: RULE, tls: ['b: a.test'] }, 'CertificateHost', /not for "a\.test"/],
  ['annotation', own({ 'haproxy.org/nope': '1' }), 'AnnotationUnknown', /has no effect/],
  ['time', own({ 'haproxy.org/timeout-server': '99999999d' }), 'AnnotationInvalid', /30s/],
];
describe('a problem has a reason, field, value and next step:', () => {
  for (const [name, given, reason, text] of PROBLEMS) {
    test(name, () => {
      const { problems } = compile({ name: 'bad', ...given });
      equal(problems[0]?.ingress, 'shop/bad');
      equal(problems[0]?.reason, reason);
      match(problems[0]!.message, text);
    });
  }
});

test('a good Ingress beside bad ones has no problem, and is served', () => {
  const plan = compile({ name: 'good', rules: RULE }, { name: 'bad', rules: ['b.test / * no:80'] });
  deepEqual(
    plan.problems.map(({ ingress: key }) => key),
    ['shop/bad'],
  );
  equal(plan.routes[0]!.backend, 'shop_web_80');
});

test('of two equal rules the older is in force, and the rest of the younger stays', () => {
  const young = { name: 'a', age: 9, rules: ['a.test / * udp:80', 'a.test /x * web:80'] };
  const { problems, routes } = compile(young, { name: 'z', rules: RULE });
  deepEqual(
    problems.map(({ reason }) => reason),
    ['PathConflict'],
  );
  match(problems[0]!.message, /Ingress shop\/z, which is older, has Prefix "\/" for host a\.test/);
  deepEqual(
    routes.map(({ path, from }) => `${path} ${from?.ingress}`),
    ['/x shop/a', '/ shop/z', '/ undefined'],
  );
});

test('one Secret serves the hosts of several Ingresses, and no host has two', () => {
  const plan = compile(
    { name: 'one', rules: RULE, tls: ['a: a.test'] },
    { name: 'two', age: 1, rules: RULE, tls: ['a: *.a.test', 'b: a.test b.test'] },
  );
  deepEqual(
    plan.certificates.map(({ secret: key, hosts }) => [key, hosts]),
    [
      ['shop/a', ['*.a.test', 'a.test']],
      ['shop/b', ['b.test']],
    ],
  );
  ok(plan.problems.some(({ reason }) => reason === 'CertificateConflict'));
  match(renderHaproxy(plan).crtList, /default\.pem\n.*shop_a\.pem \*\.a\.test\n/);
});

test('an unreadable allow-list allows no client', () => {
  const plan = compile({ name: 'locked', ...own({ 'haproxy.org/allow-list': '10.0.0.0/8, x' }) });
  deepEqual(plan.backends[0]!.allowed, []);
  match(renderHaproxy(plan).config, /deny deny_status 403\n/);
});

test('Ingresses with other annotations have other backends for one Service', () => {
  const redirect = own({
    'haproxy.org/ssl-redirect': 'true',
    'haproxy.org/ssl-redirect-code': '308',
  });
  const plan = compile(
    { name: 'a', rules: RULE },
    { name: 'b', ...redirect, rules: ['b.test / * web:80'] },
  );
  equal(plan.backends.length, 2);
  deepEqual(
    plan.backends.map(({ redirectCode }) => redirectCode),
    [null, 308],
  );
});
