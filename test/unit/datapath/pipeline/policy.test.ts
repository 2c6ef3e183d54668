import assert from 'node:assert/strict';
import { test } from 'node:test';
import { H_FLOW_HIGH, H_HELD_COUNT, H_HELD_RANGES } from '../../../../datapath/arena/layout.ts';
import { readPolicyHits } from '../../../../datapath/image/policy-reader.ts';
import { PORT_SPOOFED } from '../../../../datapath/pipeline/batch.ts';
import { needsCheck } from '../../../../datapath/pipeline/policy-check.ts';
import {
  PEER_ANY,
  PEER_ANY_POD,
  PEER_FIRST,
  type PolicyChange,
  type PolicyPod,
  type PolicyPorts,
  type PolicyRules,
} from '../../../../datapath/policy/policy.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../../../datapath/wire/ipv4.ts';
import {
  addr,
  BACKEND,
  change,
  createTestDatapath,
  NODE,
  OTHER_NODE,
  OUTSIDE,
  POD,
  type TestDatapath,
  VIP,
} from '../../../support/datapath.ts';
import {
  ACK,
  echo4,
  FIN,
  fragment4,
  icmpError4,
  ip4,
  SYN,
  tcp4,
  udp4,
} from '../../../support/packets.ts';

const IN = 1;
const OUT = 2;
const CLIENT_PEER = PEER_FIRST;
const BLOCK_PEER = PEER_FIRST + 1;
const OTHER_PEER = PEER_FIRST + 2;

const ports = (proto: number, first = 0, last = 65_535): PolicyPorts => ({
  ...{ proto, first, last, policy: 1, rule: 0, audited: false },
});

/** The client's pod is on this node, the isolated backend on the other. */
const pod = (address: string, o: Partial<PolicyPod> = {}): PolicyPod => ({
  address: addr(address),
  node: addr(address.startsWith('10.244.1.') ? NODE : OTHER_NODE),
  ...{ ingress: 0, egress: 0, peer: OTHER_PEER, born: 0, uid: 1 },
  ...o,
});
const PODS = [pod(POD, { peer: CLIENT_PEER }), pod(BACKEND, { ingress: IN })];

/** What the backend's policy allows, by peer class. */
const rules = (allowed: [number, PolicyPorts[]][], o: Partial<PolicyRules> = {}): PolicyRules => ({
  subjects: [
    { id: IN, enforced: [1], audited: [] },
    { id: OUT, enforced: [2], audited: [] },
  ],
  pairs: allowed.map(([peer], n) => ({ subject: IN, peer, ports: n })),
  portSets: allowed.map(([, list]) => list),
  prefixes: [],
  names: [],
  ...o,
});

let generation = 0;
function enforce(t: TestDatapath, to: PolicyRules, o: Partial<PolicyChange> = {}): void {
  generation++;
  const policy = { generation, active: true, pods: PODS, rules: to, ...o };
  t.writer.publish(change({ policy }));
}

const guarded = (allowed: [number, PolicyPorts[]][]): TestDatapath => {
  const t = createTestDatapath();
  enforce(t, rules(allowed));
  return t;
};

const syn = (from: string, to: string) => tcp4(from, to, SYN, [], { seq: 1 });
const direct = () => syn(`${POD}:4000`, `${BACKEND}:8080`);

/** Opens a connection through the Service and brings it to the fast path. */
function open(t: TestDatapath, sport = 4000): void {
  t.one(syn(`${POD}:${sport}`, `${VIP}:80`));
  t.one(tcp4(`${BACKEND}:8080`, `${POD}:${sport}`, SYN | ACK, [], { seq: 9, ack: 2 }));
  t.one(ack(sport));
  assert.equal(t.one(ack(sport)).verdict, 'forward');
}
const ack = (sport = 4000) => tcp4(`${POD}:${sport}`, `${VIP}:80`, ACK, [1], { seq: 2, ack: 10 });
const answer = (sport = 4000) =>
  tcp4(`${BACKEND}:8080`, `${POD}:${sport}`, ACK, [1], { seq: 10, ack: 2 });

