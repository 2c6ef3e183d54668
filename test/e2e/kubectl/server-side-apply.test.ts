// Server-side apply by every kubectl of the machine. Needs no root: the server is on loopback.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../support/api-server.ts';
import { describeEach, Kubectl } from './kubectl.ts';

/** Since this version kubectl migrates fields from client-side apply. */
const MINOR_MIN = 27;
const SSA = ['apply', '--server-side', '-f', '-'];

function deployment(name: string, replicas: number, image: string, env: string[] = []): object[] {
  const labels = { app: 'web' };
  const variables = env.map((variable) => ({ name: variable, value: '1' }));
  const main = { name: 'main', image, env: variables, ports: [{ containerPort: 80 }] };
  const template = { metadata: { labels }, spec: { containers: [main] } };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, labels },
      spec: { replicas, selector: { matchLabels: labels }, template },
    },
  ];
}

async function stored(kubectl: Kubectl, name: string) {
  const get = ['get', 'deployment', name, '-o', 'json', '--show-managed-fields'];
  const { metadata, spec } = JSON.parse(await kubectl.ok(get));
  const managers: string[] = metadata.managedFields
    .map((m: { manager: string; operation: string }) => `${m.manager} ${m.operation}`)
    .filter((name: string) => name.startsWith('kubectl'))
    .sort();
  return { managers, replicas: spec.replicas, containers: spec.template.spec.containers };
}

describeEach('server-side apply', MINOR_MIN, (binary) => {
  let api: TestApi;
  let kubectl: Kubectl;

  before(async () => {
    api = await startTestApi();
    kubectl = new Kubectl(binary, api.kubeconfig);
    const { namespace } = kubectl;
    const body = { metadata: { name: namespace } };
    assert.equal((await api.call('POST', '/api/v1/namespaces', body)).code, 201);
  });
  after(async () => {
    kubectl.close();
    await api.close();
  });

  test('kubectl migrates from client-side apply without losing a field', async () => {
    await kubectl.ok(['apply', '-f', '-'], deployment('over', 2, 'a', ['A', 'B']));
    await kubectl.ok(SSA, deployment('over', 3, 'a', ['A']));
    const { managers, replicas, containers } = await stored(kubectl, 'over');
    assert.deepEqual(managers, ['kubectl Apply', 'kubectl-last-applied Apply']);
    assert.equal(replicas, 3);
    assert.deepEqual(containers[0].env, [{ name: 'A', value: '1' }]);
    const back = await kubectl.ok(['apply', '-f', '-'], deployment('over', 4, 'a', ['A']));
    assert.match(back, /configured/);
  });

  test('a field of another manager is refused by its path, and taken with force', async () => {
    await kubectl.ok(SSA, deployment('taken', 2, 'a'));
    const other = [...SSA, '--field-manager=other'];
    const { code, stderr } = await kubectl.run(other, deployment('taken', 2, 'b'));
    assert.equal(code, 1);
    const field = String.raw`\.spec\.template\.spec\.containers\[name="main"\]\.image`;
    assert.match(stderr, new RegExp(`1 conflict: conflict with "kubectl": ${field}\n`));
    await kubectl.ok([...other, '--force-conflicts'], deployment('taken', 2, 'b'));
    assert.equal((await stored(kubectl, 'taken')).containers[0].image, 'b');
  });

  test('diff shows the changes of an apply', async () => {
    await kubectl.ok(SSA, deployment('told', 2, 'a'));
    const diff = ['diff', '--server-side', '-f', '-'];
    const { code, stdout, stderr } = await kubectl.run(diff, deployment('told', 5, 'a'));
    assert.deepEqual({ code, stderr }, { code: 1, stderr: '' });
    assert.match(stdout, /^-\s+replicas: 2\n\+\s+replicas: 5$/m);
    await kubectl.ok(diff, deployment('told', 2, 'a'));
    assert.equal((await stored(kubectl, 'told')).replicas, 2);
  });

  test('managers are shown on request', async () => {
    await kubectl.ok(['create', 'configmap', 'shown', '--from-literal=a=1']);
    const get = ['get', 'configmap', 'shown', '-o', 'yaml'];
    assert.doesNotMatch(await kubectl.ok(get), /managedFields/);
    const shown = await kubectl.ok([...get, '--show-managed-fields']);
    assert.match(shown, /manager: kubectl-create\n\s+operation: Update/);
  });
});
