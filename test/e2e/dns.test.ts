// DNS names of a lab: its pods on both nodes query them through the DNS Service.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Explanation } from '../../control/explain/explanation.ts';
import type { Pod } from '../../control/kube/kinds.ts';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';
import { findPod } from '../../lab/pods/sandbox/records.ts';
import {
  clientCommand,
  clientPod,
  NODE,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';
import { type Line, type Row, TABLES } from '../unit/control/dns/table.ts';
import { NAMESPACES, SERIAL, SERVICES, SLICES, slice } from '../unit/control/dns/world.ts';

const NAME = 'e2e-dns';
const STATE = `/run/kubetun/${NAME}`;
const CLIENTS = ['client1', 'client2'];
const SERVICE_IP = '10.96.0.10';
const ENDPOINTS = 200;
/** In a folder that pods see. */
const MUSL = join(PROJECT_ROOT, 'node_modules/.cache', `${NAME}-musl`);
let lab: TestLab;
let musl: string | null = null;

/** A pod that sleeps, with further fields in its spec. */
function pod(name: string, spec: Partial<NonNullable<Pod['spec']>>, labels = {}): object {
  const containers = [{ name: 'main', image: 'pause' }];
  const rest = { nodeName: 'node1', terminationGracePeriodSeconds: 0, containers };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec: { ...rest, ...spec } };
}

const named = (kind: string, object: object) => ({
  ...{ apiVersion: kind === 'EndpointSlice' ? 'discovery.k8s.io/v1' : 'v1', kind, ...object },
});

/** The objects of the unit tests' cluster that a lab accepts. */
function tableObjects(): object[] {
  const isOwn = ({ metadata }: { metadata?: { namespace?: string } }) =>
    metadata?.namespace === 'testns';
  const services = SERVICES.filter(isOwn).filter(({ spec }) => {
    const isPlain = spec?.type === 'ExternalName' || (spec?.ports?.length ?? 0) > 0;
    return (
      (isPlain || spec?.clusterIP === 'None') && !spec?.clusterIPs?.some((ip) => ip.includes(':'))
    );
  });
  return [
    ...NAMESPACES.filter((name) => name !== 'kube-system').map((name) =>
      named('Namespace', { metadata: { name } }),
    ),
    ...services.map((service) => named('Service', service)),
    ...SLICES.filter(isOwn).map((object) => named('EndpointSlice', object)),
  ];
}

function bigObjects(): object[] {
  const addresses = Array.from({ length: ENDPOINTS }, (_, i) => `172.1.0.${i + 1}`);
  const parts = [addresses.slice(0, 100), addresses.slice(100)];
  return [
    serviceObject('big', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }),
    ...parts.map((part, i) =>
      named('EndpointSlice', slice('default/big', part, [['http', 80]], `part${i}`)),
    ),
  ];
}

const OBJECTS = [
  ...tableObjects(),
  ...bigObjects(),
  serverPod('web1', 'node1'),
  serverPod('web2', 'node2'),
  clientPod('client1', 'node1'),
  clientPod('client2', 'node2'),
  serviceObject('web', {
    selector: { app: 'web' },
    ports: [{ name: 'http', port: 80, targetPort: 8080 }],
  }),
  serviceObject('heads', { clusterIP: 'None', selector: { app: 'web' } }),
  serviceObject('sub', { clusterIP: 'None', selector: { app: 'sub' } }),
  serviceObject('shop', { type: 'ExternalName', externalName: 'www.example.test' }),
  pod('named', { hostname: 'busy', subdomain: 'sub' }, { app: 'sub' }),
  pod('long', { hostname: 'long', subdomain: 'sub', setHostnameAsFQDN: true }, { app: 'sub' }),
  pod('none', {
    dnsPolicy: 'None',
    dnsConfig: {
      nameservers: ['203.0.113.10'],
      searches: ['example.test'],
      options: [{ name: 'ndots', value: '2' }],
    },
  }),
  pod('default', { dnsPolicy: 'Default' }),
  pod('quiet', {}, { app: 'quiet' }),
  pod('host', { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }),
];

