import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { MONOTONIC_CLOCK } from '../../../../control/clock.ts';
import { connectKube, type KubeClient } from '../../../../control/kube/client.ts';
import type { Informer } from '../../../../control/kube/informer.ts';
import { Tables } from '../../../../control/model/tables.ts';
import { describeServices } from '../../../../control/sync/describe.ts';
import { followCluster, SOURCES } from '../../../../control/sync/informers.ts';
import { Publisher } from '../../../../control/sync/publisher.ts';
import { parseAddress } from '../../../../datapath/wire/address.ts';
import { RANGES } from '../compile/world.ts';
import { FakeApi, until } from '../kube/fake-api.ts';
import { node, service, slice } from '../model/objects.ts';
import { FakeSink, fakeLog } from './fake-sink.ts';

let api: FakeApi;
let client: KubeClient;
let sink: FakeSink;
let publisher: Publisher;
let informers: Informer<unknown>[];
let addresses: (string | null)[];

beforeEach(async () => {
  api = await FakeApi.start();
  client = connectKube(api.kubeconfig);
  sink = new FakeSink();
  addresses = [];
});

afterEach(async () => {
  for (const informer of informers) informer.stop();
  publisher.stop();
  client.close();
  await api.stop();
});

function start(): void {
  const tables = new Tables('n1');
  const log = fakeLog();
  const clock = MONOTONIC_CLOCK;
  const sources = SOURCES;
  publisher = new Publisher({ nodeName: 'n1', ranges: RANGES, tables, sink, sources, clock, log });
  informers = followCluster(client, tables, publisher, log, STEERED, ({ internal }) =>
    addresses.push(internal),
  );
}

test('masquerades a node with its steered address, even if its Node has another one', async () => {
  api.putObject('nodes', node('n1', '172.18.0.99', '10.244.1.0/24'));
  start();
  await until('an image is published', () => publisher.published);
  assert.deepEqual(addresses, ['172.18.0.99'], 'the other address is passed on');
  const { nodeAddress, nodeAddresses } = sink.mirror.node!;
  assert.equal(nodeAddress, STEERED);
  assert.deepEqual(nodeAddresses, [STEERED, parseAddress('172.18.0.99')]);
});

test('objects reach the datapath, also after a broken and an expired watch', async () => {
  api.putObject('nodes', node('n1', '172.18.0.11', '10.244.1.0/24'));
  api.putObject('nodes', node('n2', '172.18.0.12', '10.244.2.0/24'));
  api.putObject(
    'services',
    service('web', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }),
  );
  api.putObject(
    'endpointslices',
    slice('web-1', 'web', [{ ip: '10.244.1.2' }, { ip: '10.244.2.2' }]),
  );
  start();
  await until('an image is published', () => publisher.published);
  assert.equal(sink.publishes, 1, 'one image for all existing objects');
  assert.deepEqual(addresses, ['172.18.0.11']);
  assert.deepEqual(describeServices(publisher), [
    {
      service: 'ns/web:80',
      proto: 'tcp',
      frontends: [
        { address: '10.96.0.5:80', kind: 'cluster' },
        { address: '172.18.0.11:30080', kind: 'nodeport' },
      ],
      internalPolicy: 'Cluster',
      externalPolicy: 'Cluster',
      affinityS: 0,
      eligible: ['10.244.1.2:8080', '10.244.2.2:8080'],
      generation: 1,
      refused: [],
    },
  ]);

  await until('everything is watched', () => api.watching === SOURCES.length);
  api.cut();
  api.putObject('endpointslices', slice('web-1', 'web', [{ ip: '10.244.2.2' }]));
  api.expire();
  const eligible = () => describeServices(publisher)[0]?.eligible.join();
  await until('the endpoint is gone', () => eligible() === '10.244.2.2:8080');
  assert.equal(sink.generation, 2);

  api.removeObject('services', 'web');
  await until('the Service is gone', () => sink.mirror.services.size === 0);
  assert.equal(sink.mirror.frontends.size, 0);
});

test('the first policy starts informers, and labels of 1,000 pods arrive soon', async (t) => {
  api.putObject('nodes', node('n1', '172.18.0.11', '10.244.0.0/16'));
  start();
  await until('an image is published', () => publisher.published);
  await until('everything is watched', () => api.watching === SOURCES.length);
  const podsAsked = () =>
    api.requests.some((r) => r.includes('/pods') || r.includes('/namespaces?'));
  assert.ok(!podsAsked(), 'pods are not requested yet');
  const namespace: object = { metadata: { name: 'ns', labels: {} } };
  api.putObject('namespaces', namespace);
  for (let n = 0; n < PODS; n++) api.putObject('pods', pod(n, n % KINDS));
  for (let n = 0; n < POLICIES; n++) api.putObject('networkpolicies', policy(n));
  await until('every pod has its policy', () => {
    const last = sink.policies.at(-1);
    return last?.pods?.length === PODS && last.rules?.names.length === POLICIES;
  });
  assert.ok(podsAsked());
  const times: number[] = [];
  for (let n = 0; n < 20; n++) {
    const told = sink.policies.length;
    const begun = performance.now();
    api.putObject('pods', pod(n, n + 1));
    await until('the datapath has the change', () => sink.policies.length > told);
    times.push(performance.now() - begun);
  }
  t.diagnostic(`from the write to the datapath, at most ${Math.ceil(Math.max(...times))} ms`);
});

const STEERED = parseAddress('172.18.0.11')!;
const PODS = 1000;
const POLICIES = 500;
const KINDS = 20;

function pod(n: number, kind: number): object {
  return {
    metadata: {
      ...{ namespace: 'ns', name: `pod-${n}`, uid: `uid-${n}` },
      labels: { app: `app-${kind % KINDS}` },
    },
    spec: { nodeName: 'n1', containers: [] },
    status: { phase: 'Running', hostIP: '172.18.0.11', podIP: `10.244.${1 + (n >> 8)}.${n & 255}` },
  };
}

function policy(n: number): object {
  const of = (kind: number) => ({ matchLabels: { app: `app-${kind % KINDS}` } });
  return {
    metadata: { namespace: 'ns', name: `policy-${n}` },
    spec: { podSelector: of(n), ingress: [{ from: [{ podSelector: of(n + 1 + (n % 7)) }] }] },
  };
}
