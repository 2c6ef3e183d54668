import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { explainFlow, explainQuestion } from '../../../../control/explain/explain.ts';
import type { Explanation } from '../../../../control/explain/explanation.ts';
import { fromFiles } from '../../../../control/explain/source.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const SCENARIOS = join(ROOT, 'test/scenarios');
const RANGE = '10.96.0.0/16';
const PUBLIC = '198.51.100.0/24';
const folder = mkdtempSync(join(tmpdir(), 'kubetun-explain-'));
after(() => rmSync(folder, { recursive: true }));

function node(name: string, n: number): object {
  return {
    ...{ apiVersion: 'v1', kind: 'Node', metadata: { name } },
    spec: { podCIDR: `10.244.${n}.0/24` },
    status: { addresses: [{ type: 'InternalIP', address: `172.18.0.1${n}` }] },
  };
}

function pod(name: string, nodeName: string, podIP: string): object {
  return {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' } },
    ...{ spec: { nodeName, containers: [] }, status: { podIP, phase: 'Running' } },
  };
}

const WEB = {
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' } },
  spec: {
    ...{ type: 'NodePort', clusterIP: '10.96.0.20', selector: { app: 'web' } },
    ports: [{ name: 'http', port: 80, targetPort: 8080, nodePort: 30_080 }],
  },
};
const SLICE = {
  ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
  metadata: {
    ...{ name: 'web-1', namespace: 'default' },
    labels: { 'kubernetes.io/service-name': 'web' },
  },
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: [
    { addresses: ['10.244.2.5'], nodeName: 'node2', conditions: { ready: true } },
    { addresses: ['10.244.1.6'], nodeName: 'node1', conditions: { ready: false } },
    {
      addresses: ['10.244.1.7'],
      nodeName: 'node1',
      conditions: { ready: false, serving: true, terminating: true },
    },
  ],
};
const OBJECTS = [
  { apiVersion: 'v1', kind: 'List', items: [node('node1', 1), node('node2', 2)] },
  pod('client', 'node1', '10.244.1.5'),
  pod('web', 'node2', '10.244.2.5'),
  WEB,
  SLICE,
];
const file = join(folder, 'all.yaml');
writeFileSync(file, OBJECTS.map((object) => stringify(object)).join('---\n'));
const source = fromFiles([file], { services: RANGE, public: PUBLIC });

function stages({ steps }: Explanation): string[] {
  return steps.map((step) => `${step.node} ${step.stage}`);
}

test('follows a packet from the frontend to the pod on another node, with names', () => {
  const found = explainQuestion(source, { from: 'client', to: 'svc/web' });
  const { verdict, reason, service, eligible, excluded, chosen, masquerade } = found;
  assert.deepEqual(
    { verdict, reason, service, eligible, chosen, masquerade },
    {
      ...{ verdict: 'forward', reason: 'service', service: 'default/web:http' },
      eligible: ['10.244.2.5:8080'],
      chosen: { endpoint: '10.244.2.5:8080', by: 'only' },
      masquerade: null,
    },
  );
  assert.deepEqual(excluded, [
    { endpoint: '10.244.1.6:8080', why: 'not ready' },
    { endpoint: '10.244.1.7:8080', why: 'terminating, and others are ready' },
  ]);
  assert.deepEqual(found.translated, {
    ...{ src: '10.244.1.5', sport: 33_000, dst: '10.244.2.5', dport: 8080 },
  });
  assert.deepEqual(stages(found).slice(-3), ['node1 wire', 'node2 establish', 'node2 deliver']);
  assert.match(found.steps.at(-1)!.text, /pod default\/web/);
});

test('masquerades an outside client of a NodePort, and --node stops at that node', () => {
  const found = explainQuestion(source, { from: '203.0.113.9', to: '172.18.0.11:30080' });
  assert.equal(found.masquerade, 'external');
  assert.equal(found.translated?.src, '172.18.0.11');
  assert.ok(stages(found).includes('node2 deliver'));
  const here = explainQuestion(source, {
    ...{ from: '203.0.113.9', to: '172.18.0.11:30080', node: 'node1' },
  });
  assert.ok(here.steps.every((step) => step.node === 'node1'));
});

