// A DNS name as destination: explain resolves it as the pod would, reports each query, then follows
// the packet.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { explainQuestion } from '../../../../control/explain/explain.ts';
import type { Explanation } from '../../../../control/explain/explanation.ts';
import { Names } from '../../../../control/explain/names.ts';
import { readObjects } from '../../../../control/explain/objects.ts';
import { fromFiles } from '../../../../control/explain/source.ts';
import { COMMON, DNS, DNS_PORTS, fileOf, of, RANGES, slice } from './world.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const source = fromFiles([fileOf(...COMMON, ...DNS)], RANGES);
const ask = (to: string, from = 'client', given = {}) =>
  explainQuestion(source, { from, to }, new Map(Object.entries(given)));

const rcodes = ({ lookup }: Explanation) =>
  lookup!.queries.map(({ name, rcode }) => `${name} ${rcode}`);
const SUFFIX = 'svc.cluster.local.';

test('resolves a Service by its short name and follows the packet to a pod', () => {
  const found = ask('web:80');
  assert.deepEqual([found.verdict, found.service], ['forward', 'default/web:http']);
  assert.equal(found.chosen?.endpoint, '10.244.2.5:8080');
  assert.deepEqual(found.lookup, {
    ...{ name: 'web', by: 'dns', addresses: ['10.96.0.20'] },
    server: {
      ...{ address: '10.96.0.10', service: 'kube-system/kube-dns:dns' },
      endpoint: '10.244.2.9:53',
    },
    queries: [
      {
        ...{ name: `web.default.${SUFFIX}`, type: 'A', rcode: 'NOERROR' },
        answers: [`web.default.${SUFFIX} A 10.96.0.20`],
      },
    ],
  });
  assert.deepEqual(of(found, 'resolver', 'server', 'query'), [
    'nameserver 10.96.0.10, search default.svc.cluster.local svc.cluster.local cluster.local, ' +
      'options ndots:5',
    '10.96.0.10:53/udp is kube-system/kube-dns:dns: 10.244.2.9:53, pod kube-system/kube-dns-a answers',
    `web.default.${SUFFIX} A: NOERROR, A 10.96.0.20`,
  ]);
  assert.match(found.steps.at(-1)!.text, /pod default\/web-1/);
});

const SEARCHES: [to: string, from: string, queries: string[], addresses: string[]][] = [
  [
    'cart.shop:80',
    'client',
    [`cart.shop.default.${SUFFIX} NXDOMAIN`, `cart.shop.${SUFFIX} NOERROR`],
    ['10.96.0.30'],
  ],
  [
    'cart.shop.svc:80',
    'client',
    [
      `cart.shop.svc.default.${SUFFIX} NXDOMAIN`,
      `cart.shop.svc.${SUFFIX} NXDOMAIN`,
      `cart.shop.${SUFFIX} NOERROR`,
    ],
    ['10.96.0.30'],
  ],
  [`CART.shop.${SUFFIX}:80`, 'client', [`CART.shop.${SUFFIX} NOERROR`], ['10.96.0.30']],
  ['db-1.db:8080', 'client', [`db-1.db.default.${SUFFIX} NOERROR`], ['10.244.2.20']],
  ['db:8080', 'client', [`db.default.${SUFFIX} NOERROR`], ['10.244.1.20', '10.244.2.20']],
  ['alias:80', 'client', [`alias.default.${SUFFIX} NOERROR`], ['10.96.0.30']],
  [
    '10-244-2-5.default.pod.cluster.local.:8080',
    'client',
    ['10-244-2-5.default.pod.cluster.local. NOERROR'],
    ['10.244.2.5'],
  ],
];
for (const [to, from, queries, addresses] of SEARCHES) {
  test(`${to} from ${from} asks ${queries.length} queries`, () => {
    const found = ask(to, from);
    assert.deepEqual(rcodes(found), queries);
    assert.deepEqual(found.lookup!.addresses, addresses);
    assert.equal(found.verdict, 'forward');
    const isService = addresses[0]!.startsWith('10.96.');
    assert.equal(found.original?.dst, addresses[0]);
    assert.equal(found.service !== null, isService);
  });
}

test('asks in the order of ndots, follows a CNAME outside, and takes an address that is given', () => {
  const given = { 'www.example.test': '203.0.113.10' };
  assert.deepEqual(rcodes(ask('www.example.test:80', 'few', given)), ['www.example.test. NOERROR']);
  const many = ask('www.example.test:80', 'client', given);
  assert.equal(rcodes(many).length, 4);
  assert.deepEqual([many.verdict, many.reason], ['forward', 'egress']);
  const out = ask('out:80', 'client', given);
  assert.deepEqual(out.lookup!.queries[0]!.answers, [
    `out.default.${SUFFIX} CNAME www.example.test.`,
    'www.example.test. A 203.0.113.10',
  ]);
  assert.equal(out.translated?.dst, '203.0.113.10');
  assert.deepEqual(rcodes(ask('www:80', 'own', given)), ['www.example.test. NOERROR']);
});

