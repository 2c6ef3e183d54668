// Objects that were once accepted or refused wrongly: the answers to every kubectl of the machine,
// and the stored objects. Needs no root: the server is on loopback.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApi, type TestApi } from '../../support/api-server.ts';
import { nullsOf } from '../../support/hostile-objects.ts';
import { until } from '../../support/lab.ts';
import { describeEach, Kubectl } from './kubectl.ts';

const MINOR_MIN = 27;

const service = (name: string, spec: object) => ({
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name } },
  spec: { selector: { app: 'a' }, ports: [{ port: 80 }], ...spec },
});

const deployment = (name: string, template: object) => ({
  ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, annotations: null } },
  spec: {
    ...{ replicas: null, strategy: null },
    selector: { matchLabels: { app: name }, matchExpressions: null },
    template: {
      metadata: { labels: { app: name } },
      spec: { initContainers: null, containers: [{ name: 'c', image: 'pause' }], ...template },
    },
  },
});

const twice = { port: 81, nodePort: 30_054 };
const REFUSED: [name: string, spec: object, message: string][] = [
  [
    'twice',
    {
      type: 'NodePort',
      ports: [
        { name: 'a', ...twice, port: 80 },
        { name: 'b', ...twice },
      ],
    },
    'spec.ports[1].nodePort: Duplicate value: 30054',
  ],
  [
    'must-have-both',
    { ipFamilyPolicy: 'RequireDualStack' },
    'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
  ],
  [
    'six',
    { ipFamilies: ['IPv6'] },
    'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
  ],
  [
    'looped',
    { externalIPs: ['127.0.0.1'] },
    'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
  ],
];

