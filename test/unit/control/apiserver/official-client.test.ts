// The official client: its generated calls, its watch, and its informers.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  ApiException,
  CoreV1Api,
  DiscoveryV1Api,
  KubeConfig,
  makeInformer,
  type V1Pod,
  type V1Service,
  VersionApi,
} from '@kubernetes/client-node';
import { pod, service, startTestApi, type TestApi } from '../../../support/api-server.ts';

let api: TestApi;
let config: KubeConfig;
let core: CoreV1Api;
const namespace = 'default';

before(async () => {
  api = await startTestApi();
  config = new KubeConfig();
  config.loadFromFile(api.kubeconfig);
  core = config.makeApiClient(CoreV1Api);
});
after(() => api.close());

test('objects are created, read, replaced and deleted', async () => {
  const made = await core.createNamespacedService({
    namespace,
    body: service('official') as V1Service,
  });
  assert.match(made.spec?.clusterIP ?? '', /^10\.96\./);
  assert.ok(made.metadata?.creationTimestamp instanceof Date);
  const labelled = { ...made, metadata: { ...made.metadata, labels: { a: 'b' } } };
  await core.replaceNamespacedService({ namespace, name: 'official', body: labelled });
  const list = await core.listNamespacedService({ namespace, labelSelector: 'a=b' });
  assert.deepEqual(
    list.items.map((item) => item.metadata?.name),
    ['official'],
  );
  await core.deleteNamespacedService({ namespace, name: 'official' });
  await assert.rejects(core.readNamespacedService({ namespace, name: 'official' }), isNotFound);
});

function isNotFound(error: unknown): boolean {
  return error instanceof ApiException && error.code === 404;
}

test('a Service without pods has an empty EndpointSlice', async () => {
  await core.createNamespacedService({ namespace, body: service('lonely') as V1Service });
  const discovery = config.makeApiClient(DiscoveryV1Api);
  const labelSelector = 'kubernetes.io/service-name=lonely';
  const { items } = await discovery.listNamespacedEndpointSlice({ namespace, labelSelector });
  assert.equal(items.length, 1);
  assert.equal(items[0]?.endpoints?.length ?? 0, 0);
});

test('an informer of the official client sees current objects and all changes', async () => {
  await create('first');
  const list = () => core.listNamespacedPod({ namespace });
  const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, list);
  const seen: string[] = [];
  const done = new Promise<void>((resolve, reject) => {
    informer.on('error', reject);
    for (const verb of ['add', 'update', 'delete'] as const) {
      informer.on(verb, (object: V1Pod) => {
        seen.push(`${verb} ${object.metadata?.name}`);
        if (verb === 'delete') resolve();
      });
    }
  });
  await informer.start();
  await create('second');
  const labels = { metadata: { labels: { tier: 'x' } } };
  await api.kube.patch('Pod', { namespace, name: 'second' }, labels);
  await core.deleteNamespacedPod({ namespace, name: 'second', gracePeriodSeconds: 0 });
  await done;
  await informer.stop();
  assert.deepEqual(seen, ['add first', 'add second', 'update second', 'delete second']);
});

function create(name: string): Promise<V1Pod> {
  const body = pod(name, {}, { nodeName: 'node1' }) as V1Pod;
  return core.createNamespacedPod({ namespace, body });
}

test('clients understand the version', async () => {
  const { major, minor } = await config.makeApiClient(VersionApi).getCode();
  assert.equal(major, '1');
  assert.match(minor, /^\d+$/);
});
