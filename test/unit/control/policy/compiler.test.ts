import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { NetworkPolicyRow, PolicyPodRow } from '../../../../control/model/policy-rows.ts';
import { PolicyTables } from '../../../../control/model/policy-tables.ts';
import { PolicyCompiler } from '../../../../control/policy/compiler.ts';
import type { PolicySurvivors } from '../../../../datapath/image/policy-reader.ts';
import type { PolicyChange, PolicyPod } from '../../../../datapath/policy/policy.ts';
import { addr } from '../../../support/datapath.ts';

const NOTHING: PolicySurvivors = { generation: 0, pods: new Map(), names: new Map() };
const NODE = addr('172.18.0.11');

let tables: PolicyTables;
let compiler: PolicyCompiler;
beforeEach(() => {
  tables = new PolicyTables();
  tables.putNamespace({ name: 'shop', labels: {} });
  compiler = new PolicyCompiler(NOTHING);
});

const pod = (name: string, n: number, o: Partial<PolicyPodRow> = {}): PolicyPodRow => ({
  ...{ key: `shop/${name}`, namespace: 'shop', uid: name, address: addr(`10.244.1.${n}`) },
  ...{ node: NODE, labels: { app: name.replace(/-.*/, '') }, ports: [], ending: false },
  ...o,
});

/** Selects the pods of `app: web` and lets in those of `app: client`. */
const policy = (name: string, o: Partial<NetworkPolicyRow> = {}): NetworkPolicyRow => ({
  ...{ key: `shop/${name}`, namespace: 'shop', selector: { matchLabels: { app: 'web' } } },
  ...{ audited: false, createdMs: 0, egress: null },
  ingress: [
    {
      pods: [{ namespaces: null, pods: { matchLabels: { app: 'client' } } }],
      ...{ blocks: [], ports: null },
    },
  ],
  ...o,
});

const compile = (): PolicyChange | null => compiler.compile(tables, tables.takeChanges());
const at = (change: PolicyChange | null, n: number): PolicyPod =>
  (change!.pods ?? change!.podChanges!.put).find(
    ({ address }) => address === addr(`10.244.1.${n}`),
  )!;

/** Compiles three pods and one policy for the first time. */
function begin(): PolicyChange {
  tables.putPod(pod('web-1', 2));
  tables.putPod(pod('client-1', 3));
  tables.putPod(pod('other-1', 4));
  tables.putPolicy(policy('p'));
  return compile()!;
}

test('the first policy sends pods and rules, and no time of birth for existing pods', () => {
  const first = begin();
  assert.deepEqual([first.generation, first.active, first.pods?.length], [1, true, 3]);
  assert.deepEqual(
    first.pods?.map(({ born }) => born),
    [0, 0, 0],
  );
  assert.deepEqual([at(first, 2).ingress !== 0, at(first, 3).ingress], [true, 0]);
  assert.notEqual(at(first, 3).peer, at(first, 4).peer, 'a client is another kind of peer');
  assert.deepEqual(
    first.rules?.pairs.map(({ subject, peer }) => [subject, peer]),
    [[at(first, 2).ingress, at(first, 3).peer]],
  );
});

test('a change without effect gives no update', () => {
  begin();
  assert.equal(compile(), null);
  tables.putPod(pod('web-1', 2));
  assert.equal(compile(), null, 'an update without a change');
  tables.putPod(pod('web-1', 2, { labels: { app: 'web', nobody: 'asks' } }));
  assert.equal(compile(), null, 'a label that no policy uses');
  tables.putPod(pod('web-1', 2, { ending: true }));
  assert.equal(compile(), null, 'a pod in deletion');
});

test('a new pod of a known kind needs no new rules and revalidates no flow', () => {
  const first = begin();
  tables.putPod(pod('client-2', 5));
  const next = compile()!;
  assert.deepEqual([next.rules, next.generation], [null, first.generation]);
  assert.equal(at(next, 5).peer, at(first, 3).peer);
  assert.equal(at(next, 5).born, first.generation);
});

test('a pod of a new kind rebuilds the rules', () => {
  begin();
  tables.putPolicy(policy('q', { selector: { matchLabels: { app: 'db' } } }));
  const { generation } = compile()!;
  tables.putPod(pod('db-1', 6));
  const next = compile()!;
  assert.notEqual(next.rules, null);
  assert.equal(next.generation, generation + 1);
  assert.deepEqual(next.rules?.subjects.length, 2);
  const peer = { namespaces: null, pods: { matchLabels: { app: 'cache' } } };
  tables.putPolicy(policy('r', { ingress: [{ pods: [peer], blocks: [], ports: null }] }));
  const { rules } = compile()!;
  tables.putPod(pod('cache-1', 7));
  assert.equal(compile()?.rules?.pairs.length, rules!.pairs.length + 1, 'another kind of peer');
});

