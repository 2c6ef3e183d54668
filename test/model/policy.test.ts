// Random policies, pods and namespaces that change at random, through compile and pipeline as an agent's life goes, against
// the naive evaluator: new connections, and flows that were there before. KUBETUN_POLICY_DECISIONS says how many, about.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NetworkPolicy } from '../../control/kube/kinds.ts';
import { readNetworkPolicy } from '../../control/model/network-policy.ts';
import { readPolicyPod } from '../../control/model/pod.ts';
import { PolicyTables } from '../../control/model/policy-tables.ts';
import { PolicyCompiler } from '../../control/policy/compiler.ts';
import type { ImageChange } from '../../datapath/nat/image.ts';
import { ImageWriter } from '../../datapath/nat/image-writer.ts';
import { Prober } from '../../datapath/observe/probe.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../datapath/wire/layout.ts';
import {
  change,
  createTestDatapath,
  DEFAULT_IMAGE,
  NODE,
  OTHER_NODE,
  OUTSIDE,
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
/** Addresses that pods may have: the first half on this node. */
const ADDRESSES = Array.from({ length: 8 }, (_, i) => `10.244.${i < 4 ? 1 : 2}.${10 + i}`);
const OTHER_ENDS = [NODE, OTHER_NODE, OUTSIDE, '203.0.113.99'];
const ENDS = [...ADDRESSES, ...OTHER_ENDS];
const PROTOCOLS: [string, number][] = [
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
  fc.record({ port: fc.constantFrom(79, 80), endPort: fc.constantFrom(80, 81), protocol }),
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
  web: fc.constantFrom(80, 81, null),
  dns: fc.constantFrom(80, 81, null),
});
const numbered = (below: number) => fc.integer({ min: 0, max: below - 1 });

type Change =
  | { kind: 'policy'; n: number; policy: OraclePolicy | null }
  | {
      kind: 'pod';
      n: number;
      pod: {
        namespace: string;
        labels: Record<string, string>;
        web: number | null;
        dns: number | null;
      } | null;
    }
  | { kind: 'relabel'; n: number; labels: Record<string, string> }
  | { kind: 'namespace'; n: number; labels: Record<string, string> }
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
    arbitrary: fc.record({ kind: fc.constant('pod' as const), n: numbered(ADDRESSES.length), pod }),
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
      labels,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);
interface Question {
  from: string;
  to: string;
  /** Name and number. */
  protocol: [string, number];
  port: number;
}
const life = fc.array(fc.record({ step, seed: fc.integer() }), { maxLength: CHANGES, size: 'max' });

test('compile and pipeline agree with a naive evaluator, whatever changes', (t) => {
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
      for (const each of questions.slice(0, FLOWS)) cluster.open(each);
    }
  };
  while (decisions.new < Number(DECISIONS)) fc.assert(fc.property(life, check), { numRuns: 10 });
  t.diagnostic(
    `${decisions.new} new connections, ${decisions.denied} of them denied; ` +
      `${decisions.ofFlows} datagrams of flows that were there before`,
  );
  assert.ok(decisions.denied > decisions.new / 20, 'the policies are for something');
});

/** The same ones for the same seed. */
function askAbout(seed: number): Question[] {
  let x = seed | 1;
  const pick = <T>(list: T[]): T => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0;
    return list[(x >>> 8) % list.length]!;
  };
  return Array.from({ length: QUESTIONS }, () => ({
    ...{ from: pick(ENDS), to: pick(ENDS), protocol: pick(PROTOCOLS), port: pick([80, 81]) },
  }));
}

