// Random policies, pods and namespaces change at random. Compile and pipeline, through restarts of
// agents, are compared with the naive evaluator for new connections and existing flows.
// KUBETUN_POLICY_DECISIONS sets the approximate number of decisions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NetworkPolicy } from '../../control/kube/kinds.ts';
import { readNetworkPolicy } from '../../control/model/network-policy.ts';
import { readPolicyPod } from '../../control/model/pod.ts';
import { PolicyTables } from '../../control/model/policy-tables.ts';
import { PolicyCompiler } from '../../control/policy/compiler.ts';
import type { ImageChange } from '../../datapath/image/image.ts';
import { ImageWriter } from '../../datapath/image/writer.ts';
import { Prober } from '../../datapath/observe/probe.ts';
import { formatAddress, parseAddress } from '../../datapath/wire/address.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import {
  change,
  createTestDatapath,
  DEFAULT_IMAGE,
  NODE,
  NODE_ENTRY,
  OTHER_NODE,
  OUTSIDE,
  pairs,
  service,
  VIP,
} from '../support/datapath.ts';
import { udp4 } from '../support/packets.ts';
import {
  mayTalk,
  type OracleCluster,
  type OraclePod,
  type OraclePolicy,
} from '../support/policy-oracle.ts';
import { podObject } from '../support/policy-pod.ts';

const QUESTIONS = 25;
const CHANGES = 30;
const FLOWS = 2;
const { KUBETUN_POLICY_DECISIONS: DECISIONS = '10000' } = process.env;
const NAMESPACES = ['n0', 'n1', 'n2'];
const POLICIES = 6;
/** Addresses of pods: the first half on this node. */
const ADDRESSES = Array.from({ length: 8 }, (_, i) => `10.244.${i < 4 ? 1 : 2}.${10 + i}`);
const OTHER_ENDS = [NODE, OTHER_NODE, OUTSIDE, '203.0.113.99'];
const ENDS = [...ADDRESSES, ...OTHER_ENDS];
/** TCP to the Service's address goes to this port. */
const ENDPOINT = ADDRESSES[5]!;
const ENDPOINT_PORT = 81;
/** The first change of each node's agent. */
const IMAGES: Record<string, ImageChange> = Object.fromEntries(
  [NODE, OTHER_NODE].map((node) => [
    node,
    {
      ...DEFAULT_IMAGE,
      node: { ...NODE_ENTRY, nodeAddress: parseAddress(node)! },
      upsert: [
        service(1, { cluster: pairs(`${ENDPOINT}:${ENDPOINT_PORT}`) }),
        ...DEFAULT_IMAGE.upsert.slice(1),
      ],
    },
  ]),
);
/** Source ports after masquerade. */
const SNAT_PORT = 41_000;
const PROTOCOLS: [string, number][] = [
  ['ICMP', PROTO_ICMP],
  ['TCP', PROTO_TCP],
  ['UDP', PROTO_UDP],
  ['SCTP', PROTO_SCTP],
];
const BLOCKS = ['0.0.0.0/0', '10.244.0.0/16', '10.244.1.0/24', '10.244.2.14/31', '203.0.113.0/24'];
const EXCEPTIONS = ['10.244.1.12/30', '10.244.2.15/32', '203.0.113.96/27', '172.18.0.12/32'];

const AUDITED: Record<string, string> = { 'kubetun.dev/audit': 'true' };

