// Questions with a mistake: the answer names the true cause and the form that works.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { explainFlow, explainQuestion } from '../../../../control/explain/explain.ts';
import { Names } from '../../../../control/explain/names.ts';
import { readObjects } from '../../../../control/explain/objects.ts';
import { fromFiles } from '../../../../control/explain/source.ts';
import { ClusterView } from '../../../../control/explain/view.ts';
import type { KubetunError } from '../../../../datapath/error.ts';
import { COMMON, DNS, fileOf, of, pod, RANGES, service, slice } from './world.ts';

const HTTP = { name: 'http', port: 80, protocol: 'TCP' };
const TWO = [HTTP, { name: 'admin', port: 9000, protocol: 'TCP' }];
/** All kinds of a full file. */
const MORE = [
  service('default/two', { clusterIP: '10.96.0.40', ports: TWO }),
  slice('default/two', ['10.244.2.5'], TWO),
  service('default/bare', { clusterIP: '10.96.0.41' }),
  pod('default/hosted', '172.18.0.12', {
    ...{ nodeName: 'node2', hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' },
  }),
  pod('default/narrow', '10.244.1.10', {
    ...{ dnsPolicy: 'None', dnsConfig: { nameservers: ['10.96.0.10'], searches: ['a.test'] } },
  }),
  pod('default/plain', '10.244.1.9', { dnsPolicy: 'Default' }),
  service('default/outside', {
    ...{ type: 'LoadBalancer', clusterIP: '10.96.0.42', ports: [HTTP] },
  }),
];
const source = fromFiles([fileOf(...COMMON, ...DNS, ...MORE)], RANGES);
const ask = (to: string, from = 'client', of = source) => explainQuestion(of, { from, to });
const said = (to: string, from = 'client', from_ = source) =>
  of(ask(to, from, from_), 'unresolved', '').join(' | ');

/** Message and next step of a refusal, as one line. */
function refusal(to: string, from = 'client', of = source): string {
  try {
    ask(to, from, of);
  } catch (error) {
    const { code, message, next } = error as KubetunError;
    assert.equal(code, 'KT_EXPLAIN');
    return `${message} | ${next}`;
  }
  throw new Error(`${to} is not refused`);
}

/** The same objects as a lab would list them. */
function labOf(name: string, ...objects: object[]): typeof source {
  const file = fileOf(...objects);
  const listed = { ...readObjects([file]), lab: name };
  const options = { rangeStart: 0x0a600000, machine: 'nameserver 203.0.113.10\n', isWhole: true };
  return {
    ...fromFiles([file], RANGES),
    ...{ view: new ClusterView(listed), names: new Names(listed, options) },
  };
}

describe('a packet that no datapath sees', () => {
  const ROWS: [from: string, to: string, verdict: string, reason: string, said: RegExp][] = [
    ['client', '127.0.0.1:80', 'local', 'loopback', /never leaves pod default\/client/],
    ['client', '127.1.2.3:80/udp', 'local', 'loopback', /never leaves pod default\/client/],
    ['client', '127.0.0.1/icmp', 'local', 'loopback', /never leaves pod default\/client/],
    ['client', 'localhost:80', 'local', 'loopback', /never leaves pod default\/client/],
    ['client', '0.0.0.0:80', 'local', 'loopback', /0\.0\.0\.0.*never leaves pod default\/client/],
    ['client', '10.244.1.5:80', 'local', 'own-address', /never leaves pod default\/client/],
    ['10.244.1.5', 'client:80', 'local', 'own-address', /never leaves pod default\/client/],
    ['node/node1', '127.0.0.1:80', 'local', 'loopback', /never leaves node node1/],
    ['host', '127.0.0.1:80', 'local', 'loopback', /never leaves node node1/],
    ['client', '255.255.255.255:67/udp', 'drop', 'not-routed', /broadcast address.*not routed/],
    ['client', '224.0.0.251:5353/udp', 'drop', 'not-routed', /multicast address.*not routed/],
    ['client', '239.1.1.1:80', 'drop', 'not-routed', /multicast address.*not routed/],
    ['node/node1', '224.0.0.1/icmp', 'drop', 'not-routed', /multicast address.*not routed/],
    ['client', '0.1.2.3:80', 'drop', 'not-routed', /0\.1\.2\.3.*not routed/],
  ];
  for (const [from, to, verdict, reason, text] of ROWS) {
    test(`${from} to ${to}: ${verdict} (${reason})`, () => {
      const found = ask(to, from);
      assert.deepEqual([found.verdict, found.reason], [verdict, reason]);
      assert.match(found.steps.at(-1)!.text, text);
      assert.deepEqual([found.translated, found.chosen], [null, null]);
      assert.ok(!found.steps.some(({ stage }) => ['wire', 'leave', 'establish'].includes(stage)));
    });
  }

  test('addresses beside them are routed, and a node reaches itself', () => {
    for (const to of ['126.255.255.255:80', '128.0.0.1:80', '223.255.255.255:80', '1.0.0.0:80']) {
      assert.deepEqual([ask(to).verdict, ask(to).reason], ['forward', 'egress'], to);
    }
    assert.equal(ask('10.244.1.6:80').reason, 'direct');
    for (const from of ['node/node1', 'host']) {
      const own = ask('172.18.0.11:22', from);
      assert.match(own.steps.at(-1)!.text, /to node node1/);
    }
  });
});

describe('a name that is nearly right', () => {
  const ROWS: [to: string, from: string, said: RegExp][] = [
    ['web.:80', 'client', /NXDOMAIN.*dot at its end skips the search list.* \| ask web, or web\.d/],
    ['cart.shop.:80', 'client', /dot at its end.* \| ask cart\.shop, or cart\.shop\.svc\.cluster/],
    ['db.:80', 'client', /dot at its end skips the search list/],
    ['web:80', 'narrow', /search list of the pod does not make \| ask web\.default\.svc\.cluster/],
    [
      'web.default.svc.cluster.locl:80',
      'client',
      /did you mean web\.default\.svc\.cluster\.local\?/,
    ],
    ['web.default.scv.cluster.local:80', 'client', /mean web\.default\.svc\.cluster\.local\?/],
    ['web.default.cluster.local:80', 'client', /mean web\.default\.svc\.cluster\.local\?/],
    ['web.default.svc.cluster:80', 'client', /mean web\.default\.svc\.cluster\.local\?/],
    ['web.default.svc.custer.lcal.:80', 'client', /mean web\.default\.svc\.cluster\.local\?/],
    ['db-0.db.default.svc.cluster.locl:80', 'client', /mean db-0\.db\.default\.svc\.cluster\.lo/],
    ['kube-dns.nope:53', 'client', /no namespace nope.*kube-system\/kube-dns exists \| ask kube-d/],
    ['node1:80', 'client', /node1 is a node, and nodes have no names in DNS.* 172\.18\.0\.11/],
    ['node1.default:80', 'client', /node1 is a node/],
  ];
  for (const [to, from, text] of ROWS) {
    test(`${to} from ${from}`, () => {
      assert.equal(ask(to, from).verdict, 'unresolved');
      assert.match(said(to, from), text);
      assert.doesNotMatch(said(to, from), /no IPv4 address/);
    });
  }

  test('a name that is asked outside first goes on to the search list', () => {
    const found = ask('cart.shop:80', 'few');
    assert.deepEqual([found.verdict, found.service], ['forward', 'shop/cart:http']);
    const names = found.lookup!.queries.map(({ name, rcode }) => `${name} ${rcode}`);
    const long = 'svc.cluster.local.';
    assert.deepEqual(names, [
      ...['cart.shop. null', `cart.shop.default.${long} NXDOMAIN`, `cart.shop.${long} NOERROR`],
    ]);
    assert.match(of(found, '').join(), /as long as cart\.shop\. has no address outside/);
  });

  test('a name of the internet stays one', () => {
    for (const to of ['www.example.com:80', 'a.b.c.example.org:80', 'example.com:443']) {
      assert.equal(ask(to).reason, 'external');
      assert.doesNotMatch(said(to), /did you mean|namespace/);
    }
  });
});

describe('a pod that does not use the DNS of the cluster', () => {
  const ROWS: [from: string, said: RegExp][] = [
    [
      'host',
      /hostNetwork.*not use.* DNS.* \| Service default\/web exists.*ClusterFirstWithHostNet/,
    ],
    ['deaf', /dnsPolicy: None.*not use.* DNS.* \| Service default\/web exists.*ClusterFirst$/],
    ['own', /dnsPolicy: None.*not use.* DNS.* \| Service default\/web exists.*ClusterFirst$/],
    ['plain', /dnsPolicy: Default.*not use.* DNS.* \| Service default\/web exists.*ClusterFirst$/],
  ];
  const lab = labOf('one', ...COMMON, ...DNS, ...MORE);
  for (const [from, text] of ROWS) {
    test(`pod ${from}, in files and in a lab`, () => {
      for (const where of [source, lab]) {
        for (const to of ['web:80', 'web.default.svc.cluster.local:80']) {
          assert.equal(ask(to, from, where).verdict, 'unresolved');
          assert.match(said(to, from, where), text);
        }
      }
    });
  }

  test('says so of no Service that does not exist, and ClusterFirstWithHostNet resolves', () => {
    assert.doesNotMatch(said('zzz:80', 'host'), /exists/);
    assert.equal(ask('web:80', 'hosted').verdict, 'forward');
  });
});

describe('a port or a form that does not fit', () => {
  const ROWS: [to: string, refusal: RegExp][] = [
    ['web:99999', /--to "web:99999" is not a destination: it has the port 99999 \| use 1 to 65535/],
    ['web:0', /--to "web:0" is not a destination: it has the port 0 \| use 1 to 65535/],
    [
      '10.96.0.20:99999',
      /--to "10\.96\.0\.20:99999" is not a destination: it has the port 99999 \| use 1 to 65535/,
    ],
    [
      '10.96.0.20:0/udp',
      /--to "10\.96\.0\.20:0\/udp" is not a destination: it has the port 0 \| use 1 to 65535/,
    ],
    ['web:80/foo', /--to "web:80\/foo" .* the protocol foo with a port \| use tcp, udp, sctp/],
    ['web:http', /--to "web:http" .*number.* \| svc\/web:http takes the name of a port/],
    ['cart.shop:http', / \| svc\/shop\/cart:http takes the name of a port/],
    ['web', /--to "web" is not a destination: it has no port \| did you mean web:80\?/],
    ['two', /--to "two" is not a destination: it has no port \| did you mean two:80 or two:9000\?/],
    ['web.default', /has no port \| did you mean web\.default:80\?/],
    ['example.com', /has no port \| add a port, such as example\.com:80/],
    [
      '10.96.0.20',
      /"10\.96\.0\.20" is not a destination: it has no port \| did you mean 10\.96\.0\.20:80\?/,
    ],
    ['http://web', /is a URL \| did you mean web:80\?/],
    ['https://web/path', /is a URL \| did you mean web:443\?/],
    ['http://web.default:8080/x', /is a URL \| did you mean web\.default:8080\?/],
    ['svc/web:81', /service default\/web has no port 81.*http 80 \| .*svc\/default\/web:80/],
    ['svc/two:81', /has no port 81.*http 80, admin 9000 \| /],
    ['svc/two', /has the ports http 80, admin 9000 \| .*svc\/default\/two:80/],
    ['svc/db:80', /default\/db is headless.* \| .*--to db\.default:80/],
    ['svc/db', /default\/db is headless.* \| .*--to db\.default:80/],
    [
      'svc/out:80',
      /default\/out is of type ExternalName.*www\.example\.test.*--to out\.default:80/,
    ],
    ['svc/bare', /default\/bare has no port/],
    ['svc/wbe', /no service default\/wbe.* \| did you mean svc\/default\/web\?/],
  ];
  for (const [to, text] of ROWS) test(to, () => assert.match(refusal(to), text));

  test('a pod that does not exist, near to one that does', () => {
    for (const to of ['svc/web', 'web:80']) {
      assert.match(refusal(to, 'cleint'), /did you mean default\/client\?/);
      assert.doesNotMatch(refusal(to, 'absent'), /did you mean/);
    }
  });

  test('svc/web:http takes a port by name', () => {
    assert.equal(ask('svc/web:http').original?.dport, 80);
  });
});

describe('objects from a file that lack a kind or a field', () => {
  const FULL =
    /kubectl get nodes,pods,services,endpointslices,namespaces,networkpolicies -A -o yaml/;
  const kind = (object: object) => (object as { kind: string }).kind;
  const all = [...COMMON, ...DNS];
  const without = (...kinds: string[]) =>
    fromFiles([fileOf(...all.filter((object) => !kinds.includes(kind(object))))], RANGES);
  const text = (found: ReturnType<typeof ask>) => found.steps.map((s) => s.text).join(' | ');

  test('EndpointSlices of all Services, of the DNS Service, and of a headless one', () => {
    const none = without('EndpointSlice');
    assert.match(text(ask('svc/web', 'client', none)), /contain no EndpointSlice/);
    assert.match(text(ask('svc/web', 'client', none)), FULL);
    const dns = said('web:80', 'client', none);
    assert.match(dns, /contain no EndpointSlice of Service kube-system\/kube-dns/);
    assert.match(dns, FULL);
    assert.doesNotMatch(dns, /ready pod/);
    const bare = fromFiles([fileOf(...all, service('default/hl', { clusterIP: 'None' }))], RANGES);
    assert.match(said('hl:80', 'client', bare), /no EndpointSlice of Service default\/hl/);
  });

  test('an empty EndpointSlice is a Service without endpoints', () => {
    const empty = fromFiles([fileOf(...all, slice('default/idle', [], [HTTP]))], RANGES);
    assert.doesNotMatch(text(ask('svc/idle', 'client', empty)), /contain no EndpointSlice/);
  });

  test('Services', () => {
    const none = without('Service');
    assert.match(refusal('svc/web', 'client', none), /contain no Service \| /);
    assert.match(refusal('svc/web', 'client', none), FULL);
    assert.match(said('web:80', 'client', none), /contain no Service/);
    assert.match(said('web:80', 'client', none), FULL);
    assert.doesNotMatch(said('zzz:80'), /kubectl get services/);
  });

  test('Pods, and Nodes', () => {
    assert.match(refusal('svc/web', 'client', without('Pod')), /contain no Pod \| /);
    assert.match(refusal('svc/web', 'client', without('Pod')), FULL);
    assert.match(refusal('svc/web', 'node/node1', without('Node')), /contain no Node \| /);
    assert.match(refusal('svc/web', 'node/node1', without('Node')), FULL);
    assert.match(refusal('svc/web', 'client', without('Node')), /contain no Node \| /);
  });

  test('status.podIP of a pod, and spec.clusterIP of a Service', () => {
    const raw = {
      ...{ kind: 'Pod', metadata: { name: 'raw', namespace: 'default' } },
      spec: { containers: [] },
    };
    const ports = { ports: [HTTP] };
    const part = fromFiles([fileOf(...all, raw, service('default/draft', ports))], RANGES);
    for (const to of ['svc/web', 'web:80']) {
      assert.match(refusal(to, 'raw', part), /pod default\/raw has no status\.podIP/);
      assert.match(refusal(to, 'raw', part), FULL);
    }
    assert.match(refusal('svc/draft', 'client', part), /default\/draft has no spec\.clusterIP/);
    assert.match(refusal('svc/draft', 'client', part), FULL);
    assert.match(said('draft:80', 'client', part), /default\/draft has no spec\.clusterIP/);
  });

  test('a pod that has ended, and a pod of a lab without an address', () => {
    const ended = pod('default/job', '10.244.1.30');
    ended.status.phase = 'Succeeded';
    const waits = { kind: 'Pod', metadata: { name: 'waits', namespace: 'default' } };
    const lab = labOf('one', ...all, ended, { ...waits, spec: { containers: [] } });
    assert.match(refusal('svc/web', 'job', lab), /pod default\/job has ended \(Succeeded\)/);
    assert.match(refusal('svc/web', 'waits', lab), /no status\.podIP \| .*kubectl describe pod/);
  });
});

describe('hints', () => {
  test('name the lab of the question, and no lab for files', () => {
    const lab = labOf('blue', ...COMMON, ...DNS);
    const to = 'www.example.test:443';
    assert.match(said(to, 'client', lab), /lab exec --lab blue client -- dig \+short www\.exam/);
    assert.doesNotMatch(said(to), /lab |exec/);
    assert.match(said(to), /--resolve www\.example\.test:ADDRESS/);
    const flow = { next: /conntrack list --lab blue --node node1/ };
    assert.throws(() => explainFlow(lab, 'node1', 77), flow);
    assert.match(said('zzz:80', 'client', lab), /kubectl get services -n default lists/);
    assert.match(said('web.nope.svc:80', 'client', lab), /kubectl get namespaces lists/);
    assert.match(refusal('svc/zzz', 'client', lab), /kubectl get services -A lists/);
    const off = labOf('blue', ...COMMON);
    assert.match(said('web:80', 'client', off), /lab up --lab blue .*dns: false/);
    const status = explainQuestion(
      { ...lab, prober: () => null },
      { from: 'client', to: 'svc/web' },
    );
    assert.match(status.steps[0]!.text, /lab status --lab blue/);
  });
});
