// The live rows of the policy scenarios, with real connections between real pods.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { askAgent } from '../../control/admin-client.ts';
import type { Explanation } from '../../control/explain/explanation.ts';
import type { NetworkPolicy } from '../../control/kube/kinds.ts';
import type { PolicyDescription } from '../../control/policy/describe.ts';
import { CELLS, type Cell, type PolicyCase, readPolicyFiles } from '../scenarios/policies/cases.ts';
import { LABELS, NODES, PODS } from '../scenarios/policies/world.ts';
import { clientCommand, kubetun, type Running, type TestLab, until } from '../support/lab.ts';
import { takeLab } from '../support/shared-lab.ts';
import { startTrace } from '../support/trace.ts';

const LIVE_CASES_MIN = 15;
/** Time until a client counts a packet as dropped, ms. */
const PATIENCE = 700;
const ROUNDS = 4;
let lab: TestLab;
const addresses = new Map<string, string>(Object.entries(NODES));
/** A client in each place, which reads its requests line by line. */
const askers = new Map<string, Running>();
/**
 * Without SCTP, which this kernel may lack; without the outside, which cannot reach pods; and
 * without UDP to nodes, whose port unreachables are limited in rate.
 */
const cells = CELLS.filter(
  ({ from, to, protocol }) =>
    protocol !== 'SCTP' &&
    ![from, to].some((end) => end.startsWith('out')) &&
    !(to in NODES && protocol === 'UDP'),
);
const cases = readPolicyFiles().flatMap((file) => file.cases.filter(({ live }) => live));

/** Serves ports 80 and 81 with TCP and UDP. */
function podOf({ namespace, name, labels, node, ports }: (typeof PODS)[0]): object {
  const container = (port: number) => ({
    ...{ name: `main-${port}`, image: 'agnhost' },
    args: ['netexec', `--http-port=${port}`, `--udp-port=${port}`],
    ports: ports.filter(({ containerPort }) => containerPort === port),
  });
  const nodeName = node === NODES.node1 ? 'node1' : 'node2';
  return {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels } },
    spec: {
      ...{ nodeName, terminationGracePeriodSeconds: 0 },
      containers: [container(80), container(81)],
    },
  };
}

