import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { Node } from '../../../../control/kube/kinds.ts';
import { markNodeReady, registerNode } from '../../../../lab/supervisor/nodes.ts';
import { defaultTopology, type TopologyNode } from '../../../../lab/topology/topology.ts';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

let api: TestApi;
let topologyNode: TopologyNode;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());
beforeEach(async () => {
  topologyNode = defaultTopology().nodes[0]!;
  await registerNode(api.kube, topologyNode);
});

const get = (): Promise<Node> => api.kube.get('Node', { name: topologyNode.name });

test("a node has a kubelet's labels, including the old ones", async () => {
  const { labels } = (await get()).metadata!;
  const arch = labels!['kubernetes.io/arch'];
  assert.match(arch!, /^(amd64|arm64)$/);
  assert.equal(labels!['kubernetes.io/hostname'], topologyNode.name);
  for (const name of ['os', 'arch']) {
    assert.equal(labels![`beta.kubernetes.io/${name}`], labels![`kubernetes.io/${name}`]);
  }
});

test('a node reports capacity and allocatable resources', async () => {
  const { capacity, allocatable } = (await get()).status!;
  assert.deepEqual(Object.keys(capacity!).sort(), ['cpu', 'ephemeral-storage', 'memory', 'pods']);
  assert.deepEqual(allocatable, capacity);
  assert.match(capacity!.cpu!, /^[1-9]\d*$/);
  for (const name of ['memory', 'ephemeral-storage'])
    assert.match(capacity![name]!, /^[1-9]\d*Ki$/);
});

test('a node reports every field of its system information', async () => {
  const { nodeInfo } = (await get()).status!;
  // Deprecated fields are empty since Kubernetes 1.33.
  for (const [field, value] of Object.entries(nodeInfo!)) {
    if (field !== 'kubeProxyVersion') assert.notEqual(value, '', field);
  }
  assert.match(nodeInfo!.machineID, /^[0-9a-f]{32}$/);
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
  for (const field of ['systemUUID', 'bootID'] as const) assert.match(nodeInfo![field], uuid);
});

test('nodes of one machine have distinct, stable identities', async () => {
  const first = (await get()).status!.nodeInfo!;
  const other = { ...topologyNode, name: 'other' };
  await registerNode(api.kube, other);
  const { nodeInfo } = (await api.kube.get('Node', { name: 'other' })).status!;
  assert.notEqual(nodeInfo!.machineID, first.machineID);
  assert.notEqual(nodeInfo!.systemUUID, first.systemUUID);
  await registerNode(api.kube, topologyNode);
  assert.deepEqual((await get()).status!.nodeInfo, first);
});

test('a node that becomes ready keeps its other conditions', async () => {
  const types = async () => {
    const conditions = (await get()).status!.conditions!;
    return conditions.map(({ type, status }) => `${type}=${status}`);
  };
  const pressures = ['MemoryPressure=False', 'DiskPressure=False', 'PIDPressure=False'];
  assert.deepEqual(await types(), [...pressures, 'Ready=False']);
  await markNodeReady(api.kube, topologyNode.name);
  assert.deepEqual(await types(), [...pressures, 'Ready=True']);
});

test('a Node of an earlier version gets its capacity and keeps its conditions', async () => {
  await markNodeReady(api.kube, topologyNode.name);
  const status = { capacity: { cpu: null, memory: null }, allocatable: { cpu: null } };
  await api.kube.patch('Node', { name: topologyNode.name }, { status }, 'status');
  await registerNode(api.kube, topologyNode);
  const { capacity, allocatable, conditions } = (await get()).status!;
  assert.deepEqual(allocatable, capacity);
  assert.ok(capacity!.memory);
  assert.equal(conditions!.find(({ type }) => type === 'Ready')?.status, 'True');
});