interface Found {
  status: string;
  flags: string[];
  answers: string[];
  authority: string[];
  additional: string[];
}

/** Asks several questions with one dig; an answer for each, in order. */
async function dig(target: string, questions: string[]): Promise<Found[]> {
  const { child, done } = lab.start(target, ['dig', '-f', '-']);
  const common = '+nocookie +tries=3 +time=5';
  child.stdin!.end(questions.map((line) => `${line} ${common}\n`).join(''));
  const { stdout, stderr } = await done;
  const blocks = stdout.split(/^;; Got answer:$/m).slice(1);
  assert.equal(blocks.length, questions.length, `${stderr}${stdout.slice(-2000)}`);
  return blocks.map(readBlock);
}

function readBlock(text: string): Found {
  const section = (name: string) => {
    const [, body = ''] = new RegExp(`^;; ${name} SECTION:\n((?:.+\n)*)`, 'm').exec(text) ?? [];
    return body.split('\n').filter(Boolean).map(normal).sort();
  };
  const [, status = ''] = /status: (\w+)/.exec(text) ?? [];
  const [, flags = ''] = /^;; flags: ([^;]*);/m.exec(text) ?? [];
  return {
    ...{ status, flags: flags.split(' ') },
    ...{ answers: section('ANSWER'), authority: section('AUTHORITY') },
    additional: section('ADDITIONAL'),
  };
}

/** `NAME TYPE TTL DATA`, as the rows have it: no dots at the end, no quotes, any serial. */
function normal(line: string): string {
  const [name = '', ttl, , type, ...data] = line.split(/\s+/);
  const words = data.map((word) => word.replace(/\.$/, '').replaceAll('"', ''));
  if (type === 'SOA') words[2] = String(SERIAL);
  return [name.replace(/\.$/, ''), type, ttl, ...words].join(' ').trim();
}

/** Rows that a real cluster can answer: IPv4 Services, the default mode of pod names. */
function isLive([name, type, row]: Line): boolean {
  const isElsewhere = /^(svc6|dual|portless|external|external-down)\./i.test(name);
  const isOther = row.pods !== undefined || row.isSynced === false || row.isForwarded === true;
  // dig shows a refused transfer in a form of its own.
  const isUnit = /^[AI]XFR$/.test(type) || name.includes('interwebs') || /ip6\.arpa$/.test(name);
  return !isElsewhere && !isOther && !isUnit;
}

function questionOf([name, type, row]: Line): string {
  const options = [row.transport === 'tcp' ? '+tcp' : '+notcp'];
  options.push(row.edns === undefined ? '+noedns' : `+bufsize=${row.edns}`);
  if (row.flags !== undefined) options.push((row.flags & 0x100) === 0 ? '+norecurse' : '+recurse');
  if (row.flags !== undefined) options.push(`+opcode=${(row.flags >> 11) & 15}`);
  return `${name} ${row.class ?? 'IN'} ${type} ${options.join(' ')}`;
}

function expected([, type, row]: Line): Found {
  const { rcode = 'NOERROR', answers = [], authority = [], additional = [] } = row;
  const isRefusal = !['NOERROR', 'NXDOMAIN'].includes(rcode) || type === 'ANY';
  const sorted = (lines: string[]) => lines.map((line) => line.trim()).sort();
  return {
    status: rcode,
    flags: isRefusal ? [] : ['aa'],
    ...{ answers: sorted(answers), authority: sorted(authority), additional: sorted(additional) },
  };
}

const LIVE = Object.values(TABLES).flat().filter(isLive);

