// Names of a lab, asked by its pods on both nodes through the DNS Service.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Pod } from '../../control/kube/kinds.ts';
import { findPod } from '../../lab/pods/sandbox/records.ts';
import {
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
let lab: TestLab;

/** A pod that sleeps, with a spec of its own. */
function pod(name: string, spec: Partial<NonNullable<Pod['spec']>>, labels = {}): object {
  const containers = [{ name: 'main', image: 'pause' }];
  const rest = { nodeName: 'node1', terminationGracePeriodSeconds: 0, containers };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec: { ...rest, ...spec } };
}

const named = (kind: string, object: object) => ({
  ...{ apiVersion: kind === 'EndpointSlice' ? 'discovery.k8s.io/v1' : 'v1', kind, ...object },
});

/** The objects of the unit tests' cluster, as far as a lab takes them. */
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
  const { found, output } = await digSome(target, questions);
  assert.equal(found.length, questions.length, output);
  return found;
}

/** The same, without those that got no answer. */
async function digSome(target: string, questions: string[]) {
  const { child, done } = lab.start(target, ['dig', '-f', '-']);
  const common = '+nocookie +tries=3 +time=5';
  child.stdin!.end(questions.map((line) => `${line} ${common}\n`).join(''));
  const { stdout, stderr } = await done;
  const blocks = stdout.split(/^;; Got answer:$/m).slice(1);
  return { found: blocks.map(readBlock), output: `${stderr}${stdout.slice(-2000)}` };
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

/** Rows that a real cluster can be asked: IPv4 Services, the default mode of pod names. */
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

describe('cluster DNS', () => {
  before(() => {
    lab = startLab(NAME, OBJECTS, { dns: {} });
  });
  after(() => lab.down());

  test('is a Service with two pods on different nodes, which are ready', async () => {
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

    test(`cuts ${ENDPOINTS} addresses to what a client takes, and gives all over TCP, in ${client}`, async () => {
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

  test('gives no zone away', async () => {
    for (const type of ['AXFR', 'IXFR=1']) {
      const text = await lab.run('client1', 'dig', 'cluster.local', type, '+tries=1');
      assert.match(text, /Transfer failed/);
    }
  });

  test('lets curl, Node and the resolver of C find a Service by all of its names', async () => {
    const names = ['web', 'web.default', 'web.default.svc', 'web.default.svc.cluster.local.'];
    for (const client of CLIENTS) {
      for (const name of names) {
        assert.match(
          await lab.run(client, 'curl', '-sm10', `http://${name}/hostname`),
          /^web[12]$/,
        );
        const address = await lab.run(client, 'getent', 'ahostsv4', name);
        assert.ok(address.startsWith(await lab.clusterIP('web')), address);
      }
      const script = `fetch('http://web/hostname').then(async (r) => console.log(await r.text()))`;
      assert.match(await lab.run(client, NODE, '-e', script), /^web[12]\n$/);
      assert.match(
        await lab.run(client, 'curl', '-sm10', 'http://www.example.test/clientip'),
        /^198\.51\.100\./,
      );
    }
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

  test('answers what is asked once more when a pod of it is killed, and again after both are', async () => {
    const containers = async () => {
      const { items } = await lab.kube.list('Pod', { namespace: 'kube-system' });
      return items.map(
        ({ metadata }) => findPod(STATE, 'kube-system', metadata!.name!)!.containers[0]!.pid,
      );
    };
    const [first] = await containers();
    process.kill(first!, 'SIGKILL');
    const question = 'kubernetes.default.svc.cluster.local A';
    const questions: string[] = Array(200).fill(question);
    const { found } = await digSome('client1', questions);
    const again = await dig('client1', questions.slice(found.length));
    for (const { answers } of [...found, ...again]) assert.equal(answers.length, 1);
    assert.ok(found.length > 0);
    for (const pid of await containers()) process.kill(pid, 'SIGKILL');
    const isBack = async () => {
      const { done } = lab.start('client2', ['dig', ...question.split(' '), '+tries=1', '+time=1']);
      return (await done).stdout.includes('status: NOERROR');
    };
    await until('names come back', isBack, 60_000);
  });
});
