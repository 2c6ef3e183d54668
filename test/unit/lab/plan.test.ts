import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NODE_PORT_MAX, SNAT_PORT_MIN } from '../../../control/compile/node-entry.ts';
import { requireLabName } from '../../../control/places.ts';
import { fabricLink, podLink, podNamespace } from '../../../lab/places/names.ts';
import { planLab } from '../../../lab/plan/plan.ts';
import { formatPlan } from '../../../lab/plan/step.ts';
import { defaultTopology } from '../../../lab/topology/topology.ts';

test('a plan names only namespaces of its lab, and prints as shell commands', () => {
  const lines = formatPlan(planLab('demo', defaultTopology(2))).split('\n');
  for (const line of lines) {
    assert.match(line, /^(#|ip netns add demo-|ip netns exec demo-|ip -n demo-)/);
  }
  assert.deepEqual(lines.slice(0, 5), [
    'ip netns add demo-fabric',
    'ip netns add demo-cloud',
    'ip netns add demo-internet',
    'ip netns add demo-node1',
    'ip netns add demo-node2',
  ]);
});

test('makes cables with both ends inside namespaces, so that none appears outside', () => {
  const cables = planLab('demo', defaultTopology(2))
    .flatMap((step) => (step.kind === 'network' ? step.lines : []))
    .filter((line) => line.includes('type veth'));
  assert.equal(cables.length, 4);
  for (const cable of cables) assert.match(cable, /peer name \w+ .*netns demo-/);
});

test('the cloud has no route to pods, so packets without masquerade get no answer', () => {
  const steps = planLab('demo', defaultTopology(2));
  const cloud = steps.filter((s) => s.kind === 'network' && s.namespace === 'demo-cloud');
  assert.equal(cloud.length, 1);
  assert.doesNotMatch(JSON.stringify(cloud), /10\.244/);
});

test('the cloud forwards nothing before its agent steers', () => {
  const lines = formatPlan(planLab('demo', defaultTopology(2))).split('\n');
  for (const link of ['eth0', 'eth1']) {
    assert.ok(lines.includes(`ip -n demo-cloud rule add pref 31000 iif ${link} blackhole`));
  }
});

test('routes to a node with a small MTU carry that MTU, because a bridge reports nothing', () => {
  const topology = defaultTopology(2);
  topology.nodes[1]!.mtu = 1400;
  const lines = formatPlan(planLab('demo', topology)).split('\n');
  const narrow = lines.filter((line) => line.includes('route add') && line.includes('mtu 1400'));
  assert.deepEqual(
    narrow.map((line) => line.replace(/ip -n demo-(\w+) route add (\S+) .*/, '$1 $2')),
    [
      'fabric 172.18.0.12/32',
      'fabric 10.244.2.0/24',
      'cloud 172.18.0.12/32',
      'node1 172.18.0.12/32',
      'node1 10.244.2.0/24',
    ],
  );
});

test('a node keeps its own sockets below the ports of masquerade', () => {
  const nodes = planLab('demo', defaultTopology(2)).filter(
    (step) => step.kind === 'sysctl' && /-node\d$/.test(step.namespace),
  );
  assert.equal(nodes.length, 2);
  for (const step of nodes) {
    const values = new Map(step.kind === 'sysctl' ? step.values : []);
    const [first, last] = values.get('ipv4/ip_local_port_range')!.split(/\s/).map(Number);
    assert.ok(first! > NODE_PORT_MAX && last! < SNAT_PORT_MIN, `${first}-${last}`);
  }
});

test('only nodes whose pods have cables get a device for spoofed packets', () => {
  const linesOf = (attach: 'veth' | 'tun') => {
    const topology = defaultTopology(1, { proxy: 'kubetun', attach });
    return formatPlan(planLab('demo', topology)).split('\n');
  };
  const spoofed = linesOf('veth').filter((line) => line.includes('spoofed'));
  assert.equal(spoofed.length, 2);
  assert.deepEqual(
    linesOf('tun'),
    linesOf('veth').filter((line) => !spoofed.includes(line)),
  );
});

test("link names fit the kernel's limit for all names of nodes and pods", () => {
  const long = 'a-node-with-a-name-of-32-letters';
  assert.ok(fabricLink(long).length <= 15);
  assert.notEqual(fabricLink(long), fabricLink(`${long.slice(0, -1)}x`));
  assert.ok(podLink('kube-system', 'x'.repeat(200)).length <= 15);
});

test('pods with long names have distinct namespaces', () => {
  const name = 'p'.repeat(240);
  const one = podNamespace('demo', 'default', `${name}a`);
  const other = podNamespace('demo', 'default', `${name}b`);
  assert.ok(one.length <= 200);
  assert.notEqual(one, other);
});

for (const name of ['', 'UPPER', 'much-too-long-a-name', 'a/b', 'a b', '..', '-a', '--', '-']) {
  test(`a lab cannot be called ${JSON.stringify(name)}`, () => {
    assert.throws(() => requireLabName(name), { code: 'KT_LAB_NAME', exitCode: 2 });
  });
}
