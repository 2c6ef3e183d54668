import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../../../../control/kube/kinds.ts';
import { buildEnv, expand } from '../../../../lab/pods/env.ts';

const POD = {
  metadata: { name: 'web', namespace: 'shop', uid: 'u-1', labels: { tier: 'front' } },
  spec: { nodeName: 'node2', serviceAccountName: 'clerk' },
} as unknown as Pod;
const GIVEN = { podIP: '10.244.2.5', hostIP: '172.18.0.12', hostname: 'web' };

function envOf(...variables: Parameters<typeof buildEnv>[0]): Record<string, string> {
  return buildEnv(variables, POD, GIVEN);
}

test('a container has a path, a home and the name of its host', () => {
  const env = envOf();
  assert.deepEqual(Object.keys(env).sort(), ['HOME', 'HOSTNAME', 'PATH']);
  assert.equal(env.HOSTNAME, 'web');
});

test('a container may have another path than the usual one', () => {
  assert.equal(envOf({ name: 'PATH', value: '/opt/bin' }).PATH, '/opt/bin');
});

for (const [text, expanded] of [
  ['$(A)', 'x'],
  ['<$(A)$(B)>', '<xy>'],
  ['$$(A)', '$(A)'],
  ['$$$(A)', '$x'],
  ['$(MISSING)', '$(MISSING)'],
  ['$(constructor)', '$(constructor)'],
  ['$A $', '$A $'],
  ['', ''],
] as const) {
  test(`${JSON.stringify(text)} becomes ${JSON.stringify(expanded)}`, () => {
    assert.equal(expand(text, { A: 'x', B: 'y' }), expanded);
  });
}

test('a variable sees those before it, not those after it', () => {
  const env = envOf(
    { name: 'EARLY', value: '$(LATE)' },
    { name: 'LATE', value: 'late' },
    { name: 'LAST', value: 'so $(LATE)' },
  );
  assert.equal(env.EARLY, '$(LATE)');
  assert.equal(env.LAST, 'so late');
});

test('what was expanded once is not expanded again', () => {
  const env = envOf(
    { name: 'A', value: '$$(B)' },
    { name: 'B', value: 'b' },
    { name: 'C', value: '$(A)' },
  );
  assert.equal(env.C, '$(B)');
});

for (const [fieldPath, value] of [
  ['metadata.name', 'web'],
  ['metadata.namespace', 'shop'],
  ['metadata.uid', 'u-1'],
  ["metadata.labels['tier']", 'front'],
  ["metadata.annotations['none']", ''],
  ['spec.nodeName', 'node2'],
  ['spec.serviceAccountName', 'clerk'],
  ['status.podIP', '10.244.2.5'],
  ['status.hostIP', '172.18.0.12'],
] as const) {
  test(`the field ${fieldPath} is ${JSON.stringify(value)}`, () => {
    const env = envOf({ name: 'F', valueFrom: { fieldRef: { fieldPath } } });
    assert.equal(env.F, value);
  });
}
