import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPolicies } from '../../../../control/cli/policy.ts';
import type { NetworkPolicy } from '../../../../control/kube/kinds.ts';
import { readNetworkPolicy } from '../../../../control/model/network-policy.ts';
import { readPolicyPod } from '../../../../control/model/pod.ts';
import { PolicyTables } from '../../../../control/model/policy-tables.ts';
import { describePolicies } from '../../../../control/policy/describe.ts';

const HITS = { allowed: 1, dropped: 2, audited: 0 };
const NO_HITS = { allowed: 0, dropped: 0, audited: 0 };
const hitsOf = (key: string) =>
  key === 'shop/web' ? { ingress: HITS, egress: NO_HITS } : { ingress: NO_HITS, egress: NO_HITS };

function describe(policies: Record<string, object>, refused = new Map<string, string[]>()) {
  const tables = new PolicyTables();
  tables.putNamespace({ name: 'shop', labels: {} });
  for (const app of ['web', 'client']) {
    const ports = app === 'web' ? [{ name: 'http', containerPort: 80 }] : [];
    const metadata = { namespace: 'shop', name: app, uid: app, labels: { app } };
    const status = { phase: 'Running', podIP: `10.244.1.${app.length}`, hostIP: '172.18.0.11' };
    tables.putPod(
      readPolicyPod({ metadata, spec: { containers: [{ name: 'a', ports }] }, status })!,
    );
  }
  for (const [name, spec] of Object.entries(policies)) {
    const object = { metadata: { namespace: 'shop', name }, spec };
    tables.putPolicy(readNetworkPolicy(object as NetworkPolicy));
  }
  return describePolicies(tables, hitsOf, refused);
}

const web = { podSelector: { matchLabels: { app: 'web' } } };
const selectsNone = { podSelector: { matchLabels: { app: 'absent' } } };

test('lists a policy with its pods, directions and hits', () => {
  const [client, one] = describe({ web: { ...web, policyTypes: ['Ingress', 'Egress'] }, all: {} });
  assert.deepEqual([client?.policy, client?.pods], ['shop/all', ['shop/client', 'shop/web']]);
  assert.deepEqual(one, {
    ...{ policy: 'shop/web', types: ['Ingress', 'Egress'], audited: false, pods: ['shop/web'] },
    ...{ ingress: HITS, egress: NO_HITS, findings: [], refused: [] },
  });
  const line = formatPolicies([one!]).split('\n')[1];
  assert.match(line!, /^shop\/web +Ingress,Egress +enforced +1 +1 +2 +0 +0 +0$/);
});

test('lists a refused policy with the reason below the table', () => {
  const refused = new Map([['shop/web', ['its rules do not fit']]]);
  const rows = describe({ web, all: {} }, refused);
  assert.deepEqual(
    rows.map((row) => row.refused),
    [[], ['its rules do not fit']],
  );
  const [, all, line, ...below] = formatPolicies(rows).split('\n');
  assert.match(all!, /^shop\/all +Ingress +enforced /);
  assert.match(line!, /^shop\/web +Ingress +refused /);
  assert.deepEqual(below, ['shop/web: its rules do not fit']);
});

const FINDINGS: [string, object, string[]][] = [
  ['a policy that selects no pod', selectsNone, ['it selects no pod']],
  [
    'peers without pods',
    { ...web, ingress: [{ from: [selectsNone] }] },
    ['ingress rule 0: its peers select no pod'],
  ],
  [
    'peers that are blocks',
    { ...web, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }] },
    [],
  ],
  ['a port name that the pods have', { ...web, ingress: [{ ports: [{ port: 'http' }] }] }, []],
  [
    'a port name that no pod has',
    { ...web, ingress: [{}, { ports: [{ port: 'htpp' }] }] },
    ['ingress rule 1: no destination has a port named htpp'],
  ],
  [
    'a port name that exists with another protocol',
    { ...web, egress: [{ ports: [{ port: 'http', protocol: 'UDP' }] }] },
    ['egress rule 0: no destination has a port named http'],
  ],
];
for (const [what, spec, findings] of FINDINGS) {
  test(`check: ${what}`, () => {
    assert.deepEqual(describe({ p: spec })[0]?.findings, findings);
  });
}

test('without policies it prints a sentence', () => {
  assert.match(formatPolicies([]), /every pod may talk/);
});