test('finds names of /etc/hosts without a query, in upper or lower case', () => {
  for (const [name, address] of [
    ['OLD.example', '203.0.113.77'],
    ['client', '10.244.1.5'],
    ['localhost', '127.0.0.1'],
  ] as const) {
    const { lookup } = ask(`${name}:80`);
    assert.deepEqual([lookup!.by, lookup!.addresses, lookup!.queries], ['hosts', [address], []]);
  }
});

test('says that a headless Service translates no ports', () => {
  assert.match(of(ask('db:80'), 'port').join(), /its port 80 is port 8080 of the pod/);
  assert.match(of(ask('db-0.db:80'), 'port').join(), /its port 80 is port 8080 of the pod/);
  assert.deepEqual(of(ask('db:8080'), 'port'), []);
  assert.deepEqual(of(ask('web:80'), 'port'), []);
});

const REASONS: [to: string, reason: string, said: RegExp][] = [
  ['wbe:80', 'nxdomain', /no Service default\/wbe \| did you mean web\?/],
  ['zzzzzz:80', 'nxdomain', /no Service default\/zzzzzz \| the objects contain web, idle/],
  ['cart:80', 'nxdomain', /no Service default\/cart, but shop\/cart exists \| ask cart\.shop/],
  ['web.shop:80', 'nxdomain', /no Service shop\/web, but default\/web exists/],
  ['cart.shpo:80', 'nxdomain', /no namespace shpo \| did you mean cart\.shop\?/],
  ['db-0.dbb:80', 'nxdomain', /no namespace dbb, and no Service default\/dbb \| .* db-0\.db\?/],
  ['web.nowhere.svc:80', 'nxdomain', /no namespace nowhere \| the objects contain default, shop/],
  ['web-1:80', 'nxdomain', /default\/web-1 is a pod, and a pod alone has no name/],
  ['sleepy:80', 'nxdomain', /sleepy has no ready endpoint.* not ready: pod-of-10\.244\.2\.31/],
  ['lonely:80', 'nxdomain', /lonely has no ready endpoint.* no pod with an address matches/],
  ['db-2.db:80', 'nxdomain', /endpoint db-2 of Service default\/db is not ready/],
  ['db-9.db:80', 'nxdomain', /no endpoint with the hostname db-9 \| its endpoints are db-0, db-1/],
  [
    'db-3.db.default.svc:80',
    'nxdomain',
    /pod db-3 has hostname "db-3", subdomain "", expected .*spec\.subdomain db/,
  ],
  ['web-1.web:80', 'nxdomain', /no endpoint with the hostname web-1 \| pod web-1 has hostname ""/],
  ['odd:80', 'nxdomain', /odd names the address 203\.0\.113\.10: an alias leads to a name/],
  ['broken:80', 'nodata', /leads to no\.shop\.svc\.cluster\.local, which does not exist/],
  [
    'www.example.test:443',
    'external',
    /www\.example\.test\. is outside .* dig \+short www\.example\.test\. in pod default\/client .*--resolve www\.example\.test:A/,
  ],
  ['out:80', 'external', /www\.example\.test\. is outside of the cluster/],
];
for (const [to, reason, said] of REASONS) {
  test(`${to} does not resolve: ${reason}`, () => {
    const found = ask(to);
    assert.deepEqual([found.verdict, found.reason, found.original], ['unresolved', reason, null]);
    assert.match(of(found, 'unresolved', '').join(' | '), said);
    assert.ok(found.lookup!.queries.length > 0);
  });
}

test('a Service without endpoints resolves, and refuses the packet', () => {
  const found = ask('idle:80');
  assert.deepEqual([found.verdict, found.reason], ['reject', 'reject-no-endpoint']);
  assert.deepEqual(found.lookup!.addresses, ['10.96.0.21']);
});

test('asks upstream at the address that the DNS pods have', () => {
  const said = of(ask('www.example.test.:80'), 'query');
  assert.deepEqual(said, ['www.example.test. A: asked upstream at 203.0.113.10']);
});