const key = fc.constantFrom('k0', 'k1');
const value = fc.constantFrom('v0', 'v1');
const labels = fc.dictionary(key, value, { maxKeys: 2 });
const protocol = fc.constantFrom('TCP', 'UDP', 'SCTP');
const portName = fc.constantFrom('web', 'dns');
const expression = fc.oneof(
  fc.record({ key, operator: fc.constantFrom('Exists', 'DoesNotExist') }),
  fc.record({
    key,
    operator: fc.constantFrom('In', 'NotIn'),
    values: fc.array(value, { minLength: 1, maxLength: 2 }),
  }),
);
const selector = fc.record(
  { matchLabels: labels, matchExpressions: fc.array(expression, { maxLength: 2 }) },
  { requiredKeys: [] },
);
const peer = fc.oneof(
  { weight: 4, arbitrary: fc.record({ podSelector: selector }) },
  { weight: 3, arbitrary: fc.record({ namespaceSelector: selector }) },
  { weight: 3, arbitrary: fc.record({ podSelector: selector, namespaceSelector: selector }) },
  {
    weight: 3,
    arbitrary: fc.record({
      ipBlock: fc.record(
        {
          cidr: fc.constantFrom(...BLOCKS),
          except: fc.array(fc.constantFrom(...EXCEPTIONS), { maxLength: 2 }),
        },
        { requiredKeys: ['cidr'] },
      ),
    }),
  },
);
const port = fc.oneof(
  fc.record(
    { port: fc.oneof(fc.constantFrom(80, 81), portName), protocol },
    { requiredKeys: ['port'] },
  ),
  fc.record({
    port: fc.constantFrom(1, 79, 80, 81),
    endPort: fc.constantFrom(81, 82, 8080, 65_535),
    protocol,
  }),
  fc.record({ port: fc.constantFrom(1, 79, 80), endPort: fc.constant(80), protocol }),
  fc.record({ protocol }),
);
const rule = fc.record(
  { peers: fc.array(peer, { maxLength: 2 }), ports: fc.array(port, { maxLength: 2 }) },
  { requiredKeys: [] },
);
const types = fc.constantFrom<string[]>([], ['Ingress'], ['Egress'], ['Ingress', 'Egress']);
const policy = fc
  .record({
    namespace: fc.constantFrom(...NAMESPACES),
    podSelector: fc.oneof(fc.constant({}), selector),
    policyTypes: types,
    ingress: fc.option(fc.array(rule, { maxLength: 2 }), { nil: undefined }),
    egress: fc.option(fc.array(rule, { maxLength: 2 }), { nil: undefined }),
    audited: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  })
  .map(
    ({ namespace, audited, ingress, egress, ...spec }): OraclePolicy => ({
      metadata: {
        ...{ namespace, name: '' },
        annotations: audited ? AUDITED : {},
      },
      spec: {
        ...spec,
        ...(ingress && {
          ingress: ingress.map(({ peers, ports }) => dropNone({ from: peers, ports })),
        }),
        ...(egress && { egress: egress.map(({ peers, ports }) => dropNone({ to: peers, ports })) }),
      },
    }),
  );
const pod = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  labels,
  ports: fc.array(fc.record({ name: portName, protocol, containerPort: fc.constantFrom(80, 81) }), {
    maxLength: 3,
  }),
});
type PodParts = Pick<OraclePod, 'namespace' | 'labels' | 'ports'>;
const numbered = (below: number) => fc.integer({ min: 0, max: below - 1 });

type Change =
  | { kind: 'policy'; n: number; policy: OraclePolicy | null }
  | {
      kind: 'pod';
      n: number;
      pod: PodParts | null;
      /** The old one still exists, in deletion. */
      overlaps?: boolean;
    }
  | { kind: 'relabel'; n: number; labels: Record<string, string> }
  | { kind: 'namespace'; n: number; labels: Record<string, string> | null }
  | { kind: 'restart' };
