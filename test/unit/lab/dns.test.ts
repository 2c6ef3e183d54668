// DNS of a lab: what a topology says of it, its objects, the name server of the internet.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type DecodedPacket, decode, encode } from 'dns-packet';
import { answerName, recordsOf } from '../../../lab/apps/names.ts';
import { resolveProgram } from '../../../lab/pods/container/images.ts';
import { dnsObjects } from '../../../lab/supervisor/dns.ts';
import { parseTopology } from '../../../lab/topology/load.ts';
import { RANGES_DEFAULT } from '../../../lab/topology/topology.ts';
import { parseYaml } from '../../../lab/yaml/document.ts';
import { lines } from '../control/dns/world.ts';

describe('the topology', () => {
  const load = (text: string) => parseTopology(parseYaml(text, 'lab.yaml')[0]!).topology;
  test('has DNS unless it says otherwise', () => {
    assert.equal('dns' in load('nodes: 2'), false);
    assert.equal(load('dns: false').dns, false);
    assert.deepEqual(load('dns: true').dns, {});
    const settings = { upstream: '203.0.113.20', pods: 'verified' };
    assert.deepEqual(load('dns: {upstream: 203.0.113.20, pods: verified}').dns, settings);
  });

  const refused: [text: string, message: RegExp][] = [
    ['dns: off', /^lab\.yaml:1: dns must be a map/],
    ['dns:\n  upstream: nowhere\n', /:2: dns\.upstream must be an IPv4 address, not nowhere/],
    ['dns:\n  pods: some\n', /:2: dns\.pods must be one of insecure, verified, disabled/],
    ['dns:\n  port: 53\n', /:2: unknown field port/],
  ];
  for (const [text, message] of refused) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => load(text), { message }));
  }
});

describe('the objects of the DNS server', () => {
  const objects = (settings = {}) =>
    // biome-ignore lint/suspicious/noExplicitAny: objects of several kinds.
    new Map<string, any>(dnsObjects(settings, RANGES_DEFAULT, { token: 't' }));

  test('are a Service at the tenth address and two pods that its selector chooses', () => {
    const { spec } = objects().get('Service');
    assert.equal(spec.clusterIP, '10.96.0.10');
    assert.deepEqual(
      spec.ports.map((port: { name: string; port: number }) => [port.name, port.port]),
      [
        ['dns', 53],
        ['dns-tcp', 53],
        ['metrics', 9153],
      ],
    );
    const deployment = objects().get('Deployment').spec;
    assert.equal(deployment.replicas, 2);
    assert.deepEqual(deployment.template.metadata.labels, spec.selector);
    assert.equal(deployment.template.spec.volumes[0].secret.secretName, 'kube-dns-token');
  });

  test('forward other names to the internet of the lab, or to the upstream of the topology', () => {
    const args = (settings: object) =>
      objects(settings).get('Deployment').spec.template.spec.containers[0].args;
    assert.deepEqual(args({}), ['--upstream=203.0.113.10']);
    const all = { upstream: '203.0.113.20', pods: 'verified' };
    assert.deepEqual(args(all), ['--upstream=203.0.113.20', '--pods=verified']);
  });

  test('run the built-in program', () => {
    const { image, args } = objects().get('Deployment').spec.template.spec.containers[0];
    const program = resolveProgram({ image, args }, '/project') as { argv: string[] };
    assert.deepEqual(program.argv.slice(2), [
      '/project/control/dns/main.ts',
      '--upstream=203.0.113.10',
    ]);
  });
});

describe('the name server of the internet', () => {
  const known = recordsOf('203.0.113.10');
  const ask = (name: string, type: string, flags = 0x100): DecodedPacket => {
    const questions = [{ name, type: type as 'A' }];
    const query = decode(encode({ type: 'query', id: 3, flags, questions }));
    return decode(encode(answerName(known, query)!));
  };
  const rows: [name: string, type: string, rcode: string, answers: string[]][] = [
    ['www.example.test', 'A', 'NOERROR', ['www.example.test A 60 203.0.113.10']],
    ['WWW.Example.Test', 'A', 'NOERROR', ['www.example.test A 60 203.0.113.10']],
    ['www.example.test', 'AAAA', 'NOERROR', []],
    ['six.example.test', 'AAAA', 'NOERROR', ['six.example.test AAAA 60 2001:db8::10']],
    [
      'alias.example.test',
      'A',
      'NOERROR',
      ['alias.example.test CNAME 60 www.example.test', 'www.example.test A 60 203.0.113.10'],
    ],
    ['example.test', 'MX', 'NOERROR', ['example.test MX 60 10 mail.example.test']],
    ['.', 'NS', 'NOERROR', ['. NS 60 ns.example.test']],
    ['.', 'A', 'NOERROR', []],
    ['test', 'A', 'NOERROR', []],
    ['test', 'NS', 'NOERROR', []],
    ['est', 'A', 'NXDOMAIN', []],
    ['nothing.example.test', 'A', 'NXDOMAIN', []],
    ['__proto__', 'A', 'NXDOMAIN', []],
    ['example.com', 'A', 'NXDOMAIN', []],
  ];
  for (const [name, type, rcode, answers] of rows) {
    test(`answers ${name} ${type} with ${rcode}`, () => {
      const packet = ask(name, type);
      assert.equal((packet as { rcode?: string }).rcode, rcode);
      assert.deepEqual(lines(packet.answers), answers);
      assert.equal(packet.authorities!.length, answers.length === 0 ? 1 : 0);
    });
  }

  test('has one name with 60 addresses, more than a datagram holds', () => {
    assert.equal(ask('many.example.test', 'A').answers!.length, 60);
  });

  test('does not reply to an answer, and refuses an update', () => {
    const questions = [{ name: 'www.example.test', type: 'A' as const }];
    assert.equal(answerName(known, decode(encode({ type: 'response', questions }))), null);
    assert.equal((ask('www.example.test', 'A', 0x2800) as { rcode?: string }).rcode, 'NOTIMP');
  });
});