test('without a rule a connection to an isolated pod is dropped and counted, and makes no flow', () => {
  const t = guarded([]);
  assert.equal(t.one(direct()).verdict, 'policy-ingress');
  assert.equal(t.one(syn(`${POD}:4000`, `${VIP}:80`)).verdict, 'policy-ingress', 'by a Service');
  assert.equal(t.counter('policy-ingress'), 2);
  assert.equal(t.counter('flows-made'), 0);
  assert.equal(readPolicyHits(t.d.arena, 1).ingress.dropped, 2);
});

test('counters of a policy that comes back start at zero', () => {
  const named = rules([], { names: [{ id: 1, name: 'shop/p' }] });
  const t = createTestDatapath();
  const dropped = () => {
    t.one(direct());
    return readPolicyHits(t.d.arena, 1).ingress.dropped;
  };
  enforce(t, named);
  assert.deepEqual([dropped(), dropped()], [1, 2]);
  enforce(t, named);
  assert.equal(dropped(), 3, 'the same policy');
  enforce(t, named, { active: false, pods: null, rules: null });
  enforce(t, named);
  assert.equal(dropped(), 1);
});

test('a rule allows packets by protocol and port, and is counted', () => {
  const t = guarded([[CLIENT_PEER, [ports(PROTO_TCP, 8080, 8080), ports(PROTO_UDP, 100, 200)]]]);
  assert.equal(t.one(direct()).verdict, 'forward');
  assert.equal(t.one(syn(`${POD}:1`, `${BACKEND}:8081`)).verdict, 'policy-ingress');
  assert.equal(t.one(udp4(`${POD}:1`, `${BACKEND}:100`)).verdict, 'forward');
  assert.equal(t.one(udp4(`${POD}:2`, `${BACKEND}:200`)).verdict, 'forward');
  assert.equal(t.one(udp4(`${POD}:3`, `${BACKEND}:201`)).verdict, 'policy-ingress');
  assert.equal(t.one(udp4(`${POD}:4`, `${BACKEND}:8080`)).verdict, 'policy-ingress');
  const sctp = ip4(
    `${POD}:5`,
    `${BACKEND}:8080`,
    PROTO_SCTP,
    [0, 5, 31, 144, 0, 0, 0, 0, 0, 0, 0, 0],
  );
  assert.equal(t.one(sctp).verdict, 'policy-ingress');
  assert.deepEqual(readPolicyHits(t.d.arena, 1).ingress, { allowed: 3, dropped: 4, audited: 0 });
});

test('an echo needs a rule without ports; replies need none', () => {
  const t = guarded([[CLIENT_PEER, [ports(PROTO_TCP)]]]);
  assert.equal(t.one(echo4(POD, BACKEND, 7)).verdict, 'policy-ingress');
  enforce(t, rules([[CLIENT_PEER, [ports(0)]]]));
  assert.equal(t.one(echo4(POD, BACKEND, 7)).verdict, 'forward');
  enforce(t, rules([]), { pods: [pod(POD, { ingress: IN }), pod(BACKEND)] });
  assert.equal(t.one(echo4(POD, BACKEND, 8)).verdict, 'forward');
  assert.equal(t.one(echo4(BACKEND, POD, 8, true)).verdict, 'forward', 'to the isolated pod');
  assert.equal(t.one(echo4(BACKEND, POD, 9)).verdict, 'policy-ingress');
});

test('peers: any peer, every pod, a class of pods, an address block for pods and others', () => {
  const from = (peer: number, source: string) => {
    const t = createTestDatapath();
    const prefixes = [
      { address: addr('10.244.0.0'), length: 16, peer: BLOCK_PEER },
      { address: addr('203.0.113.0'), length: 24, peer: BLOCK_PEER },
      { address: addr('203.0.113.99'), length: 32, peer: BLOCK_PEER + 5 },
    ];
    enforce(t, rules([[peer, [ports(0)]]], { prefixes }));
    return t.one(syn(`${source}:1`, `${BACKEND}:8080`)).verdict === 'forward';
  };
  const sources = [POD, OUTSIDE, '203.0.113.99', '198.51.100.1'];
  const seen = [PEER_ANY, PEER_ANY_POD, CLIENT_PEER, OTHER_PEER, BLOCK_PEER].map((peer) =>
    sources.map((source) => (from(peer, source) ? 'x' : '.')).join(''),
  );
  assert.deepEqual(seen, ['xxxx', 'x...', 'x...', '....', 'xx..']);
});

