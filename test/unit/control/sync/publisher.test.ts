import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { readNetworkPolicy } from '../../../../control/model/network-policy.ts';
import { readNode } from '../../../../control/model/node.ts';
import { readPolicyPod } from '../../../../control/model/pod.ts';
import { readService } from '../../../../control/model/service.ts';
import { Tables } from '../../../../control/model/tables.ts';
import { Publisher } from '../../../../control/sync/publisher.ts';
import { KubetunError } from '../../../../datapath/error.ts';
import { FakeClock } from '../../../support/clock.ts';
import { RANGES } from '../compile/world.ts';
import { node, service } from '../model/objects.ts';
import { FakeSink, fakeLog } from './fake-sink.ts';

let clock: FakeClock;
let tables: Tables;
let sink: FakeSink;
let log: ReturnType<typeof fakeLog>;

beforeEach(() => {
  clock = new FakeClock();
  tables = new Tables('n1');
  sink = new FakeSink();
  log = fakeLog();
});

function publisher(sources: string[] = []): Publisher {
  return new Publisher({ nodeName: 'n1', ranges: RANGES, tables, sink, sources, clock, log });
}

test('what belongs around a publish is done on both sides of it, also when it fails', () => {
  const steps: string[] = [];
  const p = new Publisher({
    nodeName: 'n1',
    ranges: RANGES,
    tables,
    sink,
    sources: [],
    around: (change) => ({
      before: () => steps.push(`before ${change.upsert.length} at ${sink.publishes}`),
      after: () => steps.push(`after at ${sink.publishes}`),
    }),
    clock,
    log,
  });
  putNode();
  putService('a');
  sink.failures.push(new KubetunError('KT_IMAGE_BUSY', 'busy', 'again'));
  p.changed();
  clock.advance(0);
  assert.deepEqual(steps, ['before 1 at 0', 'after at 1']);
});

function putNode(): void {
  tables.putNode(readNode(node('n1', '172.18.0.11')));
}

function putService(name: string): void {
  tables.putService(readService(service(name)));
}

test('nothing is published until every source has synced, then one image with everything', () => {
  const p = publisher(['Service', 'EndpointSlice', 'Node']);
  putNode();
  putService('a');
  p.changed();
  p.sourceSynced('Service');
  p.sourceSynced('Node');
  clock.advance(1000);
  assert.deepEqual([p.synced, sink.publishes], [false, 0]);
  putService('b');
  p.sourceSynced('EndpointSlice');
  clock.advance(1000);
  assert.deepEqual([p.synced, p.published, sink.publishes], [true, true, 1]);
  assert.equal(sink.mirror.services.size, 2);
});

test('a cluster without Services is an image too: it ends the state before the first one', () => {
  const p = publisher(['Service']);
  putNode();
  p.sourceSynced('Service');
  clock.advance(0);
  assert.equal(sink.publishes, 1);
  assert.notEqual(sink.mirror.node, null);
});

test('a burst of 1,000 changes costs a handful of publishes and ends in the last state', () => {
  const p = publisher();
  putNode();
  p.changed();
  clock.advance(1000);
  const before = sink.publishes;
  for (let i = 0; i < 1000; i++) {
    putService(`s${i}`);
    p.changed();
    clock.advance(0.05);
  }
  clock.advance(1000);
  assert.ok(sink.publishes - before <= 5, `${sink.publishes - before}`);
  assert.equal(sink.mirror.services.size, 1000);
});

test('a change that changes nothing is not published', () => {
  const p = publisher();
  putNode();
  putService('a');
  p.changed();
  clock.advance(100);
  putService('a');
  p.changed();
  clock.advance(100);
  assert.equal(sink.publishes, 1);
});

test('without an address of its own the node waits and says so once', () => {
  const p = publisher();
  putService('a');
  p.changed();
  clock.advance(100);
  putService('b');
  p.changed();
  clock.advance(100);
  assert.equal(sink.publishes, 0);
  assert.equal(log.lines.filter((l) => l.includes('waiting for it')).length, 1);
  putNode();
  p.changed();
  clock.advance(100);
  assert.equal(sink.mirror.services.size, 2);
});

test('a publish that finds the datapath busy comes into force with a later one, by itself', () => {
  const p = publisher();
  putNode();
  putService('a');
  sink.failures.push(new KubetunError('KT_IMAGE_BUSY', 'busy', 'again'));
  p.changed();
  clock.advance(0);
  assert.deepEqual([p.published, sink.generation], [false, 0]);
  clock.advance(200);
  assert.deepEqual([p.published, sink.generation, sink.publishes], [true, 1, 2]);
  clock.advance(1000);
  assert.equal(sink.publishes, 2, 'and then it is quiet');
});

test('stopped, nothing more is published', () => {
  const p = publisher();
  putNode();
  p.changed();
  p.stop();
  clock.advance(1000);
  assert.equal(sink.publishes, 0);
});

function putPolicies(...names: string[]): void {
  const spec = { podSelector: { matchLabels: { app: 'web' } } };
  for (const name of names) {
    tables.policy.putPolicy(readNetworkPolicy({ metadata: { namespace: 'ns', name }, spec }));
  }
}

function putPod(name: string, podIP: string): void {
  const status = { phase: 'Running', podIP, hostIP: '172.18.0.11' };
  const metadata = { namespace: 'ns', name, uid: name, labels: { app: 'web' } };
  // A pod is told of once its namespace is known.
  tables.policy.putNamespace({ name: 'ns', labels: {} });
  tables.policy.putPod(readPolicyPod({ metadata, status })!);
}

test('the first image says what policies there are, and that there are none if so', () => {
  const p = publisher(['NetworkPolicy']);
  putNode();
  p.sourceSynced('NetworkPolicy');
  clock.advance(0);
  assert.deepEqual([sink.publishes, sink.policies[0]?.active], [1, false]);
  const later = publisher();
  putPolicies('p');
  putPod('web', '10.244.1.2');
  later.changed();
  clock.advance(100);
  assert.deepEqual([sink.policies[1]?.active, sink.policies[1]?.pods?.length], [true, 1]);
});

test('with its first policy it waits for the pods of all, and Services go on meanwhile', () => {
  const p = publisher();
  putNode();
  p.changed();
  clock.advance(100);
  putPolicies('p');
  for (const source of ['Pod', 'Namespace']) p.sourceAdded(source);
  putService('a');
  p.changed();
  clock.advance(100);
  assert.deepEqual([sink.mirror.services.size, sink.policies.length], [1, 1]);
  putPod('web', '10.244.1.2');
  p.sourceSynced('Pod');
  p.sourceSynced('Namespace');
  clock.advance(100);
  assert.deepEqual([sink.policies.length, sink.policies[1]?.pods?.length], [2, 1]);
});

test('a hundred changes of policies in a second are published at the pace of all, each pod told once', () => {
  const p = publisher();
  putNode();
  putPod('web', '10.244.1.2');
  p.changed();
  clock.advance(1000);
  for (let i = 0; i < 100; i++) {
    putPolicies(`p${i}`);
    p.changed();
    clock.advance(10);
  }
  clock.advance(1000);
  assert.ok(sink.policies.length <= 60, `${sink.policies.length}`);
  assert.equal(sink.policies.at(-1)?.rules?.names.length, 100);
});
