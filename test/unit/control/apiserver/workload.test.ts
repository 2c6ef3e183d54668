// Defaults and validation of Deployments and ReplicaSets.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
const REPLICASETS = '/apis/apps/v1/namespaces/default/replicasets';
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

function deployment(name: string, spec: object = {}, template: object = {}): object {
  const metadata = { labels: { app: name } };
  const containers = [{ name: 'main', image: 'pause' }];
  return {
    metadata: { name },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: name } },
      template: { metadata, spec: { containers, ...template } },
      ...spec,
    },
  };
}

test("a Deployment and its pods have upstream's defaults", async () => {
  const { code, body } = await api.call(
    'POST',
    DEPLOYMENTS,
    deployment('plain', { replicas: undefined }),
  );
  assert.equal(code, 201);
  const { template, selector: _, ...spec } = body.spec;
  assert.deepEqual(spec, {
    replicas: 1,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
  });
  assert.equal(template.spec.restartPolicy, 'Always');
  assert.equal(template.spec.terminationGracePeriodSeconds, 30);
  assert.equal(template.spec.containers[0].terminationMessagePath, '/dev/termination-log');
});

test('one given value of a strategy leaves the other at its default', async () => {
  const strategy = { rollingUpdate: { maxSurge: 3 } };
  const { body } = await api.call('POST', DEPLOYMENTS, deployment('half', { strategy }));
  assert.deepEqual(body.spec.strategy, {
    type: 'RollingUpdate',
    rollingUpdate: { maxUnavailable: '25%', maxSurge: 3 },
  });
  const recreate = await api.call(
    'POST',
    DEPLOYMENTS,
    deployment('recreate', { strategy: { type: 'Recreate' } }),
  );
  assert.deepEqual(recreate.body.spec.strategy, { type: 'Recreate' });
});

test('a template does not contain the empty fields of Go clients', async () => {
  const object = deployment('go') as { spec: { template: { metadata: object } } };
  Object.assign(object.spec.template.metadata, { creationTimestamp: null });
  const { code, body } = await api.call('POST', DEPLOYMENTS, object);
  assert.equal(code, 201);
  assert.deepEqual(body.spec.template.metadata, { labels: { app: 'go' } });
});

const rolling = (maxUnavailable: unknown, maxSurge: unknown) => ({
  strategy: { rollingUpdate: { maxUnavailable, maxSurge } },
});
const SHARES = 'spec.strategy.rollingUpdate';

const REFUSED: [what: string, spec: object, template: object, message: string][] = [
  [
    'a selector that does not match its template',
    { selector: { matchLabels: { app: 'other' } } },
    {},
    'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
  ],
  [
    'an empty selector',
    { selector: {} },
    {},
    'spec.selector: Invalid value: {}: empty selector is invalid for deployment',
  ],
  ['no selector', { selector: undefined }, {}, 'spec.selector: Required value'],
  [
    'a selector expression without values',
    {
      selector: { matchLabels: { app: 'x' }, matchExpressions: [{ key: 'a', operator: 'NotIn' }] },
    },
    {},
    "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
  ],
  [
    'a restart policy other than Always',
    {},
    { restartPolicy: 'Never' },
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ],
  [
    'an invalid pod template',
    {},
    { containers: [{ name: 'UP', image: 'pause' }] },
    'spec.template.spec.containers[0].name: Invalid value: "UP": a lowercase RFC 1123 label',
  ],
  [
    'a negative number of replicas',
    { replicas: -1 },
    {},
    'spec.replicas: Invalid value: -1: must be greater than or equal to 0',
  ],
  [
    'a rolling update that can neither add nor remove pods',
    rolling(0, '0%'),
    {},
    `${SHARES}.maxUnavailable: Invalid value: 0: may not be 0 when \`maxSurge\` is 0`,
  ],
  [
    'more unavailable pods than there are',
    rolling('101%', 1),
    {},
    `${SHARES}.maxUnavailable: Invalid value: "101%": must not be greater than 100%`,
  ],
  [
    'a malformed percentage',
    rolling(1, '1.5%'),
    {},
    `${SHARES}.maxSurge: Invalid value: "1.5%": a valid percent string must be`,
  ],
  [
    'rollingUpdate with the type Recreate',
    { strategy: { type: 'Recreate', rollingUpdate: {} } },
    {},
    `${SHARES}: Forbidden: may not be specified when strategy \`type\` is 'Recreate'`,
  ],
  [
    'an unknown strategy',
    { strategy: { type: 'Blue' } },
    {},
    'spec.strategy.type: Unsupported value: "Blue": supported values: "Recreate", "RollingUpdate"',
  ],
  [
    'a deadline that is not after minReadySeconds',
    { progressDeadlineSeconds: 5, minReadySeconds: 5 },
    {},
    'spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds',
  ],
];

for (const [what, spec, template, message] of REFUSED) {
  test(`a Deployment is refused for ${what}`, async () => {
    const { code, body } = await api.call('POST', DEPLOYMENTS, deployment('x', spec, template));
    assert.equal(code, 422);
    assert.equal(body.reason, 'Invalid');
    const start = `Deployment.apps "x" is invalid: ${message}`;
    assert.equal(body.message.slice(0, start.length), start);
    const [field] = message.split(': ');
    assert.equal(body.details.causes[0].field, field);
  });
}

test('a selector is immutable', async () => {
  for (const path of [DEPLOYMENTS, REPLICASETS]) {
    await api.call('POST', path, deployment('fixed'));
    const { code, body } = await api.call(
      'PATCH',
      `${path}/fixed`,
      {
        spec: {
          selector: { matchLabels: { more: 'yes' } },
          template: { metadata: { labels: { more: 'yes' } } },
        },
      },
      { 'content-type': 'application/merge-patch+json' },
    );
    assert.equal(code, 422);
    assert.match(
      body.message,
      /: spec.selector: Invalid value: \{"matchLabels":\{"app":"fixed","more":"yes"\}\}: field is immutable$/,
    );
  }
});