test('egress is checked against the chosen endpoint', () => {
  const t = createTestDatapath();
  const block = [{ address: addr(BACKEND), length: 32, peer: BLOCK_PEER }];
  const pods = [pod(POD, { egress: OUT }), pod(BACKEND)];
  const pairs = [{ subject: OUT, peer: BLOCK_PEER, ports: 0 }];
  const portSets = [[ports(PROTO_TCP, 8080, 8080)]];
  enforce(t, rules([], { prefixes: block, pairs, portSets }), { pods });
  assert.equal(t.one(syn(`${POD}:1`, `${VIP}:80`)).verdict, 'forward');
  assert.equal(t.one(syn(`${POD}:2`, `${OUTSIDE}:80`)).verdict, 'policy-egress');
  assert.equal(t.one(udp4(`${POD}:3`, `${VIP}:53`)).verdict, 'policy-egress');
  assert.equal(t.one(syn(`${BACKEND}:1`, `${POD}:80`)).verdict, 'forward', 'arrives freely');
  const { allowed, dropped } = readPolicyHits(t.d.arena, 2).egress;
  assert.deepEqual([allowed, dropped], [0, 2]);
  assert.equal(readPolicyHits(t.d.arena, 1).egress.allowed, 1, 'by the policy of its rule');
});

test('a pod is reachable from itself and its own node, not from another node', () => {
  const t = createTestDatapath();
  enforce(t, rules([]), {
    pods: [pod(POD, { ingress: IN, egress: OUT }), pod(BACKEND, { ingress: IN })],
  });
  assert.equal(t.one(syn(`${POD}:1`, `${POD}:80`)).verdict, 'forward');
  assert.equal(t.one(syn(`${NODE}:33000`, `${POD}:80`)).verdict, 'forward');
  assert.equal(t.one(syn(`${OTHER_NODE}:33000`, `${POD}:80`)).verdict, 'policy-ingress');
  assert.equal(t.one(syn(`${NODE}:33000`, `${VIP}:80`)).verdict, 'policy-ingress');
  assert.equal(t.one(syn(`${OTHER_NODE}:33000`, `${NODE}:30080`)).verdict, 'forward');
});

test('trusts the check of a client masqueraded by another node, but never for an echo', () => {
  const t = createTestDatapath();
  enforce(t, rules([]), { pods: [pod(POD, { ingress: IN })] });
  assert.equal(t.one(syn(`${OTHER_NODE}:40000`, `${POD}:80`)).verdict, 'forward');
  assert.equal(t.one(syn(`${OTHER_NODE}:65534`, `${POD}:80`)).verdict, 'forward');
  assert.equal(t.one(syn(`${OTHER_NODE}:39999`, `${POD}:80`)).verdict, 'policy-ingress');
  assert.equal(t.one(syn(`${OUTSIDE}:41000`, `${POD}:80`)).verdict, 'policy-ingress');
  assert.equal(t.one(echo4(OTHER_NODE, POD, 41_000)).verdict, 'policy-ingress');
});

test('holds back traffic of unknown pods; the first addresses of a range are not pods', () => {
  const t = guarded([[PEER_ANY, [ports(0)]]]);
  assert.equal(t.one(syn('10.244.1.77:1', `${BACKEND}:80`)).verdict, 'policy-unknown');
  assert.equal(t.one(syn(`${POD}:1`, '10.244.2.77:80')).verdict, 'policy-unknown');
  assert.equal(t.one(syn('10.244.1.77:1', `${OUTSIDE}:80`)).verdict, 'policy-unknown');
  assert.equal(t.one(syn(`${OUTSIDE}:1`, '10.244.2.77:80')).verdict, 'policy-unknown');
  assert.equal(t.one(syn('10.244.1.2:1', `${BACKEND}:80`)).verdict, 'policy-unknown');
  assert.equal(t.one(syn('10.244.1.1:1', `${BACKEND}:80`)).verdict, 'forward');
  const free = createTestDatapath();
  assert.equal(free.one(syn('10.244.1.77:1', `${BACKEND}:80`)).verdict, 'forward', 'no policy');
  assert.equal(free.one(syn('10.244.1.77:1', `${NODE}:80`)).verdict, 'forward', 'no policy');
});

