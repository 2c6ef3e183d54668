import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '../../../../../control/kube/kinds.ts';
import { buildEnv, envSources, expand } from '../../../../../lab/pods/given/env.ts';
import type { SourceRef } from '../../../../../lab/pods/given/sources.ts';

const POD = {
  metadata: { name: 'web', namespace: 'shop', uid: 'u-1', labels: { tier: 'front' } },
  spec: { nodeName: 'node2', serviceAccountName: 'clerk' },
} as unknown as Pod;
const GIVEN = { podIP: '10.244.2.5', hostIP: '172.18.0.12', hostname: 'web' };

const SOURCES: Record<string, Record<string, string>> = {
  'ConfigMap/shop': { COLOUR: 'red', 'with.dot': 'd' },
  'Secret/pass': { COLOUR: 'blue', key: 's3cret' },
};

function lookUp({ kind, name }: SourceRef) {
  const data = SOURCES[`${kind}/${name}`];
  return data ? new Map(Object.entries(data).map(([k, v]) => [k, Buffer.from(v)])) : null;
}

function envWith(container: Partial<Container>, services = {}): Record<string, string> {
  return buildEnv({ name: 'main', ...container }, POD, GIVEN, lookUp, services);
}

function envOf(...env: NonNullable<Container['env']>): Record<string, string> {
  return envWith({ env });
}

test('a container has PATH, HOME and HOSTNAME', () => {
  const env = envOf();
  assert.deepEqual(Object.keys(env).sort(), ['HOME', 'HOSTNAME', 'PATH']);
  assert.equal(env.HOSTNAME, 'web');
});

test('a container may set PATH', () => {
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

test('expands a variable only once', () => {
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

test('whole ConfigMaps and Secrets become variables with prefix, and later ones win', () => {
  const env = envWith({
    envFrom: [
      { configMapRef: { name: 'shop' } },
      { secretRef: { name: 'pass' } },
      { prefix: 'P_', configMapRef: { name: 'shop' } },
    ],
    env: [{ name: 'SEEN', value: '$(COLOUR) $(P_COLOUR)' }],
  });
  assert.equal(env.COLOUR, 'blue');
  assert.equal(env.P_COLOUR, 'red');
  assert.equal(env['with.dot'], 'd');
  assert.equal(env.SEEN, 'blue red');
});

test('single keys become variables, except optional missing ones', () => {
  const env = envOf(
    { name: 'C', valueFrom: { configMapKeyRef: { name: 'shop', key: 'COLOUR' } } },
    { name: 'S', valueFrom: { secretKeyRef: { name: 'pass', key: 'key' } } },
    { name: 'N', valueFrom: { secretKeyRef: { name: 'pass', key: 'none', optional: true } } },
    { name: 'M', valueFrom: { configMapKeyRef: { name: 'none', key: 'k', optional: true } } },
  );
  assert.deepEqual([env.C, env.S], ['red', 's3cret']);
  assert.ok(!('N' in env) && !('M' in env));
});

for (const [what, container, message] of [
  ['ConfigMap', { envFrom: [{ configMapRef: { name: 'none' } }] }, 'configmap "none" not found'],
  [
    'Secret',
    { env: [{ name: 'S', valueFrom: { secretKeyRef: { name: 'none', key: 'k' } } }] },
    'secret "none" not found',
  ],
  [
    'key',
    { env: [{ name: 'C', valueFrom: { configMapKeyRef: { name: 'shop', key: 'k' } } }] },
    "couldn't find key k in ConfigMap shop/shop",
  ],
] as const) {
  test(`names a missing ${what} and keeps the container waiting`, () => {
    const given = container as unknown as Partial<Container>;
    assert.throws(() => envWith(given), { reason: 'CreateContainerConfigError', message });
  });
}

test("the container's own variables override those of Services", () => {
  const env = envWith(
    {
      env: [
        { name: 'A', value: '$(WEB_PORT)' },
        { name: 'DB_PORT', value: 'own' },
      ],
    },
    { WEB_PORT: 'tcp://10.96.0.7:80', DB_PORT: 'tcp://10.96.0.8:1' },
  );
  assert.equal(env.A, 'tcp://10.96.0.7:80');
  assert.equal(env.DB_PORT, 'own');
});

test('lists the ConfigMaps and Secrets of an environment', () => {
  const refs = envSources({
    name: 'main',
    envFrom: [{ configMapRef: { name: 'a' } }, { secretRef: { name: 'b' } }],
    env: [{ name: 'S', valueFrom: { secretKeyRef: { name: 'c', key: 'k' } } }],
  });
  assert.deepEqual(refs, [
    { kind: 'ConfigMap', name: 'a' },
    { kind: 'Secret', name: 'b' },
    { kind: 'Secret', name: 'c' },
  ]);
});