const OUTSIDE: [question: string, row: Row][] = [
  ['www.example.test A', { answers: ['www.example.test A 203.0.113.10'] }],
  ['WWW.EXAMPLE.TEST A', { answers: ['WWW.EXAMPLE.TEST A 203.0.113.10'] }],
  ['six.example.test AAAA', { answers: ['six.example.test AAAA 2001:db8::10'] }],
  ['www.example.test AAAA', {}],
  ['example.test MX', { answers: ['example.test MX 10 mail.example.test'] }],
  [
    'alias.example.test A',
    { answers: ['alias.example.test CNAME www.example.test', 'www.example.test A 203.0.113.10'] },
  ],
  [
    'shop.default.svc.cluster.local A',
    {
      answers: [
        'shop.default.svc.cluster.local CNAME www.example.test',
        'www.example.test A 203.0.113.10',
      ],
    },
  ],
  ['nothing.example.test A', { rcode: 'NXDOMAIN' }],
  ['example.com A', { rcode: 'NXDOMAIN' }],
  ['2.0.0.172.in-addr.arpa PTR', { rcode: 'NXDOMAIN' }],
];

const withoutTtl = (lines: string[]) => lines.map((line) => line.replace(/^(\S+ \S+) \d+/, '$1'));

/** A static program with the resolver of musl; null where there is no compiler for it. */
function compileMusl(): string | null {
  const source = join(PROJECT_ROOT, 'test/e2e/clients/fetch.c');
  const { status } = spawnSync('musl-gcc', ['-static', '-o', MUSL, source], { stdio: 'ignore' });
  return status === 0 ? MUSL : null;
}

const NODE_FETCH = `
for (const name of process.argv.slice(1)) {
  console.log(await (await fetch('http://' + name + '/hostname')).text());
}`;
const PYTHON_FETCH = `
import sys, urllib.request
for name in sys.argv[1:]:
    print(urllib.request.urlopen("http://" + name + "/hostname", timeout=10).read().decode())`;

