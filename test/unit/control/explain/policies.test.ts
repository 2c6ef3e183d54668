import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { stringify } from 'yaml';
import { explainQuestion } from '../../../../control/explain/explain.ts';
import type { Explanation } from '../../../../control/explain/explanation.ts';
import { fromFiles } from '../../../../control/explain/source.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-explain-policies-'));
after(() => rmSync(folder, { recursive: true }));

const node = (name: string, n: number) => ({
  ...{ apiVersion: 'v1', kind: 'Node', metadata: { name } },
  spec: { podCIDR: `10.244.${n}.0/24` },
  status: { addresses: [{ type: 'InternalIP', address: `172.18.0.1${n}` }] },
});
const pod = (name: string, nodeName: string, podIP: string) => ({
  ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } } },
  spec: { nodeName, containers: [] },
  status: { podIP, hostIP: `172.18.0.1${nodeName.at(-1)}`, phase: 'Running' },
});
const policy = (name: string, spec: object, annotations = {}) => ({
  ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
  ...{ metadata: { name, annotations }, spec },
});
const web = { podSelector: { matchLabels: { app: 'web' } } };
const friend = { podSelector: { matchLabels: { app: 'friend' } } };
const items = [
  ...[node('node1', 1), node('node2', 2)],
  pod('stranger', 'node1', '10.244.1.5'),
  pod('friend', 'node1', '10.244.1.6'),
  pod('web', 'node2', '10.244.2.5'),
  {
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } },
    spec: { clusterIP: '10.96.0.20', selector: { app: 'web' }, ports: [{ port: 80 }] },
  },
  {
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
    metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    ports: [{ port: 80, protocol: 'TCP' }],
    endpoints: [{ addresses: ['10.244.2.5'], nodeName: 'node2', conditions: { ready: true } }],
  },
];
let files = 0;
function world(...policies: object[]) {
  const file = join(folder, `${files++}.yaml`);
  writeFileSync(file, stringify({ kind: 'List', items: [...items, ...policies] }));
  return fromFiles([file], { services: '10.96.0.0/16', public: '198.51.100.0/24' });
}

const guarded = world(
  policy('guard', {
    ...web,
    ingress: [
      { from: [{ ipBlock: { cidr: '10.0.0.0/30' } }] },
      { from: [friend], ports: [{ port: 80 }] },
    ],
  }),
  policy('watch', web, { 'kubetun.dev/audit': 'true' }),
);
const texts = ({ steps }: Explanation) =>
  steps.filter(({ stage }) => stage === 'policy').map(({ text }) => text);

test('names the rule that allows a connection through a Service', () => {
  const found = explainQuestion(guarded, { from: 'friend', to: 'svc/web' });
  assert.equal(found.verdict, 'forward');
  assert.deepEqual(found.policies, [
    { direction: 'ingress', policy: 'default/guard', verdict: 'allow', rule: 1 },
  ]);
  assert.match(texts(found)[0]!, /ingress rule 1 of default\/guard allows it/);
});

test('names the policies behind a drop, which happens at the node of the client', () => {
  const found = explainQuestion(guarded, { from: 'stranger', to: 'svc/web' });
  assert.deepEqual([found.verdict, found.reason], ['drop', 'policy-ingress']);
  assert.match(texts(found)[0]!, /web is selected by default\/guard, no rule matches/);
  assert.ok(found.steps.every(({ node }) => node === 'node1'));
  const stages = found.steps.map(({ stage }) => stage);
  assert.deepEqual(stages, ['service', 'endpoints', 'select', 'policy', 'drop']);
});

test('drops another port from the allowed client', () => {
  const found = explainQuestion(guarded, { from: 'friend', to: '10.244.2.5:81' });
  assert.equal(found.reason, 'policy-ingress');
});

test('passes if only an audited policy would drop it, and names that policy', () => {
  const audited = world(policy('watch', web, { 'kubetun.dev/audit': 'true' }));
  const found = explainQuestion(audited, { from: 'stranger', to: 'svc/web' });
  assert.equal(found.verdict, 'forward');
  assert.match(texts(found).join(), /default\/watch would drop it \(ingress\), but is under audit/);
});

test('explains an egress drop, and lets a node reach its own pods', () => {
  const silent = world(policy('silent', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }));
  const sent = explainQuestion(silent, { from: 'stranger', to: 'svc/web' });
  assert.equal(sent.reason, 'policy-egress');
  assert.match(texts(sent)[0]!, /stranger is selected by default\/silent, no rule matches/);
  const own = explainQuestion(silent, { from: 'node/node2', to: '10.244.2.5:80' });
  assert.equal(own.verdict, 'forward');
  const other = explainQuestion(silent, { from: 'node/node1', to: '10.244.2.5:80' });
  assert.equal(other.reason, 'policy-ingress');
});