test("a pod's new labels, its deletion, and a new pod on its address revalidate flows", () => {
  const first = begin();
  tables.putPod(pod('client-1', 3, { labels: { app: 'other' } }));
  const relabelled = compile()!;
  assert.equal(relabelled.generation, first.generation + 1);
  assert.equal(at(relabelled, 3).peer, at(first, 4).peer);
  assert.equal(at(relabelled, 3).born, 0, 'it is still the same pod');
  tables.deletePod('shop/client-1');
  const gone = compile()!;
  assert.equal(gone.generation, first.generation + 2);
  assert.equal(at(gone, 3), undefined);
  tables.putPod(pod('client-9', 3));
  assert.equal(at(compile(), 3).born, gone.generation);
});

test('updates a pod for other policies of the same peer class, and for a new node', () => {
  begin();
  const outbound = policy('q', {
    selector: { matchLabels: { app: 'sender' } },
    ...{ ingress: null, egress: [] },
  });
  tables.putPolicy(outbound);
  tables.putPod(pod('sender-1', 5));
  let { generation } = compile()!;
  for (const app of ['web', 'other', 'sender', 'other']) {
    tables.putPod(pod('other-1', 4, { labels: { app } }));
    assert.equal(compile()?.generation, ++generation, app);
  }
  tables.putPod(pod('other-1', 4, { labels: { app: 'other' }, node: 0 }));
  assert.equal(at(compile(), 4).node, 0);
  tables.putPod(pod('other-1', 4, { labels: { app: 'other' } }));
  assert.equal(at(compile(), 4).node, NODE);
});

test('a pod recreated with the same name between two compiles is a new pod', () => {
  const first = begin();
  tables.deletePod('shop/client-1');
  tables.putPod(pod('client-1', 3, { uid: 'another' }));
  const next = compile()!;
  assert.equal(next.generation, first.generation + 1);
  assert.equal(at(next, 3).born, next.generation);
});

test('labels of a namespace matter only if a selector uses them', () => {
  begin();
  tables.putNamespace({ name: 'shop', labels: { any: 'label' } });
  assert.equal(compile(), null);
  const peer = { namespaces: { matchLabels: { team: 'blue' } }, pods: {} };
  tables.putPolicy(policy('q', { ingress: [{ pods: [peer], blocks: [], ports: null }] }));
  assert.equal(compile()!.rules?.pairs.length, 1, 'the one of p');
  tables.putNamespace({ name: 'shop', labels: { team: 'blue' } });
  const next = compile()!;
  const subject = at(next, 2).ingress;
  const peers = next.rules?.pairs.filter((pair) => pair.subject === subject).map((p) => p.peer);
  assert.deepEqual(new Set(peers), new Set([2, 3, 4].map((n) => at(next, n).peer)));
});

test('enforcement is off without policies; existing pods are old to the next policy', () => {
  const first = begin();
  tables.deletePolicy('shop/p');
  assert.deepEqual(compile(), {
    ...{ generation: first.generation + 1, active: false, pods: null, rules: null },
  });
  tables.putPod(pod('late', 9));
  assert.equal(compile(), null);
  tables.putPolicy(policy('p'));
  const again = compile()!;
  assert.deepEqual([again.active, again.pods?.length, at(again, 9).born], [true, 4, 0]);
});

test('an agent without policies sends this once, because the image may have some', () => {
  assert.equal(compile()?.active, false);
  assert.equal(compile(), null);
});

test('after a restart the same pod keeps its birth, and another one on its address is new', () => {
  const first = begin();
  const told = new Map(first.pods!.map(({ address, uid }) => [address, { uid, born: 1 }]));
  const names = new Map(first.rules!.names.map(({ id, name }) => [id, name]));
  compiler = new PolicyCompiler({ generation: 7, pods: told, names });
  const before = tables;
  tables = new PolicyTables();
  for (const row of before.namespaces.values()) tables.putNamespace(row);
  tables.putPod(pod('web-1', 2));
  tables.putPod(pod('stranger', 3));
  tables.putPolicy(policy('a'));
  tables.putPolicy(policy('p'));
  const next = compile()!;
  assert.equal(next.generation, 8);
  assert.deepEqual([at(next, 2).born, at(next, 3).born], [1, 8]);
  const ids = new Map(next.rules!.names.map(({ id, name }) => [name, id]));
  assert.equal(ids.get('shop/p'), 1, 'the id and its counters are kept');
  assert.equal(ids.get('shop/a'), 2);
});