test("checks a pod's requests to its node, not its replies", () => {
  const t = createTestDatapath();
  enforce(t, rules([]), { pods: [pod(POD, { egress: OUT })] });
  assert.equal(t.one(syn(`${POD}:4000`, `${NODE}:6443`)).verdict, 'policy-egress');
  assert.equal(t.one(udp4(`${POD}:4000`, `${NODE}:53`)).verdict, 'policy-egress');
  assert.equal(t.one(echo4(POD, NODE, 5)).verdict, 'policy-egress');
  const synAck = tcp4(`${POD}:80`, `${NODE}:33000`, SYN | ACK, [], { seq: 1, ack: 1 });
  assert.equal(t.one(synAck).verdict, 'forward');
  assert.equal(t.one(udp4(`${POD}:53`, `${NODE}:33000`)).verdict, 'forward');
  assert.equal(t.one(echo4(POD, NODE, 5, true)).verdict, 'forward');
  const sctp = (port: number) =>
    t.one(
      ip4(`${POD}:1`, NODE, PROTO_SCTP, [0, 1, port >> 8, port & 255, ...new Array(8).fill(0)]),
    );
  assert.deepEqual([sctp(33_000).verdict, sctp(32_767).verdict], ['forward', 'policy-egress']);
  assert.equal(t.one(udp4(`${POD}:53`, `${NODE}:32767`)).verdict, 'policy-egress');
  assert.equal(t.one(ip4(POD, NODE, 47, [0, 0, 8, 0])).verdict, 'policy-egress', 'no ports');
  assert.equal(readPolicyHits(t.d.arena, 2).egress.dropped, 6);
});

test("does not check a pod's replies to a node's gateway address in the pod range", () => {
  const t = createTestDatapath();
  enforce(t, rules([]), { pods: [pod(POD, { egress: OUT })] });
  for (const gateway of ['10.244.1.1', '10.244.2.0']) {
    assert.equal(t.one(syn(`${POD}:4000`, `${gateway}:6443`)).verdict, 'policy-egress');
    for (const flags of [SYN | ACK, ACK, FIN | ACK]) {
      const frame = tcp4(`${POD}:80`, `${gateway}:33000`, flags, [], { seq: 1, ack: 1 });
      assert.equal(t.one(frame).verdict, 'forward');
    }
    assert.equal(t.one(udp4(`${POD}:53`, `${gateway}:33000`)).verdict, 'forward');
  }
});

test("packets of the node itself to another node's pod are checked there", () => {
  const t = guarded([]);
  assert.equal(t.one(syn(`${NODE}:33000`, `${BACKEND}:80`)).verdict, 'forward');
  assert.equal(t.one(echo4(NODE, BACKEND, 1)).verdict, 'forward');
});

test('an ICMP error is exempt only if its connection is known and allowed', () => {
  const t = guarded([[CLIENT_PEER, [ports(PROTO_TCP)]]]);
  const unrelated = icmpError4(POD, BACKEND, 3, 3, udp4(`${BACKEND}:9`, `${POD}:9`, [1]));
  assert.equal(t.one(unrelated).verdict, 'policy-ingress');
  const fromNode = icmpError4(NODE, BACKEND, 3, 3, udp4(`${BACKEND}:9`, `${POD}:9`, [1]));
  assert.equal(t.one(fromNode).verdict, 'forward');
  t.one(direct());
  const related = icmpError4(POD, BACKEND, 3, 4, tcp4(`${BACKEND}:8080`, `${POD}:4000`, ACK));
  assert.equal(t.one(related).verdict, 'forward');
  enforce(t, rules([]));
  assert.equal(t.one(related).verdict, 'policy-ingress');
  assert.equal(readPolicyHits(t.d.arena, 1).ingress.dropped, 2);
});

