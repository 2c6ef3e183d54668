// Affinity, taints, spread constraints and host ports.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { eventsOf, node, pod, ready, startWorld, workload } from './world.ts';

const ZONE = 'topology.kubernetes.io/zone';
const HOST = 'kubernetes.io/hostname';
let world: ReturnType<typeof startWorld>;

beforeEach(() => {
  world = startWorld((bare) => {
    for (const [name, zone] of Object.entries({ a1: 'a', a2: 'a', b1: 'b' })) {
      bare.create('Node', node(name, { [HOST]: name, [ZONE]: zone, size: name.slice(1) }));
    }
  });
});
afterEach(() => world.controllers.stop());

async function place(name: string, spec: object = {}, labels: object = {}): Promise<string> {
  world.create('Pod', pod(name, { nodeName: undefined, ...spec }, { labels }));
  await world.idle();
  const { spec: placed, status } = world.get('Pod', name)!;
  return placed.nodeName ?? status.conditions[0].message;
}

const affinity = (...nodeSelectorTerms: object[]) => ({
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  },
});
const rule = (key: string, operator: string, ...values: string[]) => ({
  key,
  operator,
  ...(values.length > 0 && { values }),
});
const NO_MATCH = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.";

const AFFINITIES: [what: string, terms: object[], chosen: string][] = [
  ['one of some values', [{ matchExpressions: [rule(ZONE, 'In', 'b', 'c')] }], 'b1'],
  ['none of some values', [{ matchExpressions: [rule(ZONE, 'NotIn', 'a')] }], 'b1'],
  ['a missing label', [{ matchExpressions: [rule('none', 'DoesNotExist')] }], 'a1'],
  ['an existing label', [{ matchExpressions: [rule('none', 'Exists')] }], NO_MATCH],
  ['more than a number', [{ matchExpressions: [rule('size', 'Gt', '1')] }], 'a2'],
  ['less than a number', [{ matchExpressions: [rule('size', 'Lt', '1')] }], NO_MATCH],
  ['a name', [{ matchFields: [rule('metadata.name', 'In', 'b1')] }], 'b1'],
  [
    'all rules of a term',
    [{ matchExpressions: [rule(ZONE, 'In', 'a'), rule('size', 'In', '2')] }],
    'a2',
  ],
  [
    'any term',
    [{ matchExpressions: [rule('x', 'Exists')] }, { matchExpressions: [rule(ZONE, 'In', 'b')] }],
    'b1',
  ],
  ['an empty term', [{}], NO_MATCH],
];

for (const [what, terms, chosen] of AFFINITIES) {
  test(`a pod with ${what} runs on a matching node or waits`, async () => {
    assert.equal(await place('p', affinity(...terms)), chosen);
  });
}

test('a taint excludes pods that do not tolerate it, and the message names it', async () => {
  const taint = { key: 'gpu', value: 'yes', effect: 'NoSchedule' };
  for (const name of ['a1', 'a2']) world.patch('Node', name, { spec: { taints: [taint] } });
  world.patch('Node', 'b1', { spec: { taints: [{ ...taint, effect: 'NoExecute' }] } });
  const refused = '0/3 nodes are available: 3 node(s) had untolerated taint {gpu: yes}.';
  assert.equal(await place('none'), refused);
  const other = { tolerations: [{ key: 'gpu', value: 'no' }] };
  assert.equal(await place('other', other), refused);
  const equal = {
    tolerations: [{ key: 'gpu', operator: 'Equal', value: 'yes', effect: 'NoExecute' }],
  };
  assert.equal(await place('equal', equal), 'b1');
  assert.equal(await place('any', { tolerations: [{ key: 'gpu', operator: 'Exists' }] }), 'a1');
  assert.equal(await place('all', { tolerations: [{ operator: 'Exists' }] }), 'a2');
});

test('a node with a PreferNoSchedule taint is the last choice', async () => {
  const taints = [{ key: 'old', effect: 'PreferNoSchedule' }];
  for (const name of ['a1', 'a2']) world.patch('Node', name, { spec: { taints } });
  for (const name of ['p1', 'p2', 'p3']) assert.equal(await place(name), 'b1');
});