describe('a query that gets no answer', () => {
  const policy = (spec: object, namespace = 'default') => ({
    ...{ kind: 'NetworkPolicy', metadata: { namespace, name: 'strict' } },
    spec: { podSelector: {}, ...spec },
  });
  const web = { ports: [{ port: 80 }, { port: 8080 }] };
  const port53 = { ports: [{ port: 53, protocol: 'UDP' }] };
  const failure = (objects: object[], from = 'client') => {
    const found = explainQuestion(fromFiles([fileOf(...COMMON, ...objects)], RANGES), {
      ...{ from, to: 'web:80' },
    });
    return [found.verdict, found.reason, of(found, 'unresolved', '').join(' | ')] as const;
  };

  test('is dropped by an egress policy without port 53, which is named', () => {
    const [verdict, reason, said] = failure([
      ...DNS,
      policy({ policyTypes: ['Egress'], egress: [web] }),
    ]);
    assert.deepEqual([verdict, reason], ['unresolved', 'query-policy-egress']);
    assert.match(
      said,
      /NetworkPolicy default\/strict drops the DNS query \| .*port 53, UDP and TCP/,
    );
    const [allowed] = failure([...DNS, policy({ policyTypes: ['Egress'], egress: [web, port53] })]);
    assert.equal(allowed, 'forward');
  });

  test('is dropped by a policy of the DNS pods', () => {
    const [, reason, said] = failure([...DNS, policy({ ingress: [web] }, 'kube-system')]);
    assert.equal(reason, 'query-policy-ingress');
    assert.match(said, /a NetworkPolicy of the DNS pods drops the query/);
  });

  test('finds no ready DNS pod', () => {
    const [, reason, said] = failure([
      DNS[0]!,
      slice('kube-system/kube-dns', ['!10.244.2.9'], DNS_PORTS),
    ]);
    assert.equal(reason, 'query-reject-no-endpoint');
    assert.match(
      said,
      /kube-system\/kube-dns has no ready pod.* \| kubectl get pods -n kube-system/,
    );
  });

  test('has no name server, or one that the objects do not show', () => {
    assert.match(failure(DNS, 'deaf').join(), /no-nameserver,the pod has no name server/);
    assert.match(failure(DNS, 'host').join(), /no-nameserver,.*resolver of its node/);
  });
});

test('a cluster without a DNS Service has no DNS; files may omit that Service', () => {
  const file = fileOf(...COMMON);
  const partial = fromFiles([file], RANGES);
  const found = explainQuestion(partial, { from: 'client', to: 'web:80' });
  assert.equal(found.verdict, 'forward');
  assert.match(of(found, 'server')[0]!, /contain no Service kube-system\/kube-dns/);
  const options = { rangeStart: 0x0a600000, machine: null, isWhole: true };
  const whole = { ...partial, names: new Names(readObjects([file]), options) };
  const off = explainQuestion(whole, { from: 'client', to: 'web:80' });
  assert.deepEqual([off.verdict, off.reason], ['unresolved', 'query-unallocated']);
  assert.match(of(off, 'unresolved', '').join(), /the cluster has no DNS.* dns: false/);
});

test('only a pod resolves names; the error for a place of a lab shows the correct form', () => {
  const refusals: [from: string, to: string, message: RegExp][] = [
    ['node/node1', 'web:80', /--to web is a name, but --from node\/node1 is not a pod/],
    ['203.0.113.9', 'web:80', /--from 203\.0\.113\.9 is not a pod with an address/],
    ['absent', 'web:80', /--from absent is not a pod with an address/],
    ['client', 'web', /"web" is not a destination/],
    ['client', 'web:http', /"web:http" is not a destination/],
  ];
  for (const [from, to, message] of refusals) {
    assert.throws(() => ask(to, from), { code: 'KT_EXPLAIN', message });
  }
  const hints: [from: string, next: RegExp][] = [['node1', /the node is called node\/node1/]];
  for (const [from, next] of hints) assert.throws(() => ask('10.96.0.20:80', from), { next });
});

test('the command resolves names from files, in a table, in JSON and in a batch', () => {
  const file = fileOf(...COMMON, ...DNS);
  const run = (input: string, ...args: string[]) => {
    const command = ['explain', '--objects', file, ...args];
    const options = { input, encoding: 'utf8' as const };
    const { stdout, stderr } = spawnSync(join(ROOT, 'scripts/kubetun'), command, options);
    assert.equal(stderr, '');
    return stdout;
  };
  const table = run('', '--from', 'client', '--to', 'web:80');
  assert.match(table, /^node1 +resolver +nameserver 10\.96\.0\.10/m);
  assert.match(
    table,
    /^ +query +web\.default\.svc\.cluster\.local\. A: NOERROR, A 10\.96\.0\.20$/m,
  );
  const given = ['--resolve', 'WWW.example.test.:203.0.113.10'];
  const json = run('', '--from', 'client', '--to', 'out:80', ...given, '-o', 'json');
  assert.deepEqual(JSON.parse(json).lookup.addresses, ['203.0.113.10']);
  const line = run('{"from":"client","to":"www.example.test:80"}', '--batch', ...given);
  assert.equal(JSON.parse(line).verdict, 'forward');
});