test('an ICMP error about a flow of a removed pod is unrelated', () => {
  const t = guarded([[CLIENT_PEER, [ports(PROTO_TCP)]]]);
  t.one(direct());
  const reborn = pod(POD, { peer: CLIENT_PEER, born: generation + 1, uid: 2 });
  enforce(t, rules([[CLIENT_PEER, [ports(PROTO_TCP)]]]), { pods: [reborn, PODS[1]!] });
  const error = icmpError4(POD, BACKEND, 3, 4, tcp4(`${BACKEND}:8080`, `${POD}:4000`, ACK));
  assert.equal(t.one(error).verdict, 'policy-ingress');
});

test('later fragments of a datagram are denied with its flow', () => {
  const t = guarded([[CLIENT_PEER, [ports(PROTO_UDP)]]]);
  const [first, ...more] = fragment4(udp4(`${POD}:1`, `${BACKEND}:9`, new Array(60).fill(7)), 24);
  assert.ok(more.length >= 2);
  assert.equal(t.one(first!).verdict, 'forward');
  assert.equal(t.one(more[0]!).verdict, 'forward');
  enforce(t, rules([]));
  assert.equal(t.one(more[1]!).verdict, 'policy-ingress');
  const denied = fragment4(udp4(`${POD}:2`, `${BACKEND}:9`, new Array(60).fill(7), { id: 9 }), 24);
  for (const piece of denied) assert.equal(t.one(piece).verdict, 'policy-ingress');
});

test('checks a segment without a flow, whatever its flags', () => {
  const t = guarded([]);
  for (const flags of [ACK, FIN | ACK, SYN | ACK]) {
    const frame = tcp4(`${POD}:1`, `${BACKEND}:8080`, flags, [], { seq: 1, ack: 1 });
    assert.equal(t.one(frame).verdict, 'policy-ingress');
  }
});

test('a policy change applies to an established connection at its next packet, in both directions', () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  enforce(t, rules([]));
  assert.equal(t.one(ack()).verdict, 'policy-ingress');
  assert.equal(t.one(answer()).verdict, 'policy-ingress');
  assert.equal(t.one(ack()).verdict, 'policy-ingress');
  assert.equal(t.counter('flows-revalidated'), 1);
  assert.equal(readPolicyHits(t.d.arena, 1).ingress.dropped, 3);
  enforce(t, rules([[CLIENT_PEER, [ports(0)]]]));
  assert.equal(t.one(answer()).verdict, 'forward');
  assert.equal(t.one(ack()).verdict, 'forward');
  enforce(t, rules([]));
  enforce(t, rules([]), { active: false, pods: null, rules: null });
  assert.equal(t.one(ack()).verdict, 'forward', 'no policy');
});

test('an allowed connection is checked once per change and loses no packet', () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  const before = t.counter('flows-revalidated');
  for (let n = 0; n < 2000; n++) {
    enforce(t, rules([[n % 2 ? CLIENT_PEER : PEER_ANY_POD, [ports(0)]]]));
    assert.equal(t.one(ack()).verdict, 'forward');
    assert.equal(t.one(answer()).verdict, 'forward');
  }
  assert.equal(t.counter('flows-revalidated') - before, 2000);
});