test('cordoned, not ready and unreachable nodes accept pods that tolerate it', async () => {
  world.patch('Node', 'a1', { spec: { unschedulable: true } });
  world.patchStatus('Node', 'a2', ready(false));
  world.patchStatus('Node', 'b1', { conditions: [{ type: 'Ready', status: 'Unknown' }] });
  assert.equal(
    await place('none'),
    '0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, ' +
      '1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 1 node(s) were unschedulable.',
  );
  const tolerate = (key: string) => ({
    tolerations: [{ key: `node.kubernetes.io/${key}`, operator: 'Exists' }],
  });
  assert.equal(await place('cordoned', tolerate('unschedulable')), 'a1');
  assert.equal(await place('not-ready', tolerate('not-ready')), 'a2');
  assert.equal(await place('silent', tolerate('unreachable')), 'b1');
});

const spread = (topologyKey: string, whenUnsatisfiable: string, more: object = {}) => ({
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey,
      whenUnsatisfiable,
      labelSelector: { matchLabels: { app: 'x' } },
      ...more,
    },
  ],
});

test('pods spread over zones, and wait if they cannot', async () => {
  const spec = spread(ZONE, 'DoNotSchedule');
  const zones: string[] = [];
  for (let i = 0; i < 4; i++) zones.push((await place(`p${i}`, spec, { app: 'x' }))[0]!);
  assert.deepEqual(zones.toSorted(), ['a', 'a', 'b', 'b']);
  assert.notEqual(zones[0], zones[1]);
  world.patch('Node', 'b1', { spec: { unschedulable: true } });
  assert.match(await place('p4', spec, { app: 'x' }), /^a/, 'one more is within the skew');
  assert.equal(
    await place('p5', spec, { app: 'x' }),
    "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread constraints.",
  );
  assert.match(await place('anyway', spread(ZONE, 'ScheduleAnyway'), { app: 'x' }), /^a/);
});

test('a soft spread constraint prefers the domain with the fewest pods', async () => {
  for (const name of ['x1', 'x2'])
    world.create('Pod', pod(name, { nodeName: 'b1' }, { labels: { app: 'x' } }));
  for (const on of ['a1', 'a1', 'a1', 'a2', 'a2', 'a2']) {
    world.create('Pod', pod(`other-${world.list('Pod').length}`, { nodeName: on }, { labels: {} }));
  }
  assert.match(await place('p', spread(ZONE, 'ScheduleAnyway'), { app: 'x' }), /^a/);
});

test('a node without the topology key gets no pod with that constraint', async () => {
  world.create('Node', node('bare'));
  for (const name of ['a1', 'a2', 'b1'])
    world.patch('Node', name, { spec: { unschedulable: true } });
  assert.match(
    await place('p', spread(HOST, 'DoNotSchedule'), { app: 'x' }),
    /1 node\(s\) didn't match pod topology spread constraints \(missing required label\)/,
  );
});

test('fewer domains than minDomains count as if one were empty', async () => {
  const spec = spread(ZONE, 'DoNotSchedule', { minDomains: 3 });
  for (const name of ['p1', 'p2']) assert.match(await place(name, spec, { app: 'x' }), /^[ab]\d$/);
  assert.match(await place('p3', spec, { app: 'x' }), /topology spread constraints/);
});

test('pods of two templates spread separately', async () => {
  const spec = spread(HOST, 'DoNotSchedule', { matchLabelKeys: ['v'] });
  const nodes = async (v: string) => {
    const found: string[] = [];
    for (let i = 0; i < 3; i++) found.push(await place(`${v}-${i}`, spec, { app: 'x', v }));
    return found.toSorted();
  };
  assert.deepEqual(await nodes('1'), ['a1', 'a2', 'b1']);
  assert.deepEqual(await nodes('2'), ['a1', 'a2', 'b1']);
});

const others = (
  kind: 'podAffinity' | 'podAntiAffinity',
  topologyKey: string,
  more: object = {},
) => ({
  affinity: {
    [kind]: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey, labelSelector: { matchLabels: { app: 'x' } }, ...more },
      ],
    },
  },
});

