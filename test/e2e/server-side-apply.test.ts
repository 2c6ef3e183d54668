// Server-side apply as every kubectl of the machine does it. Needs no root: the server is on loopback.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startTestApi, type TestApi } from '../support/api-server.ts';
import { findKubectls, type Kubectl, type Ran } from '../support/kubectl.ts';

const TEMPLATE = { metadata: { labels: { app: 'web' } } };
let api: TestApi;

function deployment(name: string, replicas: number, image: string, env: string[]): string {
  const variables = env.map((variable) => ({ name: variable, value: '1' }));
  const main = { name: 'main', image, env: variables, ports: [{ containerPort: 80 }] };
  return JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels: { app: 'web' } },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: { ...TEMPLATE, spec: { containers: [main] } },
    },
  });
}

/** Nothing but what was asked for is said. */
function assertQuiet({ code, stdout, stderr }: Ran, says: string): void {
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout);
  assert.match(stdout, new RegExp(says));
}

async function stored(kubectl: Kubectl, name: string) {
  const { stdout } = await kubectl.run([
    'get',
    'deployment',
    name,
    '-o',
    'json',
    '--show-managed-fields',
  ]);
  const { metadata, spec } = JSON.parse(stdout);
  const managers = metadata.managedFields
    .map((m: { manager: string; operation: string }) => `${m.manager} ${m.operation}`)
    .sort();
  return { managers, replicas: spec.replicas, containers: spec.template.spec.containers };
}

describe('server-side apply', () => {
  before(async () => {
    api = await startTestApi();
  });
  after(() => api.close());

  test('every kubectl goes over from client-side apply, and loses no field to itself', async () => {
    for (const kubectl of findKubectls(api.kubeconfig)) {
      const name = `over-${kubectl.name.replaceAll('.', '-')}`;
      const first = await kubectl.run(['apply', '-f', '-'], deployment(name, 2, 'a', ['A', 'B']));
      assertQuiet(first, 'created');
      const ssa = ['apply', '--server-side', '-f', '-'];
      assertQuiet(await kubectl.run(ssa, deployment(name, 3, 'a', ['A'])), 'serverside-applied');
      const { managers, replicas, containers } = await stored(kubectl, name);
      assert.deepEqual(managers, ['kubectl Apply', 'kubectl-last-applied Apply'], kubectl.name);
      assert.equal(replicas, 3);
      assert.deepEqual(containers[0].env, [{ name: 'A', value: '1' }], kubectl.name);
      const back = await kubectl.run(['apply', '-f', '-'], deployment(name, 4, 'a', ['A']));
      assertQuiet(back, 'configured');
    }
  });

  test('every kubectl says whose field it is, and takes it when told to', async () => {
    for (const kubectl of findKubectls(api.kubeconfig)) {
      const name = `taken-${kubectl.name.replaceAll('.', '-')}`;
      const ssa = ['apply', '--server-side', '-f', '-'];
      assertQuiet(await kubectl.run(ssa, deployment(name, 2, 'a', [])), 'serverside-applied');
      const other = [...ssa, '--field-manager=other'];
      const refused = await kubectl.run(other, deployment(name, 2, 'b', []));
      assert.equal(refused.code, 1);
      const field = String.raw`\.spec\.template\.spec\.containers\[name="main"\]\.image`;
      assert.match(refused.stderr, new RegExp(`1 conflict: conflict with "kubectl": ${field}\n`));
      const forced = [...other, '--force-conflicts'];
      assertQuiet(await kubectl.run(forced, deployment(name, 2, 'b', [])), 'serverside-applied');
      assert.equal((await stored(kubectl, name)).containers[0].image, 'b');
    }
  });

  test('every kubectl tells beforehand what a server-side apply would change', async () => {
    for (const kubectl of findKubectls(api.kubeconfig)) {
      const name = `told-${kubectl.name.replaceAll('.', '-')}`;
      const ssa = ['apply', '--server-side', '-f', '-'];
      assertQuiet(await kubectl.run(ssa, deployment(name, 2, 'a', [])), 'serverside-applied');
      const diff = ['diff', '--server-side', '-f', '-'];
      const { code, stdout, stderr } = await kubectl.run(diff, deployment(name, 5, 'a', []));
      assert.deepEqual({ code, stderr }, { code: 1, stderr: '' });
      assert.match(stdout, /^-\s+replicas: 2\n\+\s+replicas: 5$/m);
      assert.equal((await kubectl.run(diff, deployment(name, 2, 'a', []))).code, 0);
      assert.equal((await stored(kubectl, name)).replicas, 2);
    }
  });

  test('managers are shown by every kubectl when they are asked for', async () => {
    for (const kubectl of findKubectls(api.kubeconfig)) {
      const name = `shown-${kubectl.name.replaceAll('.', '-')}`;
      const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: '1' } };
      const created = await kubectl.run(['create', '-f', '-'], JSON.stringify(object));
      assertQuiet(created, 'created');
      const get = ['get', 'configmap', name, '-o', 'yaml'];
      assert.doesNotMatch((await kubectl.run(get)).stdout, /managedFields/);
      const shown = await kubectl.run([...get, '--show-managed-fields']);
      assert.match(shown.stdout, /manager: kubectl-create\n\s+operation: Update/);
    }
  });
});