const step: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('policy' as const), n: numbered(POLICIES), policy }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('policy' as const),
      n: numbered(POLICIES),
      policy: fc.constant(null),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('pod' as const),
      ...{ n: numbered(ADDRESSES.length), pod, overlaps: fc.boolean() },
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('pod' as const),
      n: numbered(ADDRESSES.length),
      pod: fc.constant(null),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('relabel' as const),
      n: numbered(ADDRESSES.length),
      labels,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('namespace' as const),
      n: numbered(NAMESPACES.length),
      // Null: not known yet, although its pods are.
      labels: fc.option(labels, { freq: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);
interface Question {
  from: string;
  /** An address, or the Service. */
  to: string;
  sport: number;
  /** Name and number. */
  protocol: [string, number];
  port: number;
}
const life = fc.array(fc.record({ step, seed: fc.integer() }), { maxLength: CHANGES, size: 'max' });

test('compile and pipeline agree with a naive evaluator after any change', (t) => {
  const decisions = { new: 0, ofFlows: 0, denied: 0 };
  const check = (steps: { step: Change; seed: number }[]) => {
    const cluster = new Cluster();
    for (const { step, seed } of steps) {
      cluster.apply(step);
      const questions = askAbout(seed).filter((q) => cluster.isAsked(q));
      for (const each of questions) {
        const expected = cluster.mayTalk(each);
        assert.equal(cluster.passes(each), expected, `new: ${describe(each)}`);
        if (!expected) decisions.denied++;
      }
      decisions.new += questions.length;
      decisions.ofFlows += cluster.checkFlows();
      for (const each of questions.filter(isOfFirst).slice(0, FLOWS)) cluster.open(each);
    }
  };
  while (decisions.new < Number(DECISIONS)) fc.assert(fc.property(life, check), { numRuns: 10 });
  t.diagnostic(
    `${decisions.new} new connections, ${decisions.denied} of them denied; ` +
      `${decisions.ofFlows} datagrams of flows that were there before`,
  );
  assert.ok(decisions.denied > decisions.new / 20, 'the policies deny some connections');
});

/** Deterministic for a seed. */
function askAbout(seed: number): Question[] {
  let x = seed | 1;
  const pick = <T>(list: T[]): T => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0;
    return list[(x >>> 8) % list.length]!;
  };
  return Array.from({ length: QUESTIONS }, () => ({
    ...{ from: pick(ENDS), to: pick([...ENDS, VIP]), sport: pick([33_000, 33_000, SNAT_PORT]) },
    ...{ protocol: pick(PROTOCOLS), port: pick([80, 81]) },
  }));
}