test('if two pods share an address, it belongs to the later one until that is deleted', () => {
  begin();
  tables.putPod(pod('web-2', 3));
  assert.notEqual(at(compile(), 3).ingress, 0);
  tables.deletePod('shop/web-2');
  assert.equal(at(compile(), 3).ingress, 0);
});

test('a pod in deletion loses its address to another one, in any order', () => {
  tables.putPod(pod('other-9', 3));
  tables.putPod(pod('web-9', 3, { ending: true }));
  tables.putPolicy(policy('p'));
  assert.equal(at(compile(), 3).ingress, 0);
  tables.putPod(pod('other-9', 3, { ending: true }));
  assert.notEqual(
    at(compile(), 3).ingress,
    0,
    'both pods are in deletion: the later one has the address',
  );
  tables.deletePod('shop/other-9');
  tables.putPod(pod('web-1', 2, { ending: true }));
  assert.notEqual(at(compile(), 2).ingress, 0, 'a pod in deletion keeps its rules');
});

test('a pod that moves to the address of another pod gets it', () => {
  begin();
  tables.putPod(pod('web-1', 3));
  const next = compile();
  assert.notEqual(at(next, 3).ingress, 0);
  assert.equal(at(next, 2), undefined);
  assert.equal(at(next, 3).born, next!.generation);
});

test('changes of pods add up to a full compile', () => {
  let x = 5;
  const random = (below: number) => {
    x = (Math.imul(x, 1_103_515_245) + 12_345) | 0;
    return (x >>> 8) % below;
  };
  const told = new Map(begin().pods!.map((each) => [each.address, each]));
  const identities = (pods: Iterable<PolicyPod>) =>
    [...pods]
      .map(({ address, node, uid, ingress, egress }) => [address, node, uid, ingress, egress])
      .sort((a, b) => a[0]! - b[0]!);
  let changes = 0;
  for (let round = 0; round < 500; round++) {
    for (let n = random(3); n >= 0; n--) {
      const name = `${['web', 'client', 'other'][random(3)]}-${random(6)}`;
      if (random(4) === 0) tables.deletePod(`shop/${name}`);
      else tables.putPod(pod(name, 2 + random(8), { ending: random(3) === 0 }));
    }
    const change = compile();
    if (change?.pods) told.clear();
    for (const address of change?.podChanges?.gone ?? []) told.delete(address);
    for (const each of change?.pods ?? change?.podChanges?.put ?? []) told.set(each.address, each);
    if (change?.podChanges) changes++;
    const all = new PolicyTables();
    all.putNamespace({ name: 'shop', labels: {} });
    all.putPolicy(policy('p'));
    for (const row of tables.pods.values()) all.putPod(row);
    const fresh = new PolicyCompiler(NOTHING).compile(all, all.takeChanges())!;
    assert.deepEqual(identities(told.values()), identities(fresh.pods!), `round ${round}`);
  }
  assert.ok(changes > 100, `${changes} partial changes`);
});

test('holds back a pod until its namespace, whose labels may matter, is known', () => {
  begin();
  const stray = (n: number) => pod('client-7', n, { key: 'late/client-7', namespace: 'late' });
  tables.putPod(stray(7));
  assert.equal(compile(), null);
  tables.putNamespace({ name: 'late', labels: {} });
  const next = compile()!;
  assert.notEqual(at(next, 7), undefined);
  assert.equal(next.podChanges?.put.length, 1);
  tables.deleteNamespace('late');
  assert.deepEqual(compile()?.podChanges, { put: [], gone: [addr('10.244.1.7')] });
  tables.putPod(pod('web-1', 2, { ending: true }));
  tables.putPod(stray(2));
  assert.equal(at(compile(), 2), undefined, 'the old pod lost its address');
});

test('a pod that appears after its policy is in force counts as new', () => {
  tables.putPolicy(policy('p'));
  compile();
  tables.putPod(pod('web-1', 2));
  const next = compile()!;
  assert.equal(at(next, 2).born, next.generation);
});

test('policies that select the same pods share a subject, with those under audit apart', () => {
  begin();
  tables.putPolicy(policy('q'));
  tables.putPolicy(policy('r', { audited: true }));
  const { rules } = compile()!;
  const idOf = (name: string) => rules!.names.find((each) => each.name === `shop/${name}`)!.id;
  assert.deepEqual(rules!.subjects, [
    { id: 1, enforced: [idOf('p'), idOf('q')], audited: [idOf('r')] },
  ]);
});