describeEach('answers to kubectl', MINOR_MIN, (binary) => {
  let api: TestApi;
  let kubectl: Kubectl;

  before(async () => {
    api = await startTestApi();
    await api.kube.create('Node', { metadata: { name: 'node1' } });
    const condition = { type: 'Ready', status: 'True' };
    const status = { conditions: [condition], allocatable: { cpu: '2', memory: '4Gi' } };
    await api.kube.patch('Node', { name: 'node1' }, { status }, 'status');
    kubectl = new Kubectl(binary, api.kubeconfig);
    await kubectl.ok(['create', 'namespace', kubectl.namespace]);
  });
  after(async () => {
    kubectl.close();
    await api.close();
  });

  const json = async (...args: string[]) =>
    JSON.parse(await kubectl.ok(['get', ...args, '-o', 'json']));

  test('an unknown kind of a known group is named, and the rest of the file is applied', async () => {
    const objects = [
      { apiVersion: 'apps/v1', kind: 'Basket', metadata: { name: 'b' } },
      { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'p' } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'rest' } },
    ];
    const { code, stdout, stderr } = await kubectl.run(['apply', '-f', '-'], objects);
    assert.equal(code, 1);
    assert.match(stderr, /no matches for kind "Basket" in version "apps\/v1"/);
    assert.match(stderr, /no matches for kind "PodDisruptionBudget" in version "policy\/v1"/);
    assert.doesNotMatch(stderr, /failed to check CRD/);
    assert.equal(stdout, 'configmap/rest created\n');
  });

  test("a pod of an unknown ServiceAccount is refused with upstream's message", async () => {
    const overrides = JSON.stringify({ spec: { serviceAccountName: 'ghost' } });
    const args = ['run', 'lost', '--image=pause', `--overrides=${overrides}`];
    const { code, stderr } = await kubectl.run(args);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      'Error from server (Forbidden): pods "lost" is forbidden: error looking up service account ' +
        `${kubectl.namespace}/ghost: serviceaccount "ghost" not found\n`,
    );
  });

  test('a Deployment of a missing account shows FailedCreate until the account exists', async () => {
    await kubectl.ok(['apply', '-f', '-'], [deployment('web', { serviceAccountName: 'clerk' })]);
    await until('the ReplicaSet has the reason', async () => {
      const told = await kubectl.ok(['describe', 'replicaset', '-l', 'app=web']);
      const event = / Warning +FailedCreate .*serviceaccount "clerk" not found/;
      return event.test(told) && /ReplicaFailure +True +FailedCreate/.test(told);
    });
    assert.match(await kubectl.ok(['get', 'deployment', 'web', '--no-headers']), /^web +0\/1 /);
    await kubectl.ok(['create', 'serviceaccount', 'clerk']);
    await until('the pod exists', async () => {
      return (await json('pods', '-l', 'app=web')).items.length === 1;
    });
  });

  test('a pod that requests too much stays Pending with the reason', async () => {
    const resources = { requests: { cpu: '100' }, limits: { cpu: '100' } };
    const containers = [{ name: 'c', image: 'pause', resources }];
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'huge' },
      spec: { containers },
    };
    await kubectl.ok(['create', '-f', '-'], [pod]);
    await until('the pod cannot be scheduled', async () => {
      const told = await kubectl.ok(['describe', 'pod', 'huge']);
      return / FailedScheduling .*0\/1 nodes are available: 1 Insufficient cpu\.$/m.test(told);
    });
    assert.match(await kubectl.ok(['get', 'pod', 'huge', '--no-headers']), / Pending /);
  });

  for (const [name, spec, message] of REFUSED) {
    test(`the Service ${name} is refused with field and reason`, async () => {
      const { code, stderr } = await kubectl.run(['create', '-f', '-'], [service(name, spec)]);
      assert.equal(code, 1);
      assert.ok(stderr.includes(`Service "${name}" is invalid: ${message}`), stderr);
    });
  }

  for (const verb of ['create', 'apply', 'replace']) {
    test(`nulls and empty values count as absent fields: ${verb}`, async () => {
      const ports = [{ name: null, port: 80, targetPort: 0, protocol: '', nodePort: 0 }];
      const words = { type: '', sessionAffinity: '', clusterIP: '', externalIPs: null, ports };
      const objects = [deployment('left-out', {}), service('left-out', words)];
      if (verb === 'create') await kubectl.ok(['create', '-f', '-'], objects);
      else if (verb === 'apply') {
        await kubectl.ok(['delete', 'deployment,service', 'left-out']);
        await kubectl.ok(['apply', '-f', '-'], objects);
      } else await kubectl.ok(['replace', '-f', '-'], objects);
      const made = await json('deployment,service', 'left-out');
      assert.deepEqual(nullsOf(made), []);
      const [{ spec: work }, { spec }] = made.items;
      assert.deepEqual([work.replicas, work.strategy.type], [1, 'RollingUpdate']);
      assert.deepEqual([spec.type, spec.sessionAffinity], ['ClusterIP', 'None']);
      assert.deepEqual(spec.ports, [{ port: 80, protocol: 'TCP', targetPort: 80 }]);
    });
  }

  test('Endpoints written by hand are mirrored into a slice', async () => {
    const name = 'legacy';
    const subsets = [
      { addresses: [{ ip: '203.0.113.10' }], ports: [{ name: 'http', port: 9090 }] },
    ];
    const ports = [{ name: 'http', port: 80, targetPort: 9090 }];
    const bare = service(name, { ports, selector: null });
    const endpoints = { apiVersion: 'v1', kind: 'Endpoints', metadata: { name }, subsets };
    await kubectl.ok(['create', '-f', '-'], [bare, endpoints]);
    const chosen = ['endpointslices', '-l', `kubernetes.io/service-name=${name}`];
    await until('the slice exists', async () => (await json(...chosen)).items.length === 1);
    const [slice] = (await json(...chosen)).items;
    assert.deepEqual(slice.endpoints[0].addresses, ['203.0.113.10']);
    assert.equal(slice.metadata.labels['endpointslice.kubernetes.io/managed-by'].length > 0, true);
  });
});