/** A cluster as its objects are, and as the datapath of the first node has it. */
class Cluster {
  readonly #objects: OracleCluster = {
    pods: [],
    namespaces: Object.fromEntries(NAMESPACES.map((name) => [name, {}])),
    policies: [],
  };
  readonly #t = createTestDatapath();
  readonly #flows: { question: Question; port: number }[] = [];
  #writer = this.#t.writer;
  #tables = new PolicyTables();
  #compiler = new PolicyCompiler(this.#writer.policySurvivors());
  /** The rest of an agent's first image. */
  #rest: Partial<ImageChange> = {};
  #uid = 0;
  /** From where clients take theirs: a datagram from a pod to its node's such port is taken for an answer. */
  #nextPort = 32_768;

  constructor() {
    ADDRESSES.slice(1).forEach((address, i) => {
      this.#putPod(address, { namespace: NAMESPACES[i % NAMESPACES.length]! });
    });
    this.#restart();
    this.#publish();
  }

  apply(change: Change): void {
    const { pods, namespaces, policies } = this.#objects;
    if (change.kind === 'restart') this.#restart();
    else if (change.kind === 'policy') {
      const name = `p${change.n}`;
      const was = policies.findIndex(({ metadata }) => metadata.name === name);
      if (was >= 0) {
        const [{ metadata }] = policies.splice(was, 1) as [OraclePolicy];
        this.#tables.deletePolicy(`${metadata.namespace}/${name}`);
      }
      if (change.policy) {
        const { metadata, spec } = change.policy;
        const made = { metadata: { ...metadata, name }, spec };
        policies.push(made);
        this.#tables.putPolicy(readNetworkPolicy(made as unknown as NetworkPolicy));
      }
    } else if (change.kind === 'namespace') {
      const name = NAMESPACES[change.n]!;
      namespaces[name] = change.labels;
      this.#tables.putNamespace({ name, labels: change.labels });
    } else {
      const address = ADDRESSES[change.n]!;
      const was = pods.find((each) => each.address === address);
      if (change.kind === 'relabel') {
        if (was) {
          was.labels = change.labels;
          this.#tables.putPod(readPolicyPod(podObject(was))!);
        }
      } else {
        if (was) {
          pods.splice(pods.indexOf(was), 1);
          this.#tables.deletePod(`${was.namespace}/${was.name}`);
        }
        if (change.pod) this.#putPod(address, change.pod);
      }
    }
    this.#publish();
  }

  /** Ends of which one is a pod of this node, and no address that nobody has. */
  isAsked({ from, to }: Question): boolean {
    const there = (end: string) => OTHER_ENDS.includes(end) || this.#podAt(end) !== undefined;
    const here = (end: string) => this.#podAt(end)?.node === NODE;
    return there(from) && there(to) && (here(from) || here(to));
  }

  mayTalk({ from, to, protocol: [name], port }: Question): boolean {
    return mayTalk(this.#objects, from, to, name, port);
  }

  /** What becomes of a new connection. Its flow is not kept. */
  passes({ from, to, protocol: [, proto], port }: Question): boolean {
    const [src, dst] = [parseAddress(from)!, parseAddress(to)!];
    const prober = new Prober(this.#t.d.arena, 1);
    return (
      prober.ask({ proto, src, sport: this.#nextPort++, dst, dport: port }).verdict === 'forward'
    );
  }

  /** Datagrams both ways, so that later ones take the short way. */
  open(question: Question): void {
    const port = this.#nextPort++;
    this.#flows.push({ question, port });
    for (let i = 0; i < 3; i++) this.#exchange(question, port);
  }

  /** The next datagram of every flow, and its answer. */
  checkFlows(): number {
    const live = this.#flows.filter(({ question }) => this.isAsked(question));
    for (const { question, port } of live) {
      const expected = this.mayTalk({ ...question, protocol: ['UDP', PROTO_UDP] });
      const [sent, answered] = this.#exchange(question, port);
      assert.equal(sent, expected, `old: ${describe(question)}`);
      if (expected) assert.equal(answered, true, `answer of ${describe(question)}`);
    }
    return live.length;
  }

  /** What becomes of a datagram, and of an answer to what left. */
  #exchange({ from, to, port }: Question, sport: number): [boolean, boolean] {
    const sent = this.#t.one(udp4(`${from}:${sport}`, `${to}:${port}`, [1]));
    if (sent.verdict !== 'forward') return [false, false];
    const { src, sport: left } = sent.packet;
    const answered = this.#t.one(udp4(`${to}:${port}`, `${src}:${left}`, [2]));
    return [true, answered.verdict === 'forward'];
  }

  #podAt(address: string): OraclePod | undefined {
    return this.#objects.pods.find((each) => each.address === address);
  }

  #putPod(
    address: string,
    o: {
      namespace?: string;
      labels?: Record<string, string>;
      web?: number | null;
      dns?: number | null;
    },
  ): void {
    const ports = Object.entries({ web: o.web, dns: o.dns }).flatMap(([name, containerPort]) =>
      containerPort ? [{ name, protocol: name === 'web' ? 'TCP' : 'UDP', containerPort }] : [],
    );
    const made: OraclePod = {
      namespace: o.namespace ?? 'n0',
      name: `pod-${this.#uid++}`,
      labels: o.labels ?? {},
      ...{ address, ports, node: address.startsWith('10.244.1.') ? NODE : OTHER_NODE },
    };
    this.#objects.pods.push(made);
    this.#tables.putPod(readPolicyPod(podObject(made))!);
  }

  /** The agent begins anew, with what the image remembers. */
  #restart(): void {
    this.#writer = new ImageWriter(this.#t.d.arena);
    this.#rest = DEFAULT_IMAGE;
    this.#tables = new PolicyTables();
    this.#compiler = new PolicyCompiler(this.#writer.policySurvivors());
    const { pods, namespaces, policies } = this.#objects;
    for (const each of policies) {
      this.#tables.putPolicy(readNetworkPolicy(each as unknown as NetworkPolicy));
    }
    for (const each of pods) this.#tables.putPod(readPolicyPod(podObject(each))!);
    for (const [name, own] of Object.entries(namespaces)) {
      this.#tables.putNamespace({ name, labels: own });
    }
  }

  #publish(): void {
    const policy = this.#compiler.compile(this.#tables, this.#tables.takeChanges());
    if (policy) this.#writer.publish(change({ ...this.#rest, policy }));
    if (policy) this.#rest = {};
  }
}

function describe({ from, to, protocol: [name], port }: Question): string {
  return `${from} > ${to}:${port}/${name}`;
}

function dropNone<T extends object>(o: T): T {
  return Object.fromEntries(Object.entries(o).filter(([, each]) => each !== undefined)) as T;
}