test('pods with anti-affinity to each other are on different nodes, or wait', async () => {
  const spec = others('podAntiAffinity', HOST);
  const nodes: string[] = [];
  for (let i = 0; i < 3; i++) nodes.push(await place(`p${i}`, spec, { app: 'x' }));
  assert.deepEqual(nodes.toSorted(), ['a1', 'a2', 'b1']);
  assert.equal(
    await place('p3', spec, { app: 'x' }),
    "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.",
  );
  assert.equal(
    await place('plain', {}, { app: 'x' }),
    "0/3 nodes are available: 3 node(s) didn't satisfy existing pods anti-affinity rules.",
  );
  world.remove('Pod', 'p1');
  await world.idle();
  const waiting = ['p3', 'plain'].filter((name) => !world.get('Pod', name)!.spec.nodeName);
  assert.equal(waiting.length, 1, 'one of the two waiting pods got the node');
});

test('pods with affinity are in the domain of others; the first can be anywhere', async () => {
  const near = others('podAffinity', ZONE);
  assert.equal(
    await place('lonely', near, { app: 'y' }),
    "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
  );
  const first = await place('first', { ...near, nodeSelector: { [ZONE]: 'b' } }, { app: 'x' });
  assert.equal(first, 'b1');
  for (const name of ['p1', 'p2', 'p3']) assert.equal(await place(name, near, { app: 'x' }), 'b1');
});

test("affinity terms apply to the pod's namespace unless they name others", async () => {
  world.create('Namespace', { metadata: { name: 'far' } });
  for (const on of ['a1', 'a2', 'b1']) {
    world.create('Pod', pod(`x-${on}`, { nodeName: on }, { labels: { app: 'x' } }), 'far');
  }
  assert.equal(await place('own', others('podAntiAffinity', HOST)), 'a1');
  const named = others('podAntiAffinity', HOST, { namespaces: ['far'] });
  assert.match(await place('named', named), /pod anti-affinity rules/);
  const chosen = others('podAntiAffinity', HOST, { namespaceSelector: {} });
  assert.match(await place('chosen', chosen), /pod anti-affinity rules/);
});

test('a host port has one pod at a time', async () => {
  // In the network of the node a container's port is also its host port.
  const port = (containerPort: number, more: object = {}) => ({
    hostNetwork: true,
    containers: [{ name: 'main', image: 'pause', ports: [{ containerPort, ...more }] }],
    nodeSelector: { [ZONE]: 'b' },
  });
  assert.equal(await place('p1', port(8080)), 'b1');
  assert.match(
    await place('p2', port(8080)),
    /1 node\(s\) didn't have free ports for the requested pod ports/,
  );
  assert.equal(await place('udp', port(8080, { protocol: 'UDP' })), 'b1');
  assert.equal(await place('other', port(8081)), 'b1');
  world.patchStatus('Pod', 'p1', { phase: 'Succeeded' });
  await world.idle();
  assert.equal(world.get('Pod', 'p2')!.spec.nodeName, 'b1');
});

test('the pods of a ReplicaSet spread over all nodes', async () => {
  world.create('ReplicaSet', workload('web', { replicas: 6 }));
  await world.idle();
  const nodes = world.list('Pod').map(({ spec }) => spec.nodeName);
  assert.deepEqual(nodes.toSorted(), ['a1', 'a1', 'a2', 'a2', 'b1', 'b1']);
});

test('scheduling results are events without duplicates', async () => {
  const message = await place('p', { nodeSelector: { disk: 'ssd' } });
  for (const value of ['1', '2'])
    world.patch('Node', 'a1', { metadata: { labels: { beat: value } } });
  await world.idle();
  assert.deepEqual(eventsOf(world, 'p'), [['FailedScheduling', message]]);
  world.patch('Node', 'a2', { metadata: { labels: { disk: 'ssd' } } });
  await world.idle();
  assert.deepEqual(eventsOf(world, 'p').at(-1), [
    'Scheduled',
    'Successfully assigned default/p to a2',
  ]);
});