const ENDS: [from: string, to: string, verdict: string, reason: string][] = [
  ['client', '10.96.0.20:81', 'reject', 'reject-wrong-port'],
  ['client', '10.96.0.20/icmp', 'reject', 'reject-wrong-port'],
  ['client', '10.96.9.9:80/udp', 'drop', 'unallocated'],
  ['client', '10.244.2.5:8080', 'forward', 'direct'],
  ['client', '203.0.113.10:443', 'forward', 'egress'],
  ['node/node1', '203.0.113.10:443', 'forward', 'passed-host'],
];
for (const [from, to, verdict, reason] of ENDS) {
  test(`${from} to ${to}: ${verdict} (${reason})`, () => {
    const found = explainQuestion(source, { from, to });
    assert.deepEqual([found.verdict, found.reason], [verdict, reason]);
    assert.notEqual(found.steps.length, 0);
  });
}

test('drops a source that cannot get an answer, and explains why', () => {
  const found = explainQuestion(source, { from: '127.0.0.1', to: '10.96.0.20:81', node: 'node1' });
  assert.deepEqual([found.verdict, found.reason], ['drop', 'unanswerable']);
  assert.match(found.steps[0]!.text, /must not get a reply/);
});

test('a question creates no flow, and has the same answer again', () => {
  const ask = () => explainQuestion(source, { from: 'client', to: 'svc/web', sport: 4711 });
  assert.deepEqual(ask(), ask());
  assert.throws(() => explainFlow(source, 'node1', 0), { code: 'KT_EXPLAIN' });
});

const REFUSED: [what: string, question: { from: string; to: string }, message: RegExp][] = [
  ['an unknown pod', { from: 'nobody', to: '10.96.0.20:80' }, /no pod default\/nobody/],
  ['an unknown Service', { from: 'client', to: 'svc/nobody' }, /no service default\/nobody/],
  ['a missing port', { from: 'client', to: '10.96.0.20' }, /is not a destination/],
  [
    'an outside client without a node',
    { from: '203.0.113.9', to: '10.96.0.20:80' },
    /may arrive at any/,
  ],
];
for (const [what, question, message] of REFUSED) {
  test(`${what} is refused with a correct form`, () => {
    assert.throws(() => explainQuestion(source, question), { code: 'KT_EXPLAIN', message });
  });
}

test('the command answers line by line from files, without root and without a lab', () => {
  const lines = ['{"from":"client","to":"svc/web"}', '{"from":"nobody","to":"svc/web"}', 'x'];
  const { status, stdout, stderr } = spawnSync(
    join(ROOT, 'scripts/kubetun'),
    ['explain', '--objects', folder, '--batch'],
    { input: lines.join('\n'), encoding: 'utf8' },
  );
  assert.equal(stderr, '');
  assert.equal(status, 0);
  const [first, second, third] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(first.chosen.endpoint, '10.244.2.5:8080');
  assert.match(second.error, /no pod default\/nobody/);
  assert.match(third.error, /JSON/);
});

describe('explains every row of the scenarios with its outcome', () => {
  for (const name of readdirSync(SCENARIOS).filter((file) => file.endsWith('.yaml'))) {
    const scenario = parse(readFileSync(join(SCENARIOS, name), 'utf8')) as {
      node: string;
      objects: object[];
      rows: string[];
    };
    const path = join(folder, `scenario-${name}`);
    writeFileSync(path, stringify({ kind: 'List', items: scenario.objects }));
    const world = fromFiles([path], { services: RANGE, public: PUBLIC });
    rmSync(path);
    for (const row of scenario.rows) {
      const [rule, what, way = '', outcome = ''] = row.split('|').map((part) => part.trim());
      test(`${name}: ${rule}: ${what}`, () => {
        const [from, to] = way.split(' -> ') as [string, string];
        const found = explainQuestion(world, { from, to, node: scenario.node });
        if (found.verdict === 'reject') return assert.equal(outcome, 'reject');
        if (found.verdict === 'drop') return assert.equal(outcome, `drop ${found.reason}`);
        const { dst, dport } = found.translated!;
        const place = to.endsWith('/icmp') ? dst : `${dst}:${dport}`;
        const places = outcome.split(/\s+/);
        assert.ok(
          places.includes(found.masquerade ? `${place}*` : place),
          `${place} of ${outcome}`,
        );
      });
    }
  }
});