test('rules of one direction do not affect the other', () => {
  tables.putPod(pod('web-1', 2));
  tables.putPod(pod('client-1', 3));
  tables.putPolicy(policy('p', { egress: [] }));
  const change = compile()!;
  const { ingress, egress } = at(change, 2);
  assert.ok(ingress !== 0 && egress !== 0 && ingress !== egress);
  assert.deepEqual(
    change.rules?.pairs.map(({ subject }) => subject),
    [ingress],
  );
});

test('pods are of one kind only if namespace and named ports are equal, too', () => {
  tables.putNamespace({ name: 'bank', labels: {} });
  const web = [{ name: 'http', proto: 6, number: 80 }];
  tables.putPod(pod('web-1', 2, { ports: web }));
  tables.putPod(pod('web-2', 3, { ports: [{ ...web[0]!, number: 81 }] }));
  tables.putPod(pod('web-3', 4, { ports: web, key: 'bank/web-3', namespace: 'bank' }));
  const port = { name: 'http', proto: 6, first: 0, last: 0 };
  tables.putPolicy(policy('p', { ingress: [{ pods: null, blocks: [], ports: [port] }] }));
  const change = compile()!;
  const [first, second, third] = [2, 3, 4].map((n) => at(change, n).ingress);
  assert.ok(first !== 0 && second !== 0 && first !== second);
  assert.equal(third, 0, 'of another namespace');
});

test('blocks with different exceptions are different', () => {
  const cidr = { address: addr('10.0.0.0'), length: 8 };
  const hole = { address: addr('10.9.0.0'), length: 16 };
  const rule = (except: (typeof hole)[]) => ({ pods: [], blocks: [{ cidr, except }], ports: null });
  tables.putPod(pod('web-1', 2));
  tables.putPolicy(policy('p', { ingress: [rule([])] }));
  tables.putPolicy(policy('q', { ingress: [rule([hole])] }));
  const { rules } = compile()!;
  const peerOf = (length: number) => rules!.prefixes.find((p) => p.length === length)!.peer;
  const allowing = (peer: number) =>
    rules!.pairs.filter((p) => p.peer === peer).flatMap(({ ports }) => rules!.portSets[ports]!)
      .length;
  assert.deepEqual([allowing(peerOf(8)), allowing(peerOf(16))], [2, 1]);
});

test('a thousand pods with ten sets of labels count as ten kinds of pods', () => {
  for (let i = 0; i < 1000; i++) {
    tables.putPod(pod(`app${i % 10}-${i}`, 0, { address: addr('10.244.0.0') + i + 2 }));
  }
  for (let i = 0; i < 10; i++) {
    const selector = { matchLabels: { app: `app${i}` } };
    const peer = { namespaces: null, pods: { matchLabels: { app: `app${(i + 1) % 10}` } } };
    tables.putPolicy(
      policy(`p${i}`, { selector, ingress: [{ pods: [peer], blocks: [], ports: null }] }),
    );
  }
  const { pods, rules } = compile()!;
  assert.equal(new Set(pods!.map(({ peer }) => peer)).size, 10);
  assert.deepEqual(
    [rules!.subjects.length, rules!.pairs.length, rules!.portSets.length],
    [10, 10, 10],
  );
});

test('a policy that does not fit isolates its pods, and the other policies apply', () => {
  const small = policy('small', { createdMs: 1 });
  // 600 rules of 600 ports each for one subject exceed the limit for all rules.
  const ports = Array.from({ length: 600 }, (_, n) => {
    return { proto: 6, name: null, first: n * 2, last: n * 2 };
  });
  const rules = Array.from({ length: 600 }, () => ({ pods: null, blocks: [], ports }));
  const large = policy('large', {
    ...{ createdMs: 2, selector: { matchLabels: { app: 'other' } } },
    ingress: rules,
  });
  tables.putPod(pod('web-1', 2));
  tables.putPod(pod('client-1', 3));
  tables.putPod(pod('other-1', 4));
  tables.putPolicy(large);
  tables.putPolicy(small);
  const change = compile()!;
  assert.deepEqual(compiler.refused, ['shop/large']);
  const subject = at(change, 4).ingress;
  assert.notEqual(subject, 0, 'the pod is isolated');
  const pairsOf = (id: number) => change.rules!.pairs.filter((pair) => pair.subject === id);
  assert.deepEqual(pairsOf(subject), []);
  assert.equal(pairsOf(at(change, 2).ingress).length, 1);
  tables.deletePolicy('shop/large');
  compile();
  assert.deepEqual(compiler.refused, []);
});