describe('policies between real pods', () => {
  before(async () => {
    const namespaces = Object.entries(LABELS).map(([name, labels]) => ({
      ...{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
    }));
    lab = await takeLab('e2e-pol', [...namespaces, ...PODS.map(podOf)]);
    for (const { namespace, name } of PODS) {
      const pod = await lab.kube.get('Pod', { namespace, name });
      addresses.set(`${namespace}/${name}`, pod.status!.podIP!);
    }
    for (const from of new Set(cells.map((cell) => cell.from))) {
      const place = from in NODES ? `node/${from}` : from;
      askers.set(from, lab.start(place, clientCommand('reach', PATIENCE)));
    }
  });
  after(async () => {
    for (const { child, done } of askers.values()) {
      child.stdin!.end();
      await done;
    }
    await lab.down();
  });

  /** Replaces all policies on every node. */
  async function enforce(policies: PolicyCase['policies']): Promise<void> {
    for (const { metadata } of (await lab.kube.list('NetworkPolicy')).items) {
      const { namespace, name } = metadata!;
      await lab.kube.delete('NetworkPolicy', { namespace: namespace!, name: name! });
    }
    for (const policy of policies) {
      await lab.kube.create('NetworkPolicy', policy as unknown as NetworkPolicy);
    }
    const wanted = policies.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort();
    for (const node of Object.keys(NODES)) {
      await until(`${node} has ${wanted}`, async () => {
        const listed = await askAgent<PolicyDescription[]>(lab.name, node, '/policies');
        return listed.map(({ policy }) => policy).join() === wanted.join();
      });
    }
    // A change is published within this time.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }

  /** True for each cell whose packets arrive: an answer, or a refusal. */
  async function reach(from: string, asked: Cell[]): Promise<boolean[]> {
    const ends = asked.map(({ to, port, protocol }) => `${addresses.get(to)}:${port}/${protocol}`);
    const { child, output } = askers.get(from)!;
    const { length } = output();
    child.stdin!.write(`${ends.join(' ')}\n`);
    await until(`${from} has asked`, () => output().includes('\n', length));
    const outcomes = JSON.parse(output().slice(length)) as string[];
    for (const outcome of outcomes) assert.match(outcome, /^(open|refused|silent)$/);
    return outcomes.map((outcome) => outcome !== 'silent');
  }

  /** Cells that differ from the case. */
  async function complaints({ expects }: PolicyCase, all: Cell[]): Promise<Cell[]> {
    const froms = [...new Set(all.map(({ from }) => from))];
    const wrong = froms.map(async (from) => {
      const asked = all.filter((cell) => cell.from === from);
      const reached = await reach(from, asked);
      return asked.filter((cell, i) => reached[i] !== expects(cell));
    });
    return (await Promise.all(wrong)).flat();
  }

  assert.ok(cases.length >= LIVE_CASES_MIN);
  for (const item of cases) {
    test(item.about, async (t) => {
      await enforce(item.policies);
      // Asks again only for failures: on a busy machine an answer may be late.
      let wrong = cells;
      for (let round = 0; round < ROUNDS && wrong.length > 0; round++) {
        wrong = await complaints(item, wrong);
      }
      assert.deepEqual(wrong, []);
      t.diagnostic(`${cells.length} connections`);
    });
  }

  test('a dropped packet gets no answer, and is counted, traced and explained with names', async () => {
    const metadata = { namespace: 'x', name: 'friends' };
    const from = [{ podSelector: { matchLabels: { pod: 'b' } } }];
    const spec = { podSelector: { matchLabels: { pod: 'c' } }, ingress: [{ from }] };
    await enforce([{ metadata, spec }]);
    const trace = startTrace(lab.name, '--node', 'node1', addresses.get('x/c')!);
    after(() => trace.stop());
    const lines = [
      /x\/a\) > .*:80 \(pod x\/c\).*: drop \(policy-ingress\) \[ingress: selected by x\/friends, no rule matches\]/,
      /x\/b\) > .*:80 \(pod x\/c\).*: forward \(new\) \[ingress rule 0 of x\/friends allows\]/,
    ];
    const end = `${addresses.get('x/c')}:80/TCP`;
    await until('the trace has both', async () => {
      assert.deepEqual(await lab.client('x/a', 'reach', PATIENCE, end), ['silent']);
      assert.deepEqual(await lab.client('x/b', 'reach', PATIENCE, end), ['open']);
      return lines.every((line) => line.test(trace.text()));
    });
    trace.stop();
    assert.equal(await trace.ended, 130);
    const [listed] = await lab.json<PolicyDescription[]>('policy', 'list', '--node', 'node1');
    assert.ok(listed!.ingress.dropped >= 1);
    assert.ok(listed!.ingress.allowed >= 1);
    assert.deepEqual(listed!.pods, ['x/c']);
    const said = await lab.json<Explanation>(
      'explain',
      '--from',
      'x/a',
      '--to',
      `${addresses.get('x/c')}:80`,
    );
    assert.equal(said.reason, 'policy-ingress');
    assert.match(
      said.steps.map(({ text }) => text).join('\n'),
      /pod x\/c is selected by x\/friends/,
    );
    const { code, stdout } = kubetun('--lab', lab.name, 'policy', 'check', '--node', 'node1');
    assert.deepEqual([code, stdout.trim()], [0, '1 policy, no findings']);
  });

  test("a pod that sends with another pod's address is caught at its node", async () => {
    await enforce([]);
    const before = await spoofed();
    const script = clientCommand('odd').at(-1)!.replace(/\.ts$/, '.py');
    const [own, other] = [addresses.get('x/a')!, addresses.get('y/b')!];
    const args = [addresses.get('x/c')!, '80', 'spoofed', '20', other];
    await lab.run('x/a', '/usr/bin/python3', script, ...args);
    assert.equal(await spoofed(), before + 20);
    await lab.run('x/a', '/usr/bin/python3', script, ...args.slice(0, 4), own);
    assert.equal(await spoofed(), before + 20);
  });

  async function spoofed(): Promise<number> {
    return (await lab.counters('node1')).spoofed!;
  }
});
