import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainQuestion } from '../../../../control/explain/explain.ts';
import { fromFiles } from '../../../../control/explain/source.ts';
import { CLASS, ingress, service } from '../ingress/world.ts';
import { COMMON, DNS, fileOf, node, of, pod, RANGES, slice } from './world.ts';

const ENTRY_PORTS = [
  { name: 'http', port: 80, targetPort: 80, nodePort: 30_080 },
  { name: 'https', port: 443, targetPort: 443, nodePort: 30_443 },
];
const entry = (status: object = { loadBalancer: { ingress: [{ ip: '198.51.100.200' }] } }) => ({
  kind: 'Service',
  metadata: { namespace: 'ingress', name: 'haproxy' },
  spec: {
    ...{ type: 'LoadBalancer', clusterIP: '10.96.0.60', ports: ENTRY_PORTS },
    ...{ externalTrafficPolicy: 'Local', healthCheckNodePort: 30_099 },
  },
  status,
});
const nodes = [1, 2].map((n) => {
  const own = node(`node${n}`, n);
  const addresses = [...own.status.addresses, { type: 'ExternalIP', address: `198.51.100.1${n}` }];
  return { ...own, status: { addresses, conditions: [{ type: 'Ready', status: 'True' }] } };
});
const RULES = [
  'shop.test / * web:80',
  'shop.test /cart * cart:http',
  'shop.test /cart = exact:80',
  'shop.test /cart/deep * cart:80',
  '*.test / * web:80',
  'shop.test /empty * empty:80',
  'shop.test /absent * absent:80',
];
/** The namespace of the Ingresses has Services of its own. */
const rest = COMMON.slice(2).filter((object) => !JSON.stringify(object).includes('"shop"'));
const WORLD = [
  ...[...nodes, ...rest, ...DNS, CLASS, entry()],
  slice(
    'ingress/haproxy',
    ['10.244.2.60'],
    ENTRY_PORTS.map(({ name, port }) => ({ name, port })),
  ),
  pod('ingress/haproxy-1', '10.244.2.60'),
  ...[...service('cart', ['10.244.1.40', '10.244.1.41']), ...service('empty', [])],
  ...[...service('exact', ['10.244.1.42']), ...service('web', ['10.244.1.43'])],
  pod('shop/cart-1', '10.244.1.40'),
  ingress({ name: 'rules', rules: RULES }),
  ingress({
    name: 'locked',
    rules: ['locked.test / * web:80'],
    annotations: { 'haproxy.org/allow-list': '192.0.2.0/24' },
  }),
  ingress({
    name: 'moved',
    rules: ['moved.test / * web:80'],
    annotations: { 'haproxy.org/ssl-redirect': 'true' },
  }),
  ingress({ name: 'other', rules: ['foreign.example / * web:80'], className: 'nginx' }),
];
const source = fromFiles([fileOf(...WORLD)], RANGES);
const ask = (to: string, from = 'internet') => explainQuestion(source, { from, to });

test('follows a URL to HAProxy, names rule and backend, and follows it to an endpoint', () => {
  const found = ask('http://shop.test/cart/1?x=2');
  assert.deepEqual([found.verdict, found.reason], ['forward', 'service']);
  assert.deepEqual(found.ingress, {
    ...{ ingress: 'shop/rules', host: 'shop.test', path: '/cart', pathType: 'Prefix' },
    ...{ rule: 1, rulePath: 0, backend: 'shop/cart:80' },
    endpoints: ['10.244.1.40:8080', '10.244.1.41:8080'],
    ...{ chosen: '10.244.1.40:8080', certificate: null, status: null },
  });
  const stages = found.steps.map(({ node, stage }) => `${node} ${stage}`);
  assert.equal(stages[0], 'cloud service');
  assert.ok(stages.indexOf('node2 deliver') < stages.indexOf('node2 rule'));
  assert.ok(stages.indexOf('node2 rule') < stages.lastIndexOf('node2 select'));
  assert.equal(stages.at(-1), 'node1 deliver');
  assert.match(found.steps.at(-1)!.text, /to pod shop\/cart-1/);
});