test('revalidates a Service connection by its endpoint, a masqueraded one by its client', () => {
  const allowed: [number, PolicyPorts[]][] = [
    [CLIENT_PEER, [ports(PROTO_TCP, 8080, 8080)]],
    [BLOCK_PEER, [ports(PROTO_TCP, 8080, 8080)]],
  ];
  const prefixes = [{ address: addr(OTHER_NODE), length: 32, peer: BLOCK_PEER }];
  const t = createTestDatapath();
  // The backend's node is unknown, so no node counts as its own.
  const pods = [PODS[0]!, pod(BACKEND, { ingress: IN, node: 0 })];
  enforce(t, rules(allowed, { prefixes }), { pods });
  open(t);
  const masqueraded = syn(`${OTHER_NODE}:33000`, `${NODE}:30080`);
  assert.equal(t.one(masqueraded).verdict, 'forward');
  enforce(t, rules(allowed, { prefixes }), { pods });
  const side = t.one(ack()).side;
  assert.notEqual(side, -1);
  for (const each of [side, side ^ 1]) assert.ok(!needsCheck(t.d, each), 'on the fast path again');
  assert.equal(t.one(masqueraded).verdict, 'forward');
  enforce(t, rules([]), { pods });
  assert.equal(t.one(ack()).verdict, 'policy-ingress');
  assert.equal(t.one(masqueraded).verdict, 'policy-ingress');
});

test('adds, changes and removes single pods', () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  const verdictsAfter = (put: PolicyPod[], gone: number[]) => {
    enforce(t, rules([]), { pods: null, podChanges: { put, gone }, rules: null });
    return [direct(), syn('10.244.1.9:1', `${BACKEND}:1`)].map((p) => t.one(p).verdict);
  };
  const [client, other] = [CLIENT_PEER, 0].map((peer) => pod('10.244.1.9', { peer }));
  assert.deepEqual(verdictsAfter([], []), ['forward', 'policy-unknown']);
  assert.deepEqual(verdictsAfter([client!], []), ['forward', 'forward']);
  assert.deepEqual(verdictsAfter([other!], [addr(POD)]), ['policy-unknown', 'policy-ingress']);
});

test('an image without a policy change revalidates no flow', () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  for (let n = 0; n < 5; n++) {
    t.writer.publish(change());
    t.writer.publish(change({ policy: { generation, active: true, pods: PODS, rules: null } }));
    t.one(ack());
  }
  t.tick(t.now + 100);
  assert.equal(t.counter('flows-revalidated'), 0);
});

test('the sweep revalidates a silent flow before generations repeat after 511', () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  for (let n = 0; n < 510; n++) enforce(t, rules([]));
  t.tick(t.now + 100);
  enforce(t, rules([]));
  assert.equal(t.one(ack()).verdict, 'policy-ingress');
});

/** An allowed connection after `reserved` lines, so that a round takes several slices. */
function inLargeTable(flowsMax: number, reserved = 0): TestDatapath {
  const t = createTestDatapath({ flowsMax });
  enforce(t, allowed);
  for (let n = 0; n < reserved; n++) t.d.table.allocate();
  open(t);
  t.d.header[H_FLOW_HIGH] = flowsMax;
  return t;
}
const allowed = rules([[CLIENT_PEER, [ports(0)]]]);
const enforceUntil = (t: TestDatapath, end: number) => {
  while (generation < end) enforce(t, allowed);
};

test('frequent policy changes do not overtake a round through a large table', () => {
  const t = inLargeTable(1 << 17);
  let pods = PODS;
  for (let n = 1; n <= 2000; n++) {
    if (n === 400) pods = [pod(POD, { peer: CLIENT_PEER, born: generation + 1, uid: 2 }), PODS[1]!];
    enforce(t, allowed, { pods });
    if (n === 400) {
      // Places the flow of port 4001 in one of the first lines.
      t.d.header[H_FLOW_HIGH] = 1;
      open(t, 4001);
      t.d.header[H_FLOW_HIGH] = 1 << 17;
    }
    // The real rates of publishes and of slices.
    if (n % 5 === 0) t.tick(t.now + 1);
  }
  assert.equal(t.one(ack(4001)).verdict, 'forward');
});

test('a flow checked early in a round keeps the age of that check', () => {
  const t = inLargeTable(1 << 14);
  const since = generation + 1;
  enforce(t, allowed);
  t.tick(t.now + 1);
  enforceUntil(t, since + 100);
  t.tick(t.now + 1);
  enforceUntil(t, since + 510);
  enforce(t, rules([]));
  assert.equal(t.one(ack()).verdict, 'policy-ingress');
});

