import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeObject } from '../../../../control/kube/decode.ts';
import type { NetworkPolicy, Pod } from '../../../../control/kube/kinds.ts';
import { readNetworkPolicy } from '../../../../control/model/network-policy.ts';
import { readPolicyPod } from '../../../../control/model/pod.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';
import { addr } from '../../../support/datapath.ts';

const read = (spec: object, annotations: Record<string, string> = {}) =>
  readNetworkPolicy({
    metadata: { namespace: 'shop', name: 'p', annotations },
    spec,
  } as NetworkPolicy);
const TYPES: [spec: object, ingress: boolean, egress: boolean][] = [
  [{}, true, false],
  [{ egress: [] }, true, false],
  [{ egress: [{}] }, true, true],
  [{ policyTypes: ['Egress'] }, false, true],
  [{ policyTypes: ['Egress'], ingress: [{}] }, false, true],
  [{ policyTypes: ['Ingress'], egress: [{}] }, true, false],
];
for (const [spec, ingress, egress] of TYPES) {
  test(`directions of ${JSON.stringify(spec)}`, () => {
    const row = read(spec);
    assert.deepEqual([row.ingress !== null, row.egress !== null], [ingress, egress]);
  });
}

test('an empty list of peers allows all peers, an empty list of ports all ports', () => {
  const [rule] = read({ ingress: [{ from: [], ports: [] }] }).ingress!;
  assert.deepEqual(rule, { pods: null, blocks: [], ports: null });
});

test('peers: own namespace, other namespaces, both, and blocks', () => {
  const selector = { matchLabels: { a: 'b' } };
  const from = [
    { podSelector: selector },
    { namespaceSelector: {} },
    { namespaceSelector: {}, podSelector: selector },
    { ipBlock: { cidr: '10.1.2.3/8', except: ['10.0.0.0/30'] } },
  ];
  const [rule] = read({ ingress: [{ from }] }).ingress!;
  assert.deepEqual(rule!.pods, [
    { namespaces: null, pods: selector },
    { namespaces: {}, pods: {} },
    { namespaces: {}, pods: selector },
  ]);
  assert.deepEqual(rule!.blocks, [
    {
      cidr: { address: addr('10.0.0.0'), length: 8 },
      except: [{ address: addr('10.0.0.0'), length: 30 }],
    },
  ]);
});

test('unreadable parts of a policy allow nothing', () => {
  const from = [
    { ipBlock: { cidr: 'fd00::/8' } },
    { ipBlock: { cidr: '10.0.0.0/8', except: ['nonsense'] } },
    {},
  ];
  const ports = [{ protocol: 'ICMP', port: 8 }];
  const [rule] = read({ ingress: [{ from, ports }] }).ingress!;
  assert.deepEqual(rule, { pods: [], blocks: [], ports: [] });
});

test('a decoded null is an absent field', () => {
  const everyone = { pods: null, blocks: [], ports: null };
  const decoded = (spec: object) => {
    const object = { metadata: { namespace: 'shop', name: 'p' }, spec };
    decodeObject('NetworkPolicy', object);
    return readNetworkPolicy(object as NetworkPolicy);
  };
  assert.deepEqual(decoded({ ingress: null, egress: null }).ingress, []);
  assert.deepEqual(decoded({ ingress: [null] }).ingress, [everyone]);
  assert.deepEqual(decoded({ ingress: [{ from: null, ports: null }] }).ingress, [everyone]);
  assert.deepEqual(decoded({ podSelector: null }).selector, {});
});

test('ports: numbers, ranges, names, protocols', () => {
  const ports = [
    { port: 80 },
    { port: 90, endPort: 99, protocol: 'UDP' },
    { port: 65_000, endPort: 99_999 },
    { port: 'http' },
    { port: '0x50' },
    { protocol: 'SCTP' },
  ];
  const [rule] = read({ ingress: [{ ports }] }).ingress!;
  assert.deepEqual(rule!.ports, [
    { proto: PROTO_TCP, name: null, first: 80, last: 80 },
    { proto: PROTO_UDP, name: null, first: 90, last: 99 },
    { proto: PROTO_TCP, name: null, first: 65_000, last: 65_535 },
    { proto: PROTO_TCP, name: 'http', first: 0, last: 0 },
    { proto: PROTO_TCP, name: '0x50', first: 0, last: 0 },
    { proto: PROTO_SCTP, name: null, first: 0, last: 65_535 },
  ]);
});

test('only the annotation value true makes a policy audited', () => {
  assert.equal(read({}, { 'kubetun.dev/audit': 'true' }).audited, true);
  for (const value of ['false', '', 'True', '1']) {
    assert.equal(read({}, { 'kubetun.dev/audit': value }).audited, false, value);
  }
});

const running = (o: { spec?: object; status?: object } = {}) =>
  readPolicyPod({
    metadata: { namespace: 'shop', name: 'web', uid: 'u' },
    spec: { containers: [], ...o.spec },
    status: { phase: 'Running', podIP: '10.244.1.2', hostIP: '172.18.0.11', ...o.status },
  } as unknown as Pod);

test('a pod has a row while it has its own address and has not ended', () => {
  assert.equal(running()?.address, addr('10.244.1.2'));
  assert.equal(running()?.node, addr('172.18.0.11'));
  assert.equal(running({ status: { podIP: undefined } }), null);
  assert.equal(running({ status: { podIP: 'fd00::1' } }), null);
  assert.equal(running({ spec: { hostNetwork: true } }), null);
  const both = (...ips: string[]) => ips.map((ip) => ({ ip }));
  const status = {
    ...{ podIP: 'fd00::1', podIPs: both('fd00::1', '10.244.1.3') },
    ...{ hostIP: 'fd01::1', hostIPs: both('fd01::1', '172.18.0.12') },
  };
  const second = running({ status });
  assert.deepEqual(
    [second?.address, second?.node],
    [addr('10.244.1.3'), addr('172.18.0.12')],
    'IPv6 before IPv4',
  );
  for (const phase of ['Succeeded', 'Failed']) assert.equal(running({ status: { phase } }), null);
  assert.notEqual(running({ status: { phase: 'Pending' } }), null);
});

test('a row has the named ports of containers and sidecars', () => {
  const spec = {
    initContainers: [
      { name: 'i', ports: [{ name: 'web', containerPort: 8 }] },
      { name: 's', restartPolicy: 'Always', ports: [{ name: 'metrics', containerPort: 9 }] },
    ],
    containers: [
      { name: 'a', ports: [{ name: 'web', containerPort: 80 }, { containerPort: 81 }] },
      { name: 'b', ports: [{ name: 'dns', containerPort: 53, protocol: 'UDP' }] },
    ],
  };
  assert.deepEqual(running({ spec })?.ports, [
    { name: 'metrics', proto: PROTO_TCP, number: 9 },
    { name: 'web', proto: PROTO_TCP, number: 80 },
    { name: 'dns', proto: PROTO_UDP, number: 53 },
  ]);
});