test('says why other rules do not match', () => {
  const rules = of(ask('http://shop.test/cart/1'), 'rule');
  assert.deepEqual(rules.slice(0, 5), [
    'Prefix /cart of host shop.test, Ingress shop/rules spec.rules[1].http.paths[0]: ' +
      'Service shop/cart, port 80',
    'not Prefix /cart/deep of host shop.test, Ingress shop/rules spec.rules[3].http.paths[0]: ' +
      'the path is /cart/1',
    'not Prefix /absent of host shop.test, Ingress shop/rules spec.rules[6].http.paths[0]: ' +
      'the path is /cart/1',
    'not Prefix /empty of host shop.test, Ingress shop/rules spec.rules[5].http.paths[0]: ' +
      'the path is /cart/1',
    'not Exact /cart of host shop.test, Ingress shop/rules spec.rules[2].http.paths[0]: ' +
      'the path is /cart/1',
  ]);
  assert.match(rules.at(-3)!, /^not Prefix \/ of host shop\.test, .*: \/cart is longer$/);
  assert.match(rules.at(-2)!, /^not Prefix \/ of host \*\.test, .*: an exact host comes first/);
  assert.match(rules.at(-1)!, /^not 2 others: of other hosts than shop\.test$/);
});

test('Exact comes before Prefix', () => {
  const found = ask('http://shop.test/cart');
  assert.equal(found.ingress?.backend, 'shop/exact:80');
  assert.match(of(found, 'rule').join('\n'), /not Prefix \/cart of .*: Exact comes before Prefix/);
});

const ANSWERS: [to: string, reason: string, status: number, text: RegExp][] = [
  ['http://shop.test/empty', 'ingress-no-endpoint', 503, /Service shop\/empty has no ready/],
  ['http://shop.test/absent', 'ingress-no-endpoint', 503, /backend of the rule does not exist/],
  ['http://sub.shop.tst/', 'ingress-no-rule', 404, /no rule matches/],
  ['http://shop.test/cart/..%2fadmin', 'ingress-bad-request', 400, /path is refused/],
  ['http://locked.test/', 'ingress-not-allowed', 403, /not in the allow-list 192\.0\.2\.0\/24/],
  ['http://moved.test/', 'ingress-redirect', 302, /a redirect to https/],
];
for (const [to, reason, status, text] of ANSWERS) {
  test(`${to}: HAProxy itself answers ${status}`, () => {
    const found = ask(to);
    assert.deepEqual([found.verdict, found.reason], ['reject', reason]);
    assert.equal(found.ingress?.status, status);
    assert.match(of(found, 'answer')[0]!, /^pod ingress\/haproxy-1 answers/);
    assert.match(of(found, 'answer')[0]!, text);
  });
}

test('an allowed client, and https where http is redirected, reach the endpoint', () => {
  assert.equal(ask('http://locked.test/', '192.0.2.7').verdict, 'forward');
  const found = ask('https://moved.test/');
  assert.equal(found.verdict, 'forward');
  assert.match(of(found, 'certificate')[0]!, /the default one: no Ingress has a certificate/);
});

test('names the class of an Ingress that others serve, and a host that is nearly right', () => {
  assert.match(of(ask('http://foreign.example/'), 'rule').join(), /its class is nginx/);
  assert.match(of(ask('http://shop.tset/'), 'rule').join(), /did you mean shop\.test\?/);
});

test('shows the problems of the Ingresses that name the host', () => {
  assert.match(of(ask('http://shop.test/'), 'problem').join(), /no such Service in namespace shop/);
});

test('a URL of a pod passes HAProxy only if a rule names its host', () => {
  assert.equal(ask('http://shop.test/', 'client').ingress?.backend, 'shop/web:80');
  assert.throws(() => ask('http://web', 'client'), { next: /did you mean web:80\?/ });
});

test('without the load balancer of HAProxy says what is missing', () => {
  const others = WORLD.filter((object) => !('spec' in object) || object.kind !== 'Service');
  const lacking = fromFiles([fileOf(...others)], RANGES);
  const question = { from: 'internet', to: 'http://shop.test/' };
  assert.throws(() => explainQuestion(lacking, question), {
    message: /there is no Service ingress\/haproxy/,
    next: /add the Service/,
  });
  const waiting = fromFiles([fileOf(...others, entry({}))], RANGES);
  assert.throws(() => explainQuestion(waiting, question), { message: /has no address/ });
  assert.throws(() => explainQuestion(source, { ...question, node: 'node1' }), {
    message: /--node examines one packet/,
  });
});

test('a packet to an address has no Ingress', () => {
  assert.equal(ask('198.51.100.200:80').ingress, null);
});
