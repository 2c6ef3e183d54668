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

test('runs the steps before and after a publish, also when it fails', () => {
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

test('publishes nothing until every source has synced, then one full image', () => {
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

test('publishes a first image even without Services', () => {
  const p = publisher(['Service']);
  putNode();
  p.sourceSynced('Service');
  clock.advance(0);
  assert.equal(sink.publishes, 1);
  assert.notEqual(sink.mirror.node, null);
});

test('a burst of 1,000 changes takes a few publishes and ends in the last state', () => {
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

test('does not publish a change without effect', () => {
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

test('without an own address the node waits and logs that once', () => {
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

test('retries a publish to a busy datapath without another change', () => {
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
  assert.equal(sink.publishes, 2, 'no further publish');
});

test('publishes nothing after a stop', () => {
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
  // A pod is published once its namespace is known.
  tables.policy.putNamespace({ name: 'ns', labels: {} });
  tables.policy.putPod(readPolicyPod({ metadata, status })!);
}

test('the first image has a policy part, which is active only with a policy', () => {
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

test('the first policy waits for all pods, and Services are published meanwhile', () => {
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

test('a hundred policy changes in a second share the pace, and each pod is published once', () => {
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