describe('cluster DNS', () => {
  before(() => {
    musl = compileMusl();
    lab = startLab(NAME, OBJECTS, { dns: {} });
  });
  after(async () => {
    rmSync(MUSL, { force: true });
    await lab.down();
  });

  test('is a Service with two ready pods on different nodes', async () => {
    const service = await lab.kube.get('Service', { namespace: 'kube-system', name: 'kube-dns' });
    assert.equal(service.spec?.clusterIP, SERVICE_IP);
    const pods = await lab.kube.list('Pod', { namespace: 'kube-system' });
    assert.deepEqual(pods.items.map(({ spec }) => spec?.nodeName).sort(), ['node1', 'node2']);
  });

  for (const client of CLIENTS) {
    test(`answers ${LIVE.length} rows of the table in ${client}`, async () => {
      assert.ok(LIVE.length >= 90, `${LIVE.length} rows`);
      const found = await dig(client, LIVE.map(questionOf));
      for (const [i, line] of LIVE.entries()) {
        const { flags, ...rest } = found[i]!;
        const { flags: wanted, ...sections } = expected(line);
        assert.deepEqual(rest, sections, questionOf(line));
        assert.equal(flags.includes('aa'), wanted.includes('aa'), `AA of ${questionOf(line)}`);
      }
    });

    test(`answers names of the internet in ${client}, within their TTLs`, async () => {
      const found = await dig(
        client,
        OUTSIDE.map(([question]) => question),
      );
      for (const [i, [question, { rcode = 'NOERROR', answers = [] }]] of OUTSIDE.entries()) {
        assert.equal(found[i]!.status, rcode, question);
        assert.deepEqual(withoutTtl(found[i]!.answers), answers, question);
        for (const line of found[i]!.answers) {
          assert.ok(Number(line.split(' ')[2]) <= 30, `${line}: the cache holds 30 s at most`);
        }
      }
    });

    test(`cuts ${ENDPOINTS} addresses to the size a client accepts, and sends all over TCP, in ${client}`, async () => {
      const name = 'big.default.svc.cluster.local A';
      const sizes = ['+noedns', '+bufsize=512', '+bufsize=1232', '+bufsize=4096'];
      const questions = [...sizes.map((size) => `${name} ${size} +ignore`), `${name} +bufsize=512`];
      const found = await dig(client, questions);
      assert.deepEqual(
        found.map(({ answers, flags }) => [answers.length, flags.includes('tc')]),
        [
          ...[
            [29, true],
            [28, true],
            [73, true],
          ],
          ...[
            [ENDPOINTS, false],
            [ENDPOINTS, false],
          ],
        ],
      );
    });
  }

  test('refuses to transfer a zone', async () => {
    for (const type of ['AXFR', 'IXFR=1']) {
      const text = await lab.run('client1', 'dig', 'cluster.local', type, '+tries=1');
      assert.match(text, /Transfer failed/);
    }
  });

  for (const client of CLIENTS) {
    test(`lets every kind of resolver find a Service by all of its names in ${client}`, async (t) => {
      const names = ['web', 'web.default', 'web.default.svc', 'web.default.svc.cluster.local.'];
      const fetched = (text: string) => {
        const bodies = text.trim().split('\n');
        assert.equal(bodies.length, names.length, text);
        for (const body of bodies) assert.match(body, /^web[12]$/);
      };
      for (const name of names) {
        const url = `http://${name}/hostname`;
        assert.match(await lab.run(client, 'curl', '-sm10', url), /^web[12]$/);
        const address = await lab.run(client, 'getent', 'ahostsv4', name);
        assert.ok(address.startsWith(await lab.clusterIP('web')), address);
      }
      fetched(await lab.run(client, NODE, '--input-type=module', '-e', NODE_FETCH, ...names));
      fetched(await lab.run(client, 'python3', '-c', PYTHON_FETCH, ...names));
      if (musl === null) t.diagnostic('no musl-gcc: apt-get install musl-tools adds its resolver');
      else fetched(await lab.run(client, musl, ...names));
      const outside = ['-sm10', 'http://www.example.test/clientip'];
      assert.match(await lab.run(client, 'curl', ...outside), /^198\.51\.100\./);
    });
  }

  test('explain resolves names as the pod does, and predicts a forbidden query', async () => {
    const explain = (from: string, to: string) =>
      lab.json<Explanation>('explain', '--from', from, '--to', to);
    const found = await explain('client1', 'web.default:80');
    assert.equal(found.verdict, 'forward');
    const queries = found.lookup!.queries.map(({ name, rcode }) => `${name} ${rcode}`);
    assert.deepEqual(queries, [
      'web.default.default.svc.cluster.local. NXDOMAIN',
      'web.default.svc.cluster.local. NOERROR',
    ]);
    assert.deepEqual(found.lookup!.addresses, [await lab.clusterIP('web')]);
    assert.equal(found.lookup!.server!.service, 'kube-system/kube-dns:dns');
    const pods = await lab.kube.list('Pod', { namespace: 'kube-system' });
    const ends = pods.items.map(({ status }) => `${status!.podIP}:53`);
    assert.ok(ends.includes(found.lookup!.server!.endpoint!));
    const outside = await explain('client1', 'shop:80');
    assert.deepEqual([outside.verdict, outside.reason], ['unresolved', 'external']);
    assert.match(outside.steps.map(({ text }) => text).join(), /asked upstream at 203\.0\.113\.10/);
    const egress = [{ ports: [{ port: 80 }, { port: 8080 }] }];
    const spec = {
      podSelector: { matchLabels: { app: 'quiet' } },
      policyTypes: ['Egress'],
      egress,
    };
    await lab.kube.create('NetworkPolicy', { metadata: { name: 'strict' }, spec } as never);
    await until('the query is forbidden', async () => {
      const { reason } = await explain('quiet', 'web:80');
      return reason === 'query-policy-egress';
    });
    const getent = ['timeout', '3', 'getent', 'ahostsv4', 'web'];
    assert.equal(await lab.succeeds('quiet', ...getent), false);
    assert.equal(await lab.succeeds('client1', ...getent), true);
  });

  test('names a pod by hostname and subdomain, and the pod itself', async () => {
    const name = 'busy.sub.default.svc.cluster.local';
    const address = await lab.podIP('named');
    await until('its endpoint is known', async () => {
      const [found] = await dig('client2', [`${name} A`]);
      return found!.answers.includes(`${name} A 5 ${address}`);
    });
    assert.equal(await lab.run('named', 'hostname'), 'busy\n');
    assert.equal(await lab.run('named', 'hostname', '-f'), `${name}\n`);
    assert.equal(await lab.run('long', 'hostname'), 'long.sub.default.svc.cluster.local\n');
    const reverse = `${address.split('.').reverse().join('.')}.in-addr.arpa`;
    const [found] = await dig('client2', [`${reverse} PTR`]);
    assert.deepEqual(found!.answers, [`${reverse} PTR 5 ${name}`]);
  });

  test('serves each dnsPolicy as it should', async () => {
    const resolv = (name: string) => lab.run(name, 'cat', '/etc/resolv.conf');
    assert.equal(
      await resolv('none'),
      'nameserver 203.0.113.10\nsearch example.test\noptions ndots:2\n',
    );
    assert.match(await lab.run('none', 'getent', 'ahostsv4', 'www'), /^203\.0\.113\.10 /);
    assert.notEqual((await lab.start('none', ['getent', 'ahostsv4', 'web']).done).code, 0);
    assert.doesNotMatch(await resolv('default'), /10\.96\.0\.10/);
    assert.match(await resolv('host'), /^nameserver 10\.96\.0\.10\n/);
    assert.match(await lab.run('host', 'curl', '-sm10', 'http://web/hostname'), /^web[12]$/);
  });

  test('has metrics under the names of CoreDNS', async () => {
    const text = await lab.run(
      'client1',
      'curl',
      '-sm10',
      'http://kube-dns.kube-system:9153/metrics',
    );
    assert.match(text, /^coredns_dns_requests_total\{.*zone="cluster\.local\.".*type="A"\} \d+$/m);
    assert.match(text, /^coredns_dns_request_duration_seconds_count\{.*\} \d+$/m);
    assert.match(text, /^coredns_panics_total 0$/m);
  });

  test('follows endpoints that come and go', async () => {
    const addresses = async () => (await dig('client1', ['heads.default.svc.cluster.local A']))[0]!;
    await until('both are there', async () => (await addresses()).answers.length === 2);
    await lab.kube.delete('Pod', { namespace: 'default', name: 'web2' }, { graceS: 0 });
    await until('one is left', async () => (await addresses()).answers.length === 1);
    await lab.kube.delete('Pod', { namespace: 'default', name: 'web1' }, { graceS: 0 });
    await until('the name is gone', async () => (await addresses()).status === 'NXDOMAIN');
  });

  test('with one of two pods killed under 200 queries a second, each query succeeds on a retry', async () => {
    const [first] = await containers();
    const query = 'kubernetes.default.svc.cluster.local';
    const client = lab.start('client1', clientCommand('queries', SERVICE_IP, 53, query, 1600, 200));
    await new Promise((resolve) => client.child.stderr!.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    process.kill(first!, 'SIGKILL');
    const { stdout } = await client.done;
    const { first: atOnce, again, failed } = JSON.parse(stdout);
    assert.deepEqual([atOnce + again, failed], [1600, 0]);
    assert.ok(again > 0, 'the dead pod got queries');
  });

  test('names resolve again after both pods were killed', async () => {
    for (const pid of await containers()) process.kill(pid, 'SIGKILL');
    const question = ['kubernetes.default.svc.cluster.local', 'A', '+tries=1', '+time=1'];
    const isBack = async () => {
      const { done } = lab.start('client2', ['dig', ...question]);
      return (await done).stdout.includes('status: NOERROR');
    };
    await until('names come back', isBack, 60_000);
  });
});

/** Process ids of the DNS servers. */
async function containers(): Promise<number[]> {
  const { items } = await lab.kube.list('Pod', { namespace: 'kube-system' });
  return items.map(
    ({ metadata }) => findPod(STATE, 'kube-system', metadata!.name!)!.containers[0]!.pid,
  );
}