/** A cluster's objects, and the datapaths of its two nodes. */
class Cluster {
  #pods: OraclePod[] = [];
  /** Pods whose addresses now belong to others. */
  #ending: OraclePod[] = [];
  /** Labels. Null for an unknown namespace. */
  readonly #namespaces: Record<string, Record<string, string> | null> = Object.fromEntries(
    NAMESPACES.map((name) => [name, {}]),
  );
  #policies: OraclePolicy[] = [];
  /** The datapath of the first node keeps its flows. The two others test new connections. */
  readonly #t = createTestDatapath({ image: IMAGES[NODE]! });
  readonly #fresh = Object.fromEntries(
    [NODE, OTHER_NODE].map((node) => [node, createTestDatapath({ image: IMAGES[node]! })]),
  );
  readonly #probers = Object.fromEntries(
    Object.entries(this.#fresh).map(([node, { d }]) => [node, new Prober(d.arena, 1)]),
  );
  readonly #flows: { question: Question; port: number }[] = [];
  #writers: [ImageWriter, ImageChange][] = [];
  #tables = new PolicyTables();
  #compiler = new PolicyCompiler(this.#t.writer.policySurvivors());
  /** The next image is the first of an agent. */
  #begins = true;
  #uid = 0;
  /**
   * Clients use ports from here. A datagram from a pod to such a port of its node would count as an
   * answer.
   */
  #nextPort = 32_768;

  constructor() {
    ADDRESSES.slice(1).forEach((address, i) => {
      this.#putPod(address, { namespace: NAMESPACES[i % 3]!, labels: {}, ports: [] });
    });
    this.#restart();
    this.#publish();
  }

  apply(change: Change): void {
    if (change.kind === 'restart') this.#restart();
    else if (change.kind === 'policy') this.#putPolicy(`p${change.n}`, change.policy);
    else if (change.kind === 'namespace') {
      const { n, labels } = change;
      const name = NAMESPACES[n]!;
      this.#namespaces[name] = labels;
      if (labels) this.#tables.putNamespace({ name, labels });
      else this.#tables.deleteNamespace(name);
    } else if (change.kind === 'relabel') {
      const was = this.#podAt(ADDRESSES[change.n]!);
      if (was) was.labels = change.labels;
      if (was) this.#tables.putPod(readPolicyPod(podObject(was))!);
    } else this.#replacePod(ADDRESSES[change.n]!, change.pod, change.overlaps ?? false);
    this.#publish();
  }

  /** Connections of pods. Those to the Service only on its port. */
  isAsked({ from, to, protocol: [name], port }: Question): boolean {
    if (to === VIP) return name === 'TCP' && port === 80;
    return ADDRESSES.includes(from) || ADDRESSES.includes(to);
  }

  mayTalk({ from, to: asked, sport, protocol: [name], port: number }: Question): boolean {
    const [to, port] = asked === VIP ? [ENDPOINT, ENDPOINT_PORT] : [asked, number];
    if (this.#policies.length === 0 || from === to) return true;
    // A node's packets to its own pods are not checked, except through Services.
    if (from === nodeOf(to) && asked !== VIP) return true;
    const pods = this.#pods.filter(({ namespace }) => this.#namespaces[namespace]);
    const isKnown = (end: string) =>
      OTHER_ENDS.includes(end) || pods.some(({ address }) => address === end);
    if (!isKnown(from) || !isKnown(to)) return false;
    // Masqueraded sources had their policy check elsewhere. An echo has no port to tell.
    const masqueraded = sport === SNAT_PORT && name !== 'ICMP' && nodeOf(from) === from;
    const namespaces = this.#namespaces as OracleCluster['namespaces'];
    return (
      masqueraded || mayTalk({ pods, namespaces, policies: this.#policies }, from, to, name, port)
    );
  }

  /** The result of a new connection at the nodes on its way. Its flow is not kept. */
  passes({ from, to, sport, protocol: [, proto], port }: Question): boolean {
    const [src, dst] = [parseAddress(from)!, parseAddress(to)!];
    const first = nodeOf(from) ?? nodeOf(to) ?? NODE;
    const { left } = this.#probers[first]!.ask({ proto, src, sport, dst, dport: port });
    const second = left && nodeOf(formatAddress(left.dst));
    if (!left || !second || second === first) return left !== null;
    return this.#probers[second]!.ask(left).verdict === 'forward';
  }

  /** Datagrams in both directions, so that later ones take the fast path. */
  open(question: Question): void {
    const port = this.#nextPort++;
    this.#flows.push({ question, port });
    for (let i = 0; i < 3; i++) this.#exchange(question, port);
  }

  /** Sends the next datagram of every flow, and its answer. */
  checkFlows(): number {
    for (const { question, port } of this.#flows) {
      const expected = this.mayTalk({ ...question, sport: port, protocol: ['UDP', PROTO_UDP] });
      const [sent, answered] = this.#exchange(question, port);
      assert.equal(sent, expected, `old: ${describe(question)}`);
      if (expected) assert.equal(answered, true, `answer of ${describe(question)}`);
    }
    return this.#flows.length;
  }

  /** The result of a datagram, and of the answer if it left. */
  #exchange({ from, to, port }: Question, sport: number): [boolean, boolean] {
    const sent = this.#t.one(udp4(`${from}:${sport}`, `${to}:${port}`, [1]));
    if (sent.verdict !== 'forward') return [false, false];
    const { src, sport: left } = sent.packet;
    const answered = this.#t.one(udp4(`${to}:${port}`, `${src}:${left}`, [2]));
    return [true, answered.verdict === 'forward'];
  }

  #podAt(address: string): OraclePod | undefined {
    return this.#pods.find((each) => each.address === address);
  }

  #putPolicy(name: string, policy: OraclePolicy | null): void {
    const was = this.#policies.find(({ metadata }) => metadata.name === name);
    this.#policies = this.#policies.filter((each) => each !== was);
    if (was) this.#tables.deletePolicy(`${was.metadata.namespace}/${name}`);
    if (!policy) return;
    const made = { ...policy, metadata: { ...policy.metadata, name } };
    this.#policies.push(made);
    this.#tables.putPolicy(readNetworkPolicy(made as unknown as NetworkPolicy));
  }

  #putPod(address: string, parts: PodParts): void {
    const node = nodeOf(address)!;
    const made: OraclePod = { ...parts, name: `pod-${this.#uid++}`, address, node };
    this.#pods.push(made);
    this.#tables.putPod(readPolicyPod(podObject(made))!);
  }

  #replacePod(address: string, parts: PodParts | null, overlaps: boolean): void {
    const was = this.#podAt(address);
    this.#pods = this.#pods.filter((each) => each !== was);
    const over = this.#ending.filter((each) => each.address === address);
    this.#ending = this.#ending.filter((each) => each.address !== address);
    if (was && parts && overlaps) {
      this.#ending.push(was);
      this.#tables.putPod(readPolicyPod(podObject(was, true))!);
    } else if (was) over.push(was);
    for (const { namespace, name } of over) this.#tables.deletePod(`${namespace}/${name}`);
    if (parts) this.#putPod(address, parts);
  }

  /** The agents restart with the state in the images. */
  #restart(): void {
    this.#writers = [
      [new ImageWriter(this.#t.d.arena), IMAGES[NODE]!],
      ...Object.entries(this.#fresh).map(([node, { d }]): [ImageWriter, ImageChange] => [
        new ImageWriter(d.arena),
        IMAGES[node]!,
      ]),
    ];
    this.#begins = true;
    this.#tables = new PolicyTables();
    this.#compiler = new PolicyCompiler(this.#writers[0]![0].policySurvivors());
    for (const each of this.#policies) {
      this.#tables.putPolicy(readNetworkPolicy(each as unknown as NetworkPolicy));
    }
    for (const each of this.#pods) this.#tables.putPod(readPolicyPod(podObject(each))!);
    for (const each of this.#ending) this.#tables.putPod(readPolicyPod(podObject(each, true))!);
    for (const [name, labels] of Object.entries(this.#namespaces)) {
      if (labels) this.#tables.putNamespace({ name, labels });
    }
  }

  /** The compile result is the same for every node. */
  #publish(): void {
    const policy = this.#compiler.compile(this.#tables, this.#tables.takeChanges());
    if (!policy) return;
    for (const [writer, image] of this.#writers) {
      writer.publish(change({ ...(this.#begins ? image : {}), policy }));
    }
    for (const { d } of [this.#t, ...Object.values(this.#fresh)]) d.refresh();
    this.#begins = false;
  }
}

/** Address of the node that has an address or its pod. Null for the outside and the Service. */
function nodeOf(end: string): string | null {
  if (end === NODE || end.startsWith('10.244.1.')) return NODE;
  return end === OTHER_NODE || end.startsWith('10.244.2.') ? OTHER_NODE : null;
}

/** True for connections through the first node with a policy check there. */
function isOfFirst({ from, to }: Question): boolean {
  if (to === VIP) return false;
  return [from, to].some((end) => ADDRESSES.includes(end) && nodeOf(end) === NODE);
}

function describe({ from, to, protocol: [name], port }: Question): string {
  return `${from} > ${to}:${port}/${name}`;
}

function dropNone<T extends object>(o: T): T {
  return Object.fromEntries(Object.entries(o).filter(([, each]) => each !== undefined)) as T;
}