test('a finished round has checked flows for its first generation, not for its last', () => {
  const t = inLargeTable(1 << 14, 8192);
  const since = generation;
  for (let n = 0; n < 5; n++) t.tick(t.now + 1);
  enforceUntil(t, since + 150);
  for (let n = 0; n < 4; n++) t.tick(t.now + 1);
  enforceUntil(t, since + 510);
  enforce(t, rules([]));
  assert.equal(t.one(ack()).verdict, 'policy-ingress');
});

test('the age of checks of silent flows is unknown to the next worker', () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  generation += 300;
  enforce(t, rules([]));
  const next = createTestDatapath({ arena: t.d.arena, image: null });
  generation += 209;
  enforce(t, rules([]));
  assert.equal(next.one(ack()).verdict, 'policy-ingress');
});

for (const jump of [510, 511, 512, 1022, 5000]) {
  test(`a denied flow does not pass after ${jump} generations without a slice`, () => {
    const t = guarded([[CLIENT_PEER, [ports(0)]]]);
    open(t);
    generation += jump - 1;
    enforce(t, rules([]));
    assert.equal(t.one(ack()).verdict, 'policy-ingress');
  });
}

test("a new pod on a removed pod's address inherits no flow", () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  const reborn = pod(POD, { peer: CLIENT_PEER, born: generation + 1, uid: 2 });
  enforce(t, rules([[CLIENT_PEER, [ports(0)]]]), { pods: [reborn, PODS[1]!] });
  assert.equal(t.one(ack()).verdict, 'reply', 'refused: the connection is unknown');
  assert.equal(t.counter('flows-stale'), 1);
  open(t, 4001);
  enforce(t, rules([[CLIENT_PEER, [ports(0)]]]), { pods: [reborn, PODS[1]!] });
  assert.equal(t.one(ack(4001)).verdict, 'forward', 'its own connection continues');
});

test("a new endpoint on a removed endpoint's address inherits no flow", () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  const reborn = pod(BACKEND, { ingress: IN, born: generation + 1, uid: 2 });
  enforce(t, rules([[CLIENT_PEER, [ports(0)]]]), { pods: [PODS[0]!, reborn] });
  assert.equal(t.one(ack()).verdict, 'reply');
  assert.equal(t.counter('flows-stale'), 1);
});

test('a flow of a removed pod is deleted even without a packet', () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  enforce(t, rules([[CLIENT_PEER, [ports(0)]]]), { pods: [PODS[1]!] });
  t.tick(t.now + 100);
  assert.equal(t.counter('flows-stale'), 1);
  assert.equal(t.one(ack()).verdict, 'reply');
});

test('the next worker keeps flows with their checks', () => {
  const t = guarded([[CLIENT_PEER, [ports(0)]]]);
  open(t);
  const next = createTestDatapath({ arena: t.d.arena, image: null });
  assert.equal(next.one(ack()).verdict, 'forward');
  assert.equal(next.counter('flows-revalidated'), 0);
  enforce(t, rules([]));
  assert.equal(next.one(ack()).verdict, 'policy-ingress');
});

test('an audited policy lets packets pass and counts what it would drop', () => {
  const t = createTestDatapath();
  const audit = (allowed: PolicyPorts[], enforced: number[]) =>
    rules([[CLIENT_PEER, allowed]], { subjects: [{ id: IN, enforced, audited: [3] }] });
  const audited = { ...ports(PROTO_TCP, 8080, 8080), policy: 3, audited: true };
  enforce(t, audit([audited], []));
  assert.equal(t.one(direct()).verdict, 'forward');
  assert.equal(t.one(syn(`${POD}:1`, `${BACKEND}:81`)).verdict, 'forward');
  assert.deepEqual(readPolicyHits(t.d.arena, 3).ingress, { allowed: 1, dropped: 0, audited: 1 });
  assert.equal(t.counter('policy-audited'), 1);
  enforce(t, audit([audited], [1]));
  assert.equal(
    t.one(syn(`${POD}:2`, `${BACKEND}:8080`)).verdict,
    'policy-ingress',
    'opens nothing',
  );
  assert.equal(readPolicyHits(t.d.arena, 3).ingress.dropped, 0, 'another policy drops it');
  const everyPort = { ...ports(0), policy: 1 };
  const sound: PolicyPorts[][] = [
    [audited, everyPort],
    [{ ...audited, proto: 0 }, everyPort],
    [{ ...audited, proto: 0 }, ports(PROTO_TCP)],
  ];
  for (const [n, list] of sound.entries()) {
    enforce(t, audit(list, [1]));
    assert.equal(t.one(syn(`${POD}:${n + 10}`, `${BACKEND}:8080`)).verdict, 'forward', `${n}`);
  }
  enforce(t, audit([audited, ports(PROTO_TCP)], [1]));
  assert.equal(t.one(syn(`${POD}:3`, `${BACKEND}:8080`)).verdict, 'forward');
});

test('an audited egress policy counts what it would drop as egress', () => {
  const t = createTestDatapath();
  const subjects = [{ id: OUT, enforced: [], audited: [3] }];
  enforce(t, rules([], { subjects }), { pods: [pod(POD, { egress: OUT }), pod(BACKEND)] });
  assert.equal(t.one(direct()).verdict, 'forward');
  const { ingress, egress } = readPolicyHits(t.d.arena, 3);
  assert.deepEqual([ingress.audited, egress.audited], [0, 1]);
});

test("before the first image pod traffic is held, and the node's passes", () => {
  const t = createTestDatapath({ image: null });
  const { header } = t.d.arena;
  header[H_HELD_COUNT] = 1;
  header[H_HELD_RANGES] = addr('10.244.0.0');
  header[H_HELD_RANGES + 1] = addr('255.255.0.0');
  assert.equal(t.one(direct()).verdict, 'no-image');
  assert.equal(t.one(syn(`${OUTSIDE}:1`, `${POD}:80`)).verdict, 'no-image');
  const error = (from: string, to: string) =>
    t.one(icmpError4(from, to, 3, 1, udp4(`${to}:9`, `${from}:9`))).verdict;
  assert.deepEqual([error(POD, OUTSIDE), error(OUTSIDE, POD)], ['no-image', 'no-image']);
  assert.equal(t.one(syn(`${NODE}:33000`, `${OUTSIDE}:443`)).verdict, 'forward');
  assert.equal(error(OUTSIDE, NODE), 'forward');
});

test('a packet of a pod with a foreign source address is dropped and counted, and makes no flow', () => {
  const t = createTestDatapath();
  t.port = PORT_SPOOFED;
  const outcomes = t.send(direct(), tcp4(`${POD}:1`, `${VIP}:80`, SYN | FIN));
  const verdicts = outcomes.map(({ verdict }) => verdict);
  assert.deepEqual(verdicts, ['spoofed', 'tcp-flags']);
  assert.deepEqual([t.counter('spoofed'), t.counter('flows-made')], [1, 0]);
});

test('finds a thousand pods and subjects, also in a rewritten image', () => {
  const t = createTestDatapath();
  const address = (n: number) => `10.244.${1 + (n >> 8)}.${n & 255}`;
  const many = Array.from({ length: 500 }, (_, n) =>
    pod(address(n + 2), { ingress: n + 1, peer: PEER_FIRST + n }),
  );
  const pairs = many.map((_, n) => ({
    subject: n + 1,
    peer: PEER_FIRST + ((n + 1) % 500),
    ports: 0,
  }));
  const subjects = many.map((_, n) => ({ id: n + 1, enforced: [1], audited: [] }));
  enforce(t, rules([], { subjects, pairs, portSets: [[ports(0)]] }), { pods: many });
  const policy = { generation, active: true, pods: many, rules: null };
  for (let n = 0; n < 600; n++) {
    t.writer.publish(change({ policy }));
    t.d.refresh();
  }
  for (let n = 0; n < 499; n += 7) {
    const to = `${address(n + 2)}:80`;
    assert.equal(t.one(syn(`${address(n + 3)}:1`, to)).verdict, 'forward');
    assert.equal(t.one(syn(`${address(((n + 2) % 500) + 2)}:1`, to)).verdict, 'policy-ingress');
  }
});
